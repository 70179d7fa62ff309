#include "finish.c"
#include "taps.c"
#include "widen.c"
/* kernel */
/* Convolution of every channel by itself, four channels at a time. What the windows of `span` outputs of a row see is gathered once,
 * widened to 16 bits, each four channels' columns one behind the other. Codes come and leave channels last. */
struct cortex_m_depthwise {
    int32_t in_height, in_width, channels;      /* channels: a multiple of 4 */
    int32_t row_step, column_step;              /* elements from one input to the next */
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y;                         /* across: 1 */
    int32_t pad_top, pad_left;
    int32_t out_height, out_width;
    int32_t zero;                               /* the code of 0, which is what padding holds */
    int32_t span;                               /* outputs that are gathered for at a time */
    const int32_t *weights;                     /* [channels / 4][kernel_width][kernel_height][2]: see taps */
    struct finish rounding;
};

KERNEL void cortex_m_depthwise_fill(const struct cortex_m_depthwise *layer, uint32_t *words, int32_t step)
{
    const uint32_t zero = ((uint32_t)layer->zero & 0xffffu) * 0x10001u;
    for (int32_t i = layer->channels; i > 0; i -= 4) {
        words[0] = zero;
        words[1] = zero;
        words += step;
    }
}

/* Columns x, x + 1, ... of the rows that begin at y; both may lie outside. */
KERNEL void cortex_m_depthwise_gather(const struct cortex_m_depthwise *layer, const source_t *source, int32_t y, int32_t x,
                                      int32_t columns, uint32_t *words)
{
    const int32_t step = 2 * layer->kernel_height * columns, quads = layer->channels >> 2;
    for (int32_t i = layer->kernel_height; i > 0; i--) {
        const int32_t end = y >= 0 && y < layer->in_height ? layer->in_width : 0;
        int32_t at = y * layer->row_step + x * layer->column_step;
        uint32_t *column = words;
        for (int32_t j = x; j < x + columns; j++) {
            if (j >= 0 && j < end) {
                widen_apart(source + at, quads, column, step);
            } else {
                cortex_m_depthwise_fill(layer, column, step);
            }
            at += layer->column_step;
            column += 2 * layer->kernel_height;
        }
        y += layer->dilation_y;
        words += 2;
    }
}

/* All channels of one output pixel. step: words from four channels' columns to those of the next. */
KERNEL void cortex_m_depthwise_output(const struct cortex_m_depthwise *layer, const uint32_t *window, int32_t step, result_t *result)
{
    const int32_t *weights = layer->weights, *channel = layer->rounding.channels;
    const int32_t taps = layer->kernel_height * layer->kernel_width;
    const result_t *const end = result + layer->channels;
    while (result < end) {
        const struct taps sums = taps_add(window, weights, taps, (struct taps){channel[0], channel[4], channel[8], channel[12]});
        result[0] = finish_code(&layer->rounding, sums.a, channel[1], channel[2], channel[3]);
        result[1] = finish_code(&layer->rounding, sums.b, channel[5], channel[6], channel[7]);
        result[2] = finish_code(&layer->rounding, sums.c, channel[9], channel[10], channel[11]);
        result[3] = finish_code(&layer->rounding, sums.d, channel[13], channel[14], channel[15]);
        window += step;
        weights += 2 * taps;
        channel += 16;
        result += 4;
    }
}

KERNEL void cortex_m_depthwise(const struct cortex_m_depthwise *layer, const source_t *source, result_t *result, void *words)
{
    for (int32_t y = 0; y < layer->out_height; y++) {
        for (int32_t x = 0; x < layer->out_width; x += layer->span) {
            const int32_t outputs = layer->out_width - x < layer->span ? layer->out_width - x : layer->span;
            const int32_t columns = (outputs - 1) * layer->stride_x + layer->kernel_width;
            const uint32_t *window = words;
            cortex_m_depthwise_gather(layer, source, y * layer->stride_y - layer->pad_top, x * layer->stride_x - layer->pad_left,
                                      columns, words);
            for (int32_t i = 0; i < outputs; i++) {
                cortex_m_depthwise_output(layer, window, 2 * layer->kernel_height * columns, result);
                window += 2 * layer->stride_x * layer->kernel_height;
                result += layer->channels;
            }
        }
    }
}
