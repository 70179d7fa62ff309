#include <stdint.h>
#include <string.h>
#define KERNEL static inline
/* kernel */
/* What the windows of some rows of outputs see: rows of codes, channels last, with the padding written where it belongs. */
struct lines {
    int32_t height, channels;                       /* of the inputs */
    int32_t row_step, column_step, channel_step;    /* elements from one input to the next */
    int32_t rows, stride;                           /* how many, and from one row of outputs to the next */
    int32_t above;                                  /* rows of padding */
    int32_t start;                                  /* the first input of a row that is seen */
    int32_t left, inside, right;                    /* codes of a line: padding, inputs, padding and some to spare */
    int32_t zero;                                   /* the code of 0, which is what padding holds */
    int32_t length;                                 /* codes of a line */
};

/* Three planes, as those of an image in colour: compilers know how to shuffle three. */
KERNEL void lines_join(const uint8_t *red, const uint8_t *green, const uint8_t *blue, int32_t count, uint8_t *restrict line)
{
    for (int32_t i = 0; i < count; i++) {
        line[3 * i] = red[i];
        line[3 * i + 1] = green[i];
        line[3 * i + 2] = blue[i];
    }
}

/* Whether the inputs of a row lie as they do in a line. */
KERNEL int32_t lines_lie(const struct lines *from)
{
    return (from->channel_step == 1 || from->channels == 1) && from->column_step == from->channels;
}

KERNEL void lines_copy(const struct lines *from, const uint8_t *pixels, uint8_t *line)
{
    const int32_t channels = from->channels, step = from->channel_step, count = from->inside / channels;
    if (lines_lie(from)) {
        memcpy(line, pixels, (size_t)from->inside);
    } else if (step == 1 && channels % 16 == 0) {
        for (int32_t i = 0; i < count; i++) {
            for (int32_t channel = 0; channel < channels; channel += 16) {
                memcpy(line + i * channels + channel, pixels + i * from->column_step + channel, 16);
            }
        }
    } else if (channels == 3 && from->column_step == 1) {
        lines_join(pixels, pixels + step, pixels + 2 * step, count, line);
    } else {
        for (int32_t channel = 0; channel < channels; channel++) {
            for (int32_t i = 0; i < count; i++) {
                line[i * channels + channel] = pixels[i * from->column_step + channel * step];
            }
        }
    }
}

/* The inputs of a row, or NULL where all of it is padding. Rows above the inputs have negative numbers. */
KERNEL const uint8_t *lines_inputs(const struct lines *from, const uint8_t *source, int32_t row)
{
    return row < 0 || row >= from->height || from->inside == 0 ? NULL : source + row * from->row_step + from->start;
}

/* The line of one row of inputs, which may lie outside. */
KERNEL void lines_line(const struct lines *from, const uint8_t *source, int32_t row, uint8_t *line)
{
    const uint8_t *inputs = lines_inputs(from, source, row);
    if (inputs == NULL) {
        memset(line, from->zero, (size_t)from->length);
        return;
    }
    memset(line, from->zero, (size_t)from->left);
    lines_copy(from, inputs, line + from->left);
    memset(line + from->left + from->inside, from->zero, (size_t)from->right);
}

/* Those of the rows of outputs from `y` on, one line after another. */
KERNEL void lines_fill(const struct lines *from, const uint8_t *source, int32_t y, uint8_t *line)
{
    for (int32_t i = 0; i < from->rows; i++) {
        lines_line(from, source, y * from->stride + i - from->above, line + i * from->length);
    }
}
