#include <stdint.h>
#define KERNEL static inline
typedef uint8_t source_t;
typedef uint8_t result_t;
/* kernel */
/* exp(x) / sum of exp(x) along an axis, of the distances from the largest code: one division for each row. */
struct softmax {
    int32_t count[3], step[3];                      /* loops over the axes that stay, and their elements from turn to turn */
    int32_t length, length_step;                    /* of the axis that is summed over */
    int32_t shift;                                  /* 62 - bits of the result's scale */
    const int32_t *fine, *coarse;                   /* exponentials of distances below 256, and of multiples of 256 */
    int32_t zero_point, low, high;                  /* of the result */
};

KERNEL int64_t softmax_exponential(const struct softmax *layer, int32_t distance)
{
    return ((int64_t)layer->fine[distance & 255] * layer->coarse[distance >> 8] + (1 << 29)) >> 30;
}

KERNEL void softmax_row(const struct softmax *layer, const source_t *source, result_t *result)
{
    const int32_t step = layer->length_step;
    source_t most = source[0];
    for (int32_t i = 1; i < layer->length; i++) {
        most = source[i * step] > most ? source[i * step] : most;
    }
    int64_t sum = 0;
    for (int32_t i = 0; i < layer->length; i++) {
        sum += softmax_exponential(layer, (int32_t)most - source[i * step]);
    }
    const int64_t reciprocal = ((int64_t)1 << 62) / sum;
    const int64_t half = (int64_t)1 << (layer->shift - 1);
    for (int32_t i = 0; i < layer->length; i++) {
        const int64_t exponential = softmax_exponential(layer, (int32_t)most - source[i * step]);
        const int64_t code = ((exponential * reciprocal + half) >> layer->shift) + layer->zero_point;
        result[i * step] = (result_t)(code < layer->low ? layer->low : code > layer->high ? layer->high : code);
    }
}

KERNEL void softmax(const struct softmax *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->count[0]; i++) {
        for (int32_t j = 0; j < layer->count[1]; j++) {
            for (int32_t k = 0; k < layer->count[2]; k++) {
                const int32_t at = i * layer->step[0] + j * layer->step[1] + k * layer->step[2];
                softmax_row(layer, source + at, result + at);
            }
        }
    }
}
