#include <stdint.h>
#include <string.h>
#define KERNEL static inline
typedef uint8_t source_t;
typedef uint8_t result_t;
/* kernel */
/* Elements by index along up to four axes: slices, crops, padding, repetition. The innermost pieces are copied whole. */
struct take {
    int32_t count[4];                               /* of nested loops over the result */
    const int32_t *place[4];                        /* for each turn, an offset in the source, or -1: the filler */
    int32_t run;                                    /* elements of a piece */
    int32_t filler;
};

KERNEL void take(const struct take *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->count[0]; i++) {
        for (int32_t j = 0; j < layer->count[1]; j++) {
            for (int32_t k = 0; k < layer->count[2]; k++) {
                for (int32_t l = 0; l < layer->count[3]; l++) {
                    const int32_t a = layer->place[0][i], b = layer->place[1][j], c = layer->place[2][k], d = layer->place[3][l];
                    if (a >= 0 && b >= 0 && c >= 0 && d >= 0) {
                        memmove(result, source + a + b + c + d, (size_t)layer->run * sizeof(result_t));
                    } else {
                        for (int32_t m = 0; m < layer->run; m++) {
                            result[m] = (result_t)layer->filler;
                        }
                    }
                    result += layer->run;
                }
            }
        }
    }
}
