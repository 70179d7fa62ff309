#include "lines.c"
#include "quads.c"
/* kernel */
/* Convolution for x86: sixteen output channels at once, several pixels in turn, four codes of a row of the window at a time.
 * Codes come in any order of memory and leave channels last. */
struct x86_convolve {
    struct lines windows;                           /* of `together` rows of outputs */
    int32_t out_height, out_width, out_channels;
    int32_t together;                               /* rows of outputs whose pixels are taken one after another */
    int32_t step, down;                             /* codes from one window to the next, and more from the end of a row to the next row */
    int32_t words;                                  /* fours of codes in a window; each row of it is filled up */
    int32_t spread;                                 /* codes of all lines, a multiple of 16 */
    int32_t ready;                                  /* channels whose weights are made ready at once: all, or sixteen */
    const int32_t *at;                              /* [words]: where they lie, from the window's beginning */
    const int8_t *weights;                          /* [out_channels / 16, rounded up][words][16][4] */
    const int32_t *bias;                            /* [out_channels, rounded up to 16]; so is what scales */
    struct scaling rounding;
};

/* Sixteen channels of a pixel. */
KERNEL void x86_convolve_finish(const struct scaling *rounding, lanes sums, const int32_t *bias, int32_t channel, uint8_t *codes,
                                int32_t count)
{
    lanes_pack_some(&rounding->codes, scaling_steps(rounding, lanes_add(sums, lanes_load(bias)), channel), codes, count);
}

KERNEL void x86_convolve_finish_four(const struct x86_convolve *layer, quads_four sums, int32_t channel, uint8_t *const *pixels)
{
    const struct scaling rounding = layer->rounding;
    const int32_t *bias = layer->bias + channel, count = layer->out_channels - channel;
    x86_convolve_finish(&rounding, quads_total(sums.a), bias, channel, pixels[0] + channel, count);
    x86_convolve_finish(&rounding, quads_total(sums.b), bias, channel, pixels[1] + channel, count);
    x86_convolve_finish(&rounding, quads_total(sums.c), bias, channel, pixels[2] + channel, count);
    x86_convolve_finish(&rounding, quads_total(sums.d), bias, channel, pixels[3] + channel, count);
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
    x86_convolve_finish(&layer->rounding, quads_total(sums), layer->bias + channel, channel, pixel + channel,
                        layer->out_channels - channel);
}

/* Sixteen channels of several pixels. */
KERNEL void x86_convolve_block(const struct x86_convolve *layer, const quads_code *const *windows, const quads_weight *weights,
                               int32_t channel, uint8_t *const *pixels)
{
    const int32_t words = lanes_turns(layer->words);
    quads_four sums = quads_four_zeros(), more = sums;
    for (int32_t word = 0; word < words; word++) {
        const quads_loaded loaded = quads_load(weights + word * 64);
        sums = quads_add_four(sums, loaded, windows, layer->at[word]);
        if (quads_block > 4) {
            more = quads_add_four(more, loaded, windows + (quads_block - 4), layer->at[word]);
        }
    }
    x86_convolve_finish_four(layer, sums, channel, pixels);
    if (quads_block > 4) {
        x86_convolve_finish_four(layer, more, channel, pixels + (quads_block - 4));
    }
}

/* Sixteen channels of some pixels, whose windows begin with the first line; where no block is left, the last one is computed again. */
KERNEL void x86_convolve_pixels(const struct x86_convolve *layer, const quads_code *window, const quads_weight *weights, int32_t count,
                                int32_t channel, uint8_t *pixel)
{
    const int32_t across = layer->step, down = layer->down, wide = layer->out_width, outputs = layer->out_channels;
    int32_t x = 0, left = count;
    for (; left > 1; left -= quads_block) {
        const quads_code *windows[quads_block];
        uint8_t *pixels[quads_block];
        for (int32_t i = 0; i < quads_block; i++) {
            windows[i] = window;
            pixels[i] = pixel;
            if (i + 1 < left) {
                x++;
                window += across + (x == wide ? down : 0);
                x = x == wide ? 0 : x;
                pixel += outputs;
            }
        }
        x86_convolve_block(layer, windows, weights, channel, pixels);
    }
    if (left == 1) {
        x86_convolve_single(layer, window, weights, channel, pixel);
    }
}

/* All channels of the only pixel. */
KERNEL void x86_convolve_row(const struct x86_convolve *layer, const quads_code *codes, uint8_t *pixel)
{
    const struct scaling rounding = layer->rounding;
    for (int32_t channel = 0; channel < layer->out_channels; channel += 16) {
        const lanes sums = quads_row(layer->weights + channel * layer->words * 4, layer->words, codes);
        x86_convolve_finish(&rounding, sums, layer->bias + channel, channel, pixel + channel, layer->out_channels - channel);
    }
}

KERNEL void x86_convolve(const struct x86_convolve *layer, const uint8_t *source, uint8_t *result, uint8_t *scratch)
{
    const int32_t words = layer->words;
    uint8_t *room = lanes_align(scratch), *rows = room + words * layer->ready * 8, *wide = rows + layer->spread;
    const quads_weight *weights = (const void *)room;
    for (int32_t y = 0; y < layer->out_height; y += layer->together) {
        const int32_t high = layer->out_height - y < layer->together ? layer->out_height - y : layer->together;
        lines_fill(&layer->windows, source, y, rows);
        const quads_code *codes = quads_codes(rows, layer->spread, wide);
        if (layer->out_height * layer->out_width == 1 && layer->windows.rows == 1) {
            x86_convolve_row(layer, codes, result);
            return;
        }
        for (int32_t channel = 0; channel < layer->out_channels; channel += 16) {
            const int32_t at = channel % layer->ready * words * 4;
            if (at == 0 && (y == 0 || layer->ready < layer->out_channels)) {
                weights = quads_weights(layer->weights + channel * words * 4, words * (layer->ready / 16), room);
            }
            x86_convolve_pixels(layer, codes, weights + at, high * layer->out_width, channel, result);
        }
        result += high * layer->out_width * layer->out_channels;
    }
}
