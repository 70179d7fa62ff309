#include "lines.c"
#include "quads.c"
/* kernel */
/* Convolution for x86: sixteen output channels at once, several pixels in turn, four codes of a row of the window at a time.
 * Codes come in any order of memory and leave channels last. */
struct x86_convolve {
    struct lines windows;
    int32_t out_height, out_width, out_channels;
    int32_t step;                                   /* codes from one window to the next */
    int32_t words;                                  /* fours of codes in a window; each row of it is filled up */
    int32_t spread;                                 /* codes of all lines, a multiple of 16 */
    const int32_t *at;                              /* [words]: where they lie, from the window's beginning */
    const int8_t *weights;                          /* [out_channels / 16, rounded up][words][16][4] */
    const int32_t *bias;                            /* [out_channels, rounded up to 16]; so are the multipliers */
    struct lanes_rounding rounding;
};

/* Sixteen channels of a pixel. */
KERNEL void x86_convolve_finish(const struct x86_convolve *layer, quads_sums sums, int32_t channel, uint8_t *pixel)
{
    const lanes total = lanes_add(quads_total(sums), lanes_load(layer->bias + channel));
    lanes_finish(&layer->rounding, total, channel, pixel + channel, layer->out_channels - channel);
}

/* Sixteen channels of one pixel. */
KERNEL void x86_convolve_single(const struct x86_convolve *layer, const quads_code *window, const quads_weight *weights, int32_t channel,
                                uint8_t *pixel)
{
    const int32_t words = lanes_turns(layer->words);
    quads_sums sums = quads_zero();
    for (int32_t word = 0; word < words; word++) {
        sums = quads_add(sums, quads_load(weights + word * 64), window + layer->at[word]);
    }
    x86_convolve_finish(layer, sums, channel, pixel);
}

/* Sixteen channels of several pixels from x on; those that hang over are computed at the last place, for nobody. */
KERNEL void x86_convolve_block(const struct x86_convolve *layer, const quads_code *codes, const quads_weight *weights, int32_t x,
                               int32_t channel, uint8_t *pixel)
{
    const int32_t words = lanes_turns(layer->words);
    quads_sums sums[quads_block];
    const quads_code *windows[quads_block];
    for (int32_t i = 0; i < quads_block; i++) {
        windows[i] = codes + (x + i < layer->out_width ? x + i : layer->out_width - 1) * layer->step;
        sums[i] = quads_zero();
    }
    for (int32_t word = 0; word < words; word++) {
        const quads_loaded loaded = quads_load(weights + word * 64);
        for (int32_t i = 0; i < quads_block; i++) {
            sums[i] = quads_add(sums[i], loaded, windows[i] + layer->at[word]);
        }
    }
    for (int32_t i = 0; i < quads_block; i++) {
        if (x + i < layer->out_width) {
            x86_convolve_finish(layer, sums[i], channel, pixel + i * layer->out_channels);
        }
    }
}

KERNEL void x86_convolve(const struct x86_convolve *layer, const uint8_t *source, uint8_t *result, uint8_t *scratch)
{
    uint8_t *rows = scratch + layer->words * 128, *wide = rows + layer->spread;
    for (int32_t y = 0; y < layer->out_height; y++) {
        lines_fill(&layer->windows, source, y, rows);
        const quads_code *codes = quads_codes(rows, layer->spread, wide);
        for (int32_t channel = 0; channel < layer->out_channels; channel += 16) {
            const quads_weight *weights = quads_weights(layer->weights + channel * layer->words * 4, layer->words, scratch);
            int32_t x = 0;
            for (; x + 1 < layer->out_width; x += quads_block) {
                x86_convolve_block(layer, codes, weights, x, channel, result + x * layer->out_channels);
            }
            if (x < layer->out_width) {
                x86_convolve_single(layer, codes + x * layer->step, weights, channel, result + x * layer->out_channels);
            }
        }
        result += layer->out_width * layer->out_channels;
    }
}
