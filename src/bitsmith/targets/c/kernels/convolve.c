#include <string.h>
#include "dot.c"
#include "squeeze.c"
#include "requantize_multiplier.c"
typedef uint8_t result_t;
/* kernel */
/* Convolution. For every output pixel the window's codes are gathered, once for each group; each output channel is a dot product.
 * Codes come in any order of memory and leave channels last. */
struct convolve {
    int32_t in_height, in_width;
    int32_t in_channels;                            /* of one group */
    int32_t row_step, column_step, channel_step;    /* elements from one input to the next */
    int32_t spread_y, spread_x;                     /* places from one input to the next: the strides of a transposed convolution */
    int32_t out_height, out_width;
    int32_t out_channels;                           /* of one group */
    int32_t groups;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    int32_t zero;                                   /* the code of 0, which is what padding holds */
    const weight_t *weights;                        /* [groups * out_channels][kernel_height][kernel_width][in_channels] */
    const int32_t *bias;                            /* [groups * out_channels] */
    struct requantize rounding;
    int32_t backwards;                              /* 1: from the last pixel to the first, so that the result may lie behind the input */
};

/* Where a place along one axis of the padded, spread input lies in the input; -1: nowhere. */
KERNEL int32_t convolve_index(int32_t place, int32_t size, int32_t spread)
{
    return place >= 0 && place % spread == 0 && place / spread < size ? place / spread : -1;
}

KERNEL void convolve_copy(const struct convolve *layer, const source_t *pixel, source_t *window)
{
    if (layer->channel_step == 1) {
        memcpy(window, pixel, (size_t)layer->in_channels * sizeof(source_t));
    } else {
        for (int32_t i = 0; i < layer->in_channels; i++) {
            window[i] = pixel[i * layer->channel_step];
        }
    }
}

KERNEL void convolve_gather(const struct convolve *layer, const source_t *source, int32_t y, int32_t x, source_t *window)
{
    for (int32_t i = 0; i < layer->kernel_height; i++) {
        const int32_t row = convolve_index(y * layer->stride_y + i * layer->dilation_y - layer->pad_top,
                                           layer->in_height, layer->spread_y);
        for (int32_t j = 0; j < layer->kernel_width; j++) {
            const int32_t column = convolve_index(x * layer->stride_x + j * layer->dilation_x - layer->pad_left,
                                                  layer->in_width, layer->spread_x);
            if (row >= 0 && column >= 0) {
                convolve_copy(layer, source + row * layer->row_step + column * layer->column_step, window);
            } else {
                for (int32_t k = 0; k < layer->in_channels; k++) {
                    window[k] = (source_t)layer->zero;
                }
            }
            window += layer->in_channels;
        }
    }
}

KERNEL void convolve(const struct convolve *layer, const source_t *source, result_t *result, source_t *window)
{
    const int32_t terms = layer->kernel_height * layer->kernel_width * layer->in_channels;
    for (int32_t i = 0; i < layer->out_height; i++) {
        const int32_t y = layer->backwards ? layer->out_height - 1 - i : i;
        for (int32_t j = 0; j < layer->out_width; j++) {
            const int32_t x = layer->backwards ? layer->out_width - 1 - j : j;
            result_t *pixel = result + (y * layer->out_width + x) * (layer->groups * layer->out_channels);
            for (int32_t group = 0; group < layer->groups; group++) {
                convolve_gather(layer, source + group * layer->in_channels * layer->channel_step, y, x, window);
                squeeze(window, terms);
                for (int32_t k = 0; k < layer->out_channels; k++) {
                    const int32_t channel = group * layer->out_channels + k;
                    const sum_t sum = dot(window, layer->zero, layer->weights, channel * terms, terms, layer->bias[channel]);
                    *pixel++ = (result_t)requantize(&layer->rounding, sum, channel);
                }
            }
        }
    }
}
