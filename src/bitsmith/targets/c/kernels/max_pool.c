#include <stdint.h>
#define KERNEL static inline
typedef uint8_t source_t;
typedef uint8_t result_t;
typedef int32_t largest_t;
/* kernel */
/* The largest code or number of each window; padding never wins. They come in any order of memory and leave channels last. */
struct max_pool {
    int32_t in_height, in_width, channels;
    int32_t row_step, column_step, channel_step;    /* elements from one input to the next */
    int32_t out_height, out_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    largest_t lowest;                               /* what an empty window gives */
    int32_t backwards;                              /* 1: from the last pixel to the first, so that the result may lie behind the input */
};

KERNEL largest_t max_pool_window(const struct max_pool *layer, const source_t *source, int32_t top, int32_t left)
{
    largest_t largest = layer->lowest;
    for (int32_t i = 0; i < layer->kernel_height; i++) {
        const int32_t row = top + i * layer->dilation_y;
        for (int32_t j = 0; j < layer->kernel_width; j++) {
            const int32_t column = left + j * layer->dilation_x;
            if (row >= 0 && row < layer->in_height && column >= 0 && column < layer->in_width) {
                const largest_t code = source[row * layer->row_step + column * layer->column_step];
                largest = code > largest ? code : largest;
            }
        }
    }
    return largest;
}

KERNEL void max_pool(const struct max_pool *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->out_height; i++) {
        const int32_t y = layer->backwards ? layer->out_height - 1 - i : i;
        const int32_t top = y * layer->stride_y - layer->pad_top;
        for (int32_t j = 0; j < layer->out_width; j++) {
            const int32_t x = layer->backwards ? layer->out_width - 1 - j : j;
            result_t *pixel = result + (y * layer->out_width + x) * layer->channels;
            const int32_t left = x * layer->stride_x - layer->pad_left;
            for (int32_t channel = 0; channel < layer->channels; channel++) {
                *pixel++ = (result_t)max_pool_window(layer, source + channel * layer->channel_step, top, left);
            }
        }
    }
}
