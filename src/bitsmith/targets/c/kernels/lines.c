#include <stdint.h>
#include <string.h>
#define KERNEL static inline
/* kernel */
/* What the windows of a row of outputs see: rows of codes, channels last, with the padding written where it belongs. */
struct lines {
    int32_t height, width, channels;
    int32_t row_step, column_step, channel_step;    /* elements from one input to the next */
    int32_t rows, columns;                          /* of the windows together */
    int32_t stride, dilation;                       /* from one row of outputs, or of a window, to the next */
    int32_t pad_top, pad_left;
    int32_t zero;                                   /* the code of 0, which is what padding holds */
    int32_t length;                                 /* codes of a line, some to spare */
};

KERNEL void lines_copy(const struct lines *from, const uint8_t *pixels, int32_t count, uint8_t *line)
{
    if (from->channel_step == 1 && from->column_step == from->channels) {
        memcpy(line, pixels, (size_t)(count * from->channels));
        return;
    }
    for (int32_t channel = 0; channel < from->channels; channel++) {
        for (int32_t i = 0; i < count; i++) {
            line[i * from->channels + channel] = pixels[i * from->column_step + channel * from->channel_step];
        }
    }
}

/* Those of row `y` of the outputs, `rows` of them after another. */
KERNEL void lines_fill(const struct lines *from, const uint8_t *source, int32_t y, uint8_t *line)
{
    const int32_t left = from->pad_left < 0 ? 0 : from->pad_left < from->columns ? from->pad_left : from->columns;
    const int32_t end = from->width + from->pad_left < from->columns ? from->width + from->pad_left : from->columns;
    for (int32_t i = 0; i < from->rows; i++) {
        const int32_t row = y * from->stride + i * from->dilation - from->pad_top;
        if (row < 0 || row >= from->height || left >= end) {
            memset(line, from->zero, (size_t)from->length);
        } else {
            memset(line, from->zero, (size_t)(left * from->channels));
            lines_copy(from, source + row * from->row_step + (left - from->pad_left) * from->column_step, end - left,
                       line + left * from->channels);
            memset(line + end * from->channels, from->zero, (size_t)(from->length - end * from->channels));
        }
        line += from->length;
    }
}
