#include "tiles_four.c"
/* kernel */
/* Convolution of 3 x 3 places, one pixel apart, by Winograd's minimal filtering: tiles of pixels, as `tiles` takes them. Both codes and
 * weights are transformed, multiplied place by place, summed over the channels, and the sums transformed to pixels. With AVX-512 VNNI,
 * bytes multiply faster than these. */
enum { x86_winograd_places = tiles_reach * tiles_reach };

struct x86_winograd {
    struct x86_convolve direct;
    struct lines windows;                           /* of one row of tiles */
    int32_t down, across;                           /* tiles */
    int32_t group;                                  /* tiles that are taken together, a multiple of 4 */
    const int16_t *turned;                          /* weights: [out_channels / 16, rounded up][places][channels / 2][16][2] */
};

/* One tile: codes -> turned[place * group * channels + channel]. */
KERNEL void x86_winograd_turn(const struct x86_winograd *layer, const int16_t *tile, int16_t *turned)
{
    const int32_t channels = layer->windows.channels, length = layer->windows.length, apart = layer->group * channels;
    int16_t half[x86_winograd_places * 16];
    for (int32_t channel = 0; channel < channels; channel += 16) {
        for (int32_t i = 0; i < tiles_reach; i++) {
            tiles_turn_store(half + i * 16, tiles_reach * 16, tiles_turn_line(tile + i * channels + channel, length));
        }
        for (int32_t i = 0; i < tiles_reach; i++) {
            tiles_turn_store(turned + i * tiles_reach * apart + channel, apart, tiles_turn_line(half + i * tiles_reach * 16, 16));
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

/* Sixteen channels of `count` pixels of row `i` of a tile. */
KERNEL void x86_winograd_row(const struct x86_convolve *direct, const int32_t *totals, int32_t i, int32_t count, int32_t channel,
                             uint8_t *pixel)
{
    const struct scaling rounding = direct->rounding;
    const lanes bias = lanes_load(direct->bias + channel);
    const int32_t outputs = direct->out_channels;
    for (int32_t j = 0; j < count; j++) {
        const lanes total = lanes_add(tiles_exact(lanes_load(totals + j * 16), i, j), bias);
        lanes_pack_some(&rounding.codes, scaling_steps(&rounding, total, channel), pixel + j * outputs, outputs - channel);
    }
}

/* The pixels of a tile, of those that there are, in sixteen channels. sums: [places][group][16] */
KERNEL void x86_winograd_finish(const struct x86_winograd *layer, const int32_t *sums, int32_t tile, int32_t channel, uint8_t *result)
{
    const struct x86_convolve *direct = &layer->direct;
    const int32_t y = tile / layer->across * tiles_size, x = tile % layer->across * tiles_size, apart = layer->group * 16;
    const int32_t left = direct->out_width - x, wide = left < tiles_size ? left : tiles_size;
    int32_t half[tiles_size * tiles_reach * 16], totals[tiles_size * 16];
    for (int32_t i = 0; i < tiles_reach; i++) {
        tiles_total_store(half + i * 16, tiles_reach * 16, tiles_total_line(sums + i * apart, tiles_reach * apart));
    }
    for (int32_t i = 0; i < tiles_size && y + i < direct->out_height; i++) {
        uint8_t *pixel = result + ((y + i) * direct->out_width + x) * direct->out_channels + channel;
        tiles_total_store(totals, 16, tiles_total_line(half + i * tiles_reach * 16, 16));
        x86_winograd_row(direct, totals, i, wide, channel, pixel);
    }
}

/* One group of tiles, all output channels. */
KERNEL void x86_winograd_group(const struct x86_winograd *layer, int32_t first, int32_t count, const int16_t *turned, int32_t *sums,
                               uint8_t *result)
{
    const int32_t channels = layer->windows.channels, group = layer->group;
    const int16_t *weights = layer->turned;
    for (int32_t channel = 0; channel < layer->direct.out_channels; channel += 16) {
        for (int32_t place = 0; place < x86_winograd_places; place++) {
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
    const int32_t channels = layer->windows.channels, tiles = layer->down * layer->across;
    const int32_t spread = layer->windows.rows * layer->windows.length;
    int32_t *sums = (void *)lanes_align(scratch);
    int16_t *turned = (void *)(sums + x86_winograd_places * 16 * layer->group);
    int16_t *wide = turned + x86_winograd_places * layer->group * channels;
    uint8_t *rows = (void *)(wide + spread);
    for (int32_t first = 0; first < tiles; first += layer->group) {
        const int32_t count = tiles - first < layer->group ? tiles - first : layer->group;
        for (int32_t i = 0; i < count; i++) {
            const int32_t x = (first + i) % layer->across;
            if (x == 0) {
                lines_fill(&layer->windows, source, (first + i) / layer->across, rows);
                lanes_widen_all(rows, spread, wide);
            }
            x86_winograd_turn(layer, wide + tiles_size * x * channels, turned + i * channels);
        }
        x86_winograd_group(layer, first, count, turned, sums, result);
    }
#endif
}
