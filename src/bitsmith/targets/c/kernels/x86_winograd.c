#include "x86_convolve.c"
/* kernel */
/* Convolution of 3 x 3 places, one pixel apart, by Winograd's minimal filtering (Lavin and Gray 2015, F(2 x 2, 3 x 3)): sixteen products
 * for four pixels where the window has 36. Weights are transformed with twice the usual matrix, so that all numbers are integers and
 * the sums exactly four times what they would be. With AVX-512 VNNI, bytes multiply faster than these. */
struct x86_winograd {
    struct x86_convolve direct;
    struct lines windows;                           /* of one row of tiles: four lines */
    int32_t tiles_y, tiles_x;                       /* of 2 x 2 pixels */
    int32_t group;                                  /* tiles that are taken together, a multiple of 4 */
    const int16_t *turned;                          /* weights: [out_channels / 16, rounded up][16][channels / 2][16][2] */
};

/* From a tile of 4 x 4 pixels to sixteen places: turned[place * group * channels + channel]. */
KERNEL void x86_winograd_turn(const struct x86_winograd *layer, const uint8_t *tile, int16_t *turned)
{
    const int32_t channels = layer->windows.channels, apart = layer->group * channels;
    for (int32_t channel = 0; channel < channels; channel += 16) {
        lanes_halves half[4][4];
        for (int32_t i = 0; i < 4; i++) {
            const uint8_t *column = tile + i * channels + channel;
            const lanes_halves a = lanes_widen(column), b = lanes_widen(column + layer->windows.length);
            const lanes_halves c = lanes_widen(column + 2 * layer->windows.length);
            const lanes_halves d = lanes_widen(column + 3 * layer->windows.length);
            half[0][i] = lanes_subtract_halves(a, c);
            half[1][i] = lanes_add_halves(b, c);
            half[2][i] = lanes_subtract_halves(c, b);
            half[3][i] = lanes_subtract_halves(b, d);
        }
        for (int32_t i = 0; i < 4; i++) {
            const lanes_halves all[4] = {
                lanes_subtract_halves(half[i][0], half[i][2]), lanes_add_halves(half[i][1], half[i][2]),
                lanes_subtract_halves(half[i][2], half[i][1]), lanes_subtract_halves(half[i][1], half[i][3]),
            };
            for (int32_t j = 0; j < 4; j++) {
                lanes_store_halves(turned + (i * 4 + j) * apart + channel, all[j]);
            }
        }
    }
}

/* Sums of sixteen output channels of four tiles at one place. */
KERNEL void x86_winograd_sums(const int16_t *turned, int32_t channels, const int16_t *weights, int32_t *sums)
{
    const int32_t turns = lanes_turns(channels);
    lanes a = lanes_zero(), b = a, c = a, d = a;
    for (int32_t i = 0; i < turns; i += 2) {
        const lanes_weights two = lanes_weigh(weights + i * 16);
        a = lanes_dot(a, two, turned + i);
        b = lanes_dot(b, two, turned + i + channels);
        c = lanes_dot(c, two, turned + i + 2 * channels);
        d = lanes_dot(d, two, turned + i + 3 * channels);
    }
    lanes_store(sums, a);
    lanes_store(sums + 16, b);
    lanes_store(sums + 32, c);
    lanes_store(sums + 48, d);
}

/* Sixteen channels of a pixel. sums: four times what they ought to be, without the bias */
KERNEL void x86_winograd_pixel(const struct x86_convolve *layer, lanes sums, int32_t channel, uint8_t *pixel)
{
    const lanes total = lanes_add(lanes_shift(sums, 2), lanes_load(layer->bias + channel));
    lanes_pack_some(&layer->rounding.codes, scaling_steps(&layer->rounding, total, channel), pixel + channel, layer->out_channels - channel);
}

/* The 2 x 2 pixels of a tile, of those that there are. sums: [16 places][group][16] */
KERNEL void x86_winograd_finish(const struct x86_winograd *layer, const int32_t *sums, int32_t tile, int32_t channel, uint8_t *result)
{
    const int32_t y = tile / layer->tiles_x * 2, x = tile % layer->tiles_x * 2, outputs = layer->direct.out_channels;
    lanes half[2][4];
    for (int32_t i = 0; i < 4; i++) {
        const lanes a = lanes_load(sums + i * layer->group * 16), b = lanes_load(sums + (4 + i) * layer->group * 16);
        const lanes c = lanes_load(sums + (8 + i) * layer->group * 16), d = lanes_load(sums + (12 + i) * layer->group * 16);
        half[0][i] = lanes_add(lanes_add(a, b), c);
        half[1][i] = lanes_subtract(lanes_subtract(b, c), d);
    }
    for (int32_t i = 0; i < 2 && y + i < layer->direct.out_height; i++) {
        uint8_t *pixel = result + ((y + i) * layer->direct.out_width + x) * outputs;
        const lanes left = lanes_add(lanes_add(half[i][0], half[i][1]), half[i][2]);
        x86_winograd_pixel(&layer->direct, left, channel, pixel);
        if (x + 1 < layer->direct.out_width) {
            const lanes right = lanes_subtract(lanes_subtract(half[i][1], half[i][2]), half[i][3]);
            x86_winograd_pixel(&layer->direct, right, channel, pixel + outputs);
        }
    }
}

/* One group of tiles, all output channels. */
KERNEL void x86_winograd_group(const struct x86_winograd *layer, int32_t first, int32_t count, const int16_t *turned, int32_t *sums,
                               uint8_t *result)
{
    const int32_t channels = layer->windows.channels, group = layer->group;
    const int16_t *weights = layer->turned;
    for (int32_t channel = 0; channel < layer->direct.out_channels; channel += 16) {
        for (int32_t place = 0; place < 16; place++) {
            for (int32_t i = 0; i < count; i += 4) {
                x86_winograd_sums(turned + (place * group + i) * channels, channels, weights, sums + (place * group + i) * 16);
            }
            weights += channels * 16;
        }
        for (int32_t i = 0; i < count; i++) {
            x86_winograd_finish(layer, sums + i * 16, first + i, channel, result);
        }
    }
}

KERNEL void x86_winograd(const struct x86_winograd *layer, const uint8_t *source, uint8_t *result, uint8_t *scratch)
{
#if defined(__AVX512VNNI__) && defined(__AVX512F__)
    x86_convolve(&layer->direct, source, result, scratch);
#else
    const int32_t channels = layer->windows.channels, tiles = layer->tiles_y * layer->tiles_x;
    int32_t *sums = (void *)lanes_align(scratch);
    int16_t *turned = (void *)(sums + 16 * 16 * layer->group);
    uint8_t *rows = (void *)(turned + 16 * layer->group * channels);
    for (int32_t first = 0; first < tiles; first += layer->group) {
        const int32_t count = tiles - first < layer->group ? tiles - first : layer->group;
        for (int32_t i = 0; i < count; i++) {
            const int32_t x = (first + i) % layer->tiles_x;
            if (i == 0 || x == 0) {
                lines_fill(&layer->windows, source, (first + i) / layer->tiles_x, rows);
            }
            x86_winograd_turn(layer, rows + 2 * x * channels, turned + i * channels);
        }
        x86_winograd_group(layer, first, count, turned, sums, result);
    }
#endif
}
