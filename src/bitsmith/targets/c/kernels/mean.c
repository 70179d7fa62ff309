#include "requantize_multiplier.c"
typedef uint8_t source_t;
typedef uint8_t result_t;
/* kernel */
/* The mean over whole axes; the multiplier holds the division by the count. */
struct mean {
    int32_t count[3], step[3];                      /* loops over the axes that stay, and their elements from turn to turn */
    int32_t inner_count[3], inner_step[3];          /* the same for the axes that go */
    int32_t start;                                  /* - count * zero point */
    struct requantize rounding;
};

KERNEL int32_t mean_sum(const struct mean *layer, const source_t *source)
{
    int32_t sum = layer->start;
    for (int32_t i = 0; i < layer->inner_count[0]; i++) {
        for (int32_t j = 0; j < layer->inner_count[1]; j++) {
            for (int32_t k = 0; k < layer->inner_count[2]; k++) {
                sum += source[i * layer->inner_step[0] + j * layer->inner_step[1] + k * layer->inner_step[2]];
            }
        }
    }
    return sum;
}

KERNEL void mean(const struct mean *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->count[0]; i++) {
        for (int32_t j = 0; j < layer->count[1]; j++) {
            for (int32_t k = 0; k < layer->count[2]; k++) {
                const int32_t sum = mean_sum(layer, source + i * layer->step[0] + j * layer->step[1] + k * layer->step[2]);
                *result++ = (result_t)requantize(&layer->rounding, sum, 0);
            }
        }
    }
}
