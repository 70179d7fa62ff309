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
};

KERNEL void pointwise(const struct pointwise *layer, const source_t *source, result_t *result)
{
    for (int32_t y = 0; y < layer->out_height; y++) {
        for (int32_t x = 0; x < layer->out_width; x++) {
            const source_t *codes = source + y * layer->row_step + x * layer->column_step;
            for (int32_t i = 0; i < layer->out_channels; i++) {
                const int32_t sum = dot(codes, layer->zero, layer->weights, i * layer->in_channels, layer->in_channels, layer->bias[i]);
                *result++ = (result_t)requantize(&layer->rounding, sum, i);
            }
        }
    }
}
