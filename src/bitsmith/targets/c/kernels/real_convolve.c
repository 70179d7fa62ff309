#include <string.h>
#include "real_dot.c"
#include "real_finish.c"
/* kernel */
/* Convolution in float. What the windows of four neighbouring outputs see is gathered, once for each group; then four output channels
 * at a time. Numbers come in any order of memory and leave channels last. */
struct real_convolve {
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
    const weight_t *weights;                        /* [groups][out_channels / 4, rounded up][kernel_height][kernel_width][in_channels][4] */
    struct real_finish finish;
    int32_t backwards;                              /* 1: from the last pixel to the first, so that the result may lie behind the input */
};

/* Where a place along one axis of the padded, spread input lies in the input; -1: nowhere. */
KERNEL int32_t real_convolve_index(int32_t place, int32_t size, int32_t spread)
{
    if (spread == 1) {
        return place < size ? place : -1;
    }
    return place >= 0 && place % spread == 0 && place / spread < size ? place / spread : -1;
}

KERNEL void real_convolve_copy(const struct real_convolve *layer, const float *pixel, float *window)
{
    if (layer->channel_step == 1) {
        for (int32_t i = 0; i < layer->in_channels; i++) {
            window[i] = pixel[i];
        }
    } else {
        for (int32_t i = 0; i < layer->in_channels; i++) {
            window[i] = pixel[i * layer->channel_step];
        }
    }
}

KERNEL void real_convolve_gather(const struct real_convolve *layer, const float *source, int32_t y, int32_t x, float *window)
{
    for (int32_t i = 0; i < layer->kernel_height; i++) {
        const int32_t row = real_convolve_index(y * layer->stride_y + i * layer->dilation_y - layer->pad_top,
                                                layer->in_height, layer->spread_y);
        for (int32_t j = 0; j < layer->kernel_width; j++) {
            const int32_t column = real_convolve_index(x * layer->stride_x + j * layer->dilation_x - layer->pad_left,
                                                       layer->in_width, layer->spread_x);
            if (row >= 0 && column >= 0) {
                real_convolve_copy(layer, source + row * layer->row_step + column * layer->column_step, window);
            } else {
                for (int32_t k = 0; k < layer->in_channels; k++) {
                    window[k] = 0.0f;
                }
            }
            window += layer->in_channels;
        }
    }
}

/* One group's channels of `count` pixels, one or four, whose windows were gathered. */
KERNEL void real_convolve_pixels(const struct real_convolve *layer, int32_t group, const float *windows, int32_t count, float *pixels)
{
    const int32_t terms = layer->kernel_height * layer->kernel_width * layer->in_channels;
    const int32_t all = layer->groups * layer->out_channels, blocks = (layer->out_channels + 3) / 4;
    float sums[16];
    for (int32_t block = 0; block < blocks; block++) {
        const int32_t channel = group * layer->out_channels + 4 * block, left = layer->out_channels - 4 * block;
        const int32_t at = (group * blocks + block) * terms * 4;
        if (count == 4) {
            real_dot_four(windows, layer->weights, at, terms, sums);
        } else {
            real_dot(windows, layer->weights, at, terms, sums);
        }
        for (int32_t i = 0; i < count; i++) {
            real_finish(&layer->finish, sums + 4 * i, channel, left < 4 ? left : 4, pixels + i * all + channel);
        }
    }
}

KERNEL void real_convolve(const struct real_convolve *layer, const float *source, float *result, float *windows)
{
    const int32_t terms = layer->kernel_height * layer->kernel_width * layer->in_channels;
    const int32_t all = layer->groups * layer->out_channels, pixels = layer->out_height * layer->out_width;
    int32_t count;
    for (int32_t done = 0; done < pixels; done += count) {
        count = pixels - done < 4 || layer->groups > 1 ? 1 : 4;     /* all is read before anything is written */
        const int32_t first = layer->backwards ? pixels - done - count : done;
        for (int32_t group = 0; group < layer->groups; group++) {
            for (int32_t i = 0; i < count; i++) {
                real_convolve_gather(layer, source + group * layer->in_channels * layer->channel_step,
                                     (first + i) / layer->out_width, (first + i) % layer->out_width, windows + i * terms);
            }
            real_convolve_pixels(layer, group, windows, count, result + first * all);
        }
    }
}
