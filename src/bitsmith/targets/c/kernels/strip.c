#include "widen.c"
/* kernel */
/* What the windows of some outputs of a row see, widened to 16 bits, column after column: each window is one piece of it, and neighbours
 * share what they share. */
struct strip {
    int32_t in_height, in_width, in_channels;
    int32_t row_step, column_step, channel_step;    /* elements from one input to the next */
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y;                             /* across: 1 */
    int32_t pad_top, pad_left;
    int32_t zero;                                   /* the code of 0, which is what padding holds */
    int32_t span;                                   /* outputs from one strip */
    int32_t column;                                 /* words of a column */
};

KERNEL void strip_fill(const struct strip *layer, int32_t columns, uint8_t *words)
{
    const int16_t zero = (int16_t)layer->zero;
    for (; columns > 0; columns--) {
        for (int32_t i = 0; i < layer->in_channels; i++) {
            memcpy(words + 2 * i, &zero, sizeof zero);
        }
        words += 4 * layer->column;
    }
}

KERNEL void strip_copy(const struct strip *layer, const source_t *pixel, int32_t columns, uint8_t *words)
{
    const int32_t channels = layer->in_channels;
    for (; columns > 0; columns--) {
        if (layer->channel_step == 1 && channels % 4 == 0) {
            widen(pixel, channels >> 2, (void *)words);
        } else {
            for (int32_t i = 0; i < channels; i++) {
                const int16_t code = pixel[i * layer->channel_step];
                memcpy(words + 2 * i, &code, sizeof code);
            }
        }
        pixel += layer->column_step;
        words += 4 * layer->column;
    }
}

KERNEL int32_t strip_between(int32_t number, int32_t low, int32_t high)
{
    return number < low ? low : number > high ? high : number;
}

/* The columns that `outputs` windows see, the first of them at output (y, x). */
KERNEL void strip_gather(const struct strip *layer, const source_t *source, int32_t y, int32_t x, int32_t outputs, uint8_t *words)
{
    const int32_t left = x * layer->stride_x - layer->pad_left;
    const int32_t columns = (outputs - 1) * layer->stride_x + layer->kernel_width;
    const int32_t start = strip_between(-left, 0, columns), end = strip_between(layer->in_width - left, start, columns);
    for (int32_t i = 0; i < layer->kernel_height; i++) {
        const int32_t row = y * layer->stride_y - layer->pad_top + i * layer->dilation_y;
        const int inside = row >= 0 && row < layer->in_height;
        strip_fill(layer, inside ? start : columns, words);
        if (inside) {
            strip_copy(layer, source + row * layer->row_step + (left + start) * layer->column_step, end - start,
                       words + 4 * start * layer->column);
            strip_fill(layer, columns - end, words + 4 * end * layer->column);
        }
        words += 2 * layer->in_channels;
    }
}
