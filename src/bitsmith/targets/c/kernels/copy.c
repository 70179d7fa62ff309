#include <stdint.h>
#define KERNEL static inline
typedef uint8_t source_t;
typedef uint8_t result_t;
/* kernel */
/* The same codes in another order. */
struct copy {
    int32_t count[4];                               /* of nested loops over the result */
    int32_t step[4];                                /* elements of the source from turn to turn */
};

KERNEL void copy(const struct copy *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->count[0]; i++) {
        for (int32_t j = 0; j < layer->count[1]; j++) {
            for (int32_t k = 0; k < layer->count[2]; k++) {
                const source_t *from = source + i * layer->step[0] + j * layer->step[1] + k * layer->step[2];
                for (int32_t l = 0; l < layer->count[3]; l++) {
                    *result++ = from[l * layer->step[3]];
                }
            }
        }
    }
}
