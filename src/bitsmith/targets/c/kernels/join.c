#include <stdint.h>
#include <string.h>
#define KERNEL static inline
typedef uint8_t source_t;
typedef uint8_t result_t;
/* kernel */
/* One operand's part of values that are joined along an axis. */
struct join {
    int32_t pieces;                                 /* how many the operand is cut into */
    int32_t run;                                    /* elements of one */
    int32_t offset;                                 /* of the first one in the result */
    int32_t step;                                   /* elements of the result from one to the next */
};

KERNEL void join(const struct join *layer, const source_t *source, result_t *result)
{
    result += layer->offset;
    for (int32_t i = 0; i < layer->pieces; i++) {
        memcpy(result + i * layer->step, source + i * layer->run, (size_t)layer->run * sizeof(result_t));
    }
}
