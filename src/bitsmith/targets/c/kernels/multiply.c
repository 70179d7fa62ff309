#include "dot.c"
#include "requantize_multiplier.c"
typedef uint8_t result_t;
/* kernel */
/* Rows of codes times a matrix of weights. */
struct multiply {
    int32_t rows, terms, outputs;
    int32_t zero;                                   /* the code of 0 */
    const weight_t *weights;                        /* [outputs][terms] */
    const int32_t *bias;                            /* [outputs] */
    struct requantize rounding;
};

KERNEL void multiply(const struct multiply *layer, const source_t *source, result_t *result)
{
    for (int32_t row = 0; row < layer->rows; row++) {
        for (int32_t i = 0; i < layer->outputs; i++) {
            const sum_t sum = dot(source, layer->zero, layer->weights, i * layer->terms, layer->terms, layer->bias[i]);
            *result++ = (result_t)requantize(&layer->rounding, sum, i);
        }
        source += layer->terms;
    }
}
