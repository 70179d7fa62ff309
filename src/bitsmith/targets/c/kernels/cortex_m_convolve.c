#include "block.c"
#include "finish.c"
#include "strip.c"
/* kernel */
/* Convolution, by two windows and two output channels at a time. Codes leave channels last. */
struct cortex_m_convolve {
    struct strip windows;
    int32_t out_height, out_width, out_channels;
    int32_t quads;                                  /* a window's terms, by four, filled up with weights of 0 */
    const int32_t *weights;                         /* [out_channels / 2][2 * quads]: see terms */
    struct finish rounding;
};

/* All channels of one output pixel. */
KERNEL void cortex_m_convolve_one(const struct cortex_m_convolve *layer, const uint32_t *window, result_t *result)
{
    const int32_t *weights = layer->weights, *channel = layer->rounding.channels;
    const int32_t quads = layer->quads;
    for (int32_t i = layer->out_channels; i > 0; i -= 2) {
        struct block sums = {channel[0], channel[4], 0, 0};
        weights = block_window(window, weights, quads, &sums);
        result[0] = finish_code(&layer->rounding, sums.first, channel[1], channel[2], channel[3]);
        if (i > 1) {
            result[1] = finish_code(&layer->rounding, terms_second(sums.second, sums.first), channel[5], channel[6], channel[7]);
        }
        result += 2;
        channel += 8;
    }
}

/* All channels of two. */
KERNEL void cortex_m_convolve_two(const struct cortex_m_convolve *layer, const uint32_t *window, const uint32_t *next, result_t *result)
{
    const int32_t *weights = layer->weights, *channel = layer->rounding.channels;
    const int32_t quads = layer->quads;
    result_t *after = result + layer->out_channels;
    for (int32_t i = layer->out_channels; i > 0; i -= 2) {
        struct block sums = {channel[0], channel[4], channel[0], channel[4]};
        weights = block_windows(window, next, weights, quads, &sums);
        const int32_t multiplier = channel[1], offset = channel[2], shift = channel[3];
        result[0] = finish_code(&layer->rounding, sums.first, multiplier, offset, shift);
        after[0] = finish_code(&layer->rounding, sums.next_first, multiplier, offset, shift);
        if (i > 1) {
            const int32_t other = channel[5], another = channel[6], further = channel[7];
            result[1] = finish_code(&layer->rounding, terms_second(sums.second, sums.first), other, another, further);
            after[1] = finish_code(&layer->rounding, terms_second(sums.next_second, sums.next_first), other, another, further);
        }
        result += 2;
        after += 2;
        channel += 8;
    }
}

KERNEL void cortex_m_convolve(const struct cortex_m_convolve *layer, const source_t *source, result_t *result, void *words)
{
    const int32_t step = layer->windows.stride_x * layer->windows.column;
    for (int32_t y = 0; y < layer->out_height; y++) {
        for (int32_t x = 0; x < layer->out_width; x += layer->windows.span) {
            const int32_t outputs = layer->out_width - x < layer->windows.span ? layer->out_width - x : layer->windows.span;
            const uint32_t *window = words;
            strip_gather(&layer->windows, source, y, x, outputs, words);
            for (int32_t i = outputs; i > 1; i -= 2) {
                cortex_m_convolve_two(layer, window, window + step, result);
                window += 2 * step;
                result += 2 * layer->out_channels;
            }
            if (outputs & 1) {
                cortex_m_convolve_one(layer, window, result);
                result += layer->out_channels;
            }
        }
    }
}
