#include "requantize_multiplier.c"
typedef uint8_t source_t;
typedef uint8_t result_t;
/* kernel */
/* Codes of one scale to codes of another. */
struct rescale {
    int32_t count;
    int32_t zero;                                   /* the code of 0 */
    struct requantize rounding;
};

KERNEL void rescale(const struct rescale *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->count; i++) {
        result[i] = (result_t)requantize(&layer->rounding, source[i] - layer->zero, 0);
    }
}
