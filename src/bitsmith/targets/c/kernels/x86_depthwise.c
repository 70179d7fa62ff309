#include "lines.c"
#include "scaling_multiplier.c"
/* kernel */
/* Convolution of every channel by itself for x86: sixteen at once, two places of the window at a time. Eight channels or fewer are taken
 * as sixteen of several pixels. Codes come in any order of memory and leave channels last. */
struct x86_depthwise {
    struct lines windows;                           /* of one row of outputs */
    int32_t out_height, out_count;                  /* rows, and codes in one */
    int32_t step;                                   /* codes from sixteen results to the next pixel's */
    int32_t channels;                               /* of one pixel, or sixteen of several: a multiple of 16 */
    int32_t pairs;                                  /* of places */
    int32_t down, across;                           /* lines to the place below, and codes to the next, where the window is 3 x 3; or 0 */
    const int32_t *at;                              /* [pairs][2][2]: the place's line, and where in it */
    const int16_t *weights;                         /* [channels / 16][pairs][16][2] */
    const int32_t *bias;                            /* [channels] */
    struct scaling rounding;
};

/* Lines as 16 bits, in turns: the line of row `first` of a window, and so on. */
struct x86_depthwise_lines {
    const int16_t *wide;
    int32_t rows, length, first;
};

KERNEL const int16_t *x86_depthwise_line(struct x86_depthwise_lines from, int32_t row)
{
    return from.wide + (from.first + row) % from.rows * from.length;
}

/* All nine places of a window of 3 x 3, on three lines. */
KERNEL lanes x86_depthwise_nine(lanes sums, const int16_t *weights, const int16_t *a, const int16_t *b, const int16_t *c, intptr_t across)
{
    sums = lanes_dot_each(sums, weights, a, a + across);
    sums = lanes_dot_each(sums, weights + 32, a + 2 * across, b);
    sums = lanes_dot_each(sums, weights + 64, b + across, b + 2 * across);
    sums = lanes_dot_each(sums, weights + 96, c, c + across);
    return lanes_dot_each(sums, weights + 128, c + 2 * across, c + 2 * across);
}

/* All places of any window. */
KERNEL lanes x86_depthwise_all(lanes sums, const struct x86_depthwise *layer, const int16_t *weights, struct x86_depthwise_lines from,
                               int32_t x)
{
    for (int32_t i = 0; i < layer->pairs; i++) {
        const int32_t *at = layer->at + i * 4;
        const int16_t *first = x86_depthwise_line(from, at[0]) + at[1], *second = x86_depthwise_line(from, at[2]) + at[3];
        sums = lanes_dot_each(sums, weights + i * 32, first + x, second + x);
    }
    return sums;
}

/* Sixteen channels of a row of pixels; of the last result there may be less than sixteen codes. */
KERNEL void x86_depthwise_row(const struct x86_depthwise *layer, struct x86_depthwise_lines from, int32_t channel, uint8_t *result)
{
    const struct scaling rounding = layer->rounding;
    const int16_t *weights = layer->weights + channel * layer->pairs * 2;
    const int16_t *a = x86_depthwise_line(from, 0) + channel, *b = x86_depthwise_line(from, layer->down) + channel;
    const int16_t *c = x86_depthwise_line(from, 2 * layer->down) + channel;
    const int32_t count = layer->out_count, step = layer->step, channels = layer->channels;
    const intptr_t across = layer->across;
    const lanes bias = lanes_load(layer->bias + channel);
    uint8_t last[16];
    int32_t done = channel;
    for (int32_t x = channel; done < count; x += step) {
        const lanes sums = across != 0 ? x86_depthwise_nine(bias, weights, a, b, c, across)
                                       : x86_depthwise_all(bias, layer, weights, from, x);
        lanes_pack(&rounding.codes, scaling_steps(&rounding, sums, channel), count - done < 16 ? last : result + done);
        done += channels;
        a += step;
        b += step;
        c += step;
    }
    if (count % 16 != 0) {
        memcpy(result + count - count % 16, last, (size_t)(count % 16));
    }
}

/* The line of one row of inputs, as 16 bits; spare: for one as bytes */
KERNEL void x86_depthwise_widen(const struct lines *from, const uint8_t *source, int32_t row, int16_t *wide, uint8_t *spare)
{
    const uint8_t *inputs = lines_inputs(from, source, row);
    if (inputs == NULL || !lines_lie(from) || (from->left | from->inside) % 16 != 0) {
        lines_line(from, source, row, spare);
        lanes_widen_all(spare, from->length, wide);
        return;
    }
    lanes_fill(wide, from->zero, from->left);
    lanes_widen_all(inputs, from->inside, wide + from->left);
    lanes_fill(wide + from->left + from->inside, from->zero, from->right);
}

KERNEL void x86_depthwise(const struct x86_depthwise *layer, const uint8_t *source, uint8_t *result, uint8_t *scratch)
{
    const int32_t rows = layer->windows.rows, length = layer->windows.length;
    int16_t *wide = (void *)lanes_align(scratch);
    uint8_t *line = (void *)(wide + rows * length);
    int32_t ready = 0;                              /* rows of inputs that have been laid out, padding included */
    for (int32_t y = 0; y < layer->out_height; y++) {
        const int32_t first = y * layer->windows.stride;
        for (ready = ready < first ? first : ready; ready < first + rows; ready++) {
            x86_depthwise_widen(&layer->windows, source, ready - layer->windows.above, wide + ready % rows * length, line);
        }
        for (int32_t channel = 0; channel < layer->channels; channel += 16) {
            x86_depthwise_row(layer, (struct x86_depthwise_lines){wide, rows, length, first}, channel, result);
        }
        result += layer->out_count;
    }
}
