#include <string.h>
#include "requantize_multiplier.c"
typedef uint8_t source_t;
typedef int8_t weight_t;
typedef uint8_t result_t;
/* kernel */
/* Convolution of every channel by itself for x86: sixteen channels at once, in loops of known length. Channels last throughout. */
struct x86_depthwise {
    int32_t in_height, in_width, channels;          /* channels: a multiple of 16 */
    int32_t row_step, column_step, channel_step;    /* elements from one input to the next */
    int32_t out_height, out_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    int32_t zero;                                   /* the code of 0 */
    const weight_t *weights;                        /* [kernel_height][kernel_width][channels] */
    const int32_t *bias;                            /* [channels] */
    struct requantize rounding;
};

KERNEL void x86_depthwise_sums(const struct x86_depthwise *layer, const source_t *source, int32_t top, int32_t left, int32_t channel,
                               int32_t sums[16])
{
    memcpy(sums, layer->bias + channel, 16 * sizeof(sums[0]));
    for (int32_t i = 0; i < layer->kernel_height; i++) {
        const int32_t row = top + i * layer->dilation_y;
        for (int32_t j = 0; j < layer->kernel_width; j++) {
            const int32_t column = left + j * layer->dilation_x;
            if (row >= 0 && row < layer->in_height && column >= 0 && column < layer->in_width) {
                const source_t *codes = source + row * layer->row_step + column * layer->column_step + channel;
                const weight_t *weights = layer->weights + (i * layer->kernel_width + j) * layer->channels + channel;
                for (int32_t k = 0; k < 16; k++) {
                    sums[k] += (codes[k] - layer->zero) * weights[k];
                }
            }
        }
    }
}

KERNEL void x86_depthwise(const struct x86_depthwise *layer, const source_t *source, result_t *result)
{
    for (int32_t y = 0; y < layer->out_height; y++) {
        for (int32_t x = 0; x < layer->out_width; x++) {
            const int32_t top = y * layer->stride_y - layer->pad_top, left = x * layer->stride_x - layer->pad_left;
            for (int32_t channel = 0; channel < layer->channels; channel += 16) {
                int32_t sums[16];
                const int32_t *multiplier = layer->rounding.multiplier + channel;
                const uint8_t *shift = layer->rounding.shift + channel;
                x86_depthwise_sums(layer, source, top, left, channel, sums);
                for (int32_t k = 0; k < 16; k++) {
                    const int64_t half = ((int64_t)1 << shift[k]) >> 1;
                    const int64_t code = (((int64_t)sums[k] * multiplier[k] + half) >> shift[k]) + layer->rounding.zero_point;
                    const int64_t least = code < layer->rounding.low ? layer->rounding.low : code;
                    result[k] = (result_t)(least > layer->rounding.high ? layer->rounding.high : least);
                }
                result += 16;
            }
        }
    }
}
