#include "nearest_upward.c"
typedef uint8_t source_t;
typedef uint8_t result_t;
/* kernel */
/* The average of each window, rounded once. Codes come in any order of memory and leave channels last. */
struct average_pool {
    int32_t in_height, in_width, channels;
    int32_t row_step, column_step, channel_step;    /* elements from one input to the next */
    int32_t out_height, out_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    int32_t zero;                                   /* the code of 0 */
    const uint16_t *rows;                           /* [out_height]: rows that count; times columns: what to divide by */
    const uint16_t *columns;                        /* [out_width] */
    const int32_t *multiplier;                      /* by that count; so are the shifts */
    const uint8_t *shift;
    int32_t odd;                                    /* see nearest */
    int32_t zero_point, low, high;                  /* of the result */
    int32_t backwards;                              /* 1: from the last pixel to the first, so that the result may lie behind the input */
};

KERNEL int32_t average_pool_sum(const struct average_pool *layer, const source_t *source, int32_t top, int32_t left)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < layer->kernel_height; i++) {
        const int32_t row = top + i * layer->dilation_y;
        for (int32_t j = 0; j < layer->kernel_width; j++) {
            const int32_t column = left + j * layer->dilation_x;
            if (row >= 0 && row < layer->in_height && column >= 0 && column < layer->in_width) {
                sum += source[row * layer->row_step + column * layer->column_step] - layer->zero;
            }
        }
    }
    return sum;
}

KERNEL void average_pool(const struct average_pool *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->out_height; i++) {
        const int32_t y = layer->backwards ? layer->out_height - 1 - i : i;
        const int32_t top = y * layer->stride_y - layer->pad_top;
        for (int32_t j = 0; j < layer->out_width; j++) {
            const int32_t x = layer->backwards ? layer->out_width - 1 - j : j;
            result_t *pixel = result + (y * layer->out_width + x) * layer->channels;
            const int32_t left = x * layer->stride_x - layer->pad_left;
            const int32_t count = layer->rows[y] * layer->columns[x];
            const int32_t shift = layer->shift[count];
            for (int32_t channel = 0; channel < layer->channels; channel++) {
                const int32_t sum = average_pool_sum(layer, source + channel * layer->channel_step, top, left);
                const int64_t product = (int64_t)sum * layer->multiplier[count];
                const int64_t code = nearest(product, shift, layer->odd) + layer->zero_point;
                *pixel++ = (result_t)(code < layer->low ? layer->low : code > layer->high ? layer->high : code);
            }
        }
    }
}
