#include "dot.c"
#include "requantize_multiplier.c"
typedef uint8_t result_t;
/* kernel */
/* Convolution whose window is one pixel: it is read where it lies. Codes come and leave channels last. */
struct pointwise {
    int32_t out_height, out_width;
    int32_t in_channels, out_channels;
    int32_t row_step, column_step;                  /* elements of the input from one output pixel to the next */
    int32_t zero;                                   /* the code of 0 */
    const weight_t *weights;                        /* [out_channels][in_channels] */
    const int32_t *bias;                            /* [out_channels] */
    struct requantize rounding;
    int32_t backwards;                              /* 1: from the last pixel to the first, so that the result may lie behind the input */
};

KERNEL void pointwise(const struct pointwise *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->out_height; i++) {
        const int32_t y = layer->backwards ? layer->out_height - 1 - i : i;
        for (int32_t j = 0; j < layer->out_width; j++) {
            const int32_t x = layer->backwards ? layer->out_width - 1 - j : j;
            result_t *pixel = result + (y * layer->out_width + x) * layer->out_channels;
            const source_t *codes = source + y * layer->row_step + x * layer->column_step;
            for (int32_t k = 0; k < layer->out_channels; k++) {
                const sum_t sum = dot(codes, layer->zero, layer->weights, k * layer->in_channels, layer->in_channels, layer->bias[k]);
                *pixel++ = (result_t)requantize(&layer->rounding, sum, k);
            }
        }
    }
}
