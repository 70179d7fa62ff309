#include <string.h>
#include "requantize_multiplier.c"
typedef uint8_t source_t;
typedef int8_t weight_t;
typedef uint8_t result_t;
/* kernel */
#if defined(__AVX512VNNI__) && defined(__AVX512F__)
#include <immintrin.h>
#endif

/* Convolution for x86: sixteen output channels at once, four products in each; with AVX-512 VNNI one instruction does 64.
 * Codes come in any order of memory and leave channels last. */
struct x86_convolve {
    int32_t in_height, in_width, in_channels;
    int32_t row_step, column_step, channel_step;    /* elements from one input to the next */
    int32_t out_height, out_width, out_channels;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    int32_t zero;                                   /* the code of 0, which is what padding holds */
    int32_t quads;                                  /* terms / 4, rounded up */
    int32_t direct;                                 /* 1: the window is one pixel of whole quads, read where it lies */
    const weight_t *weights;                        /* [out_channels / 16, rounded up][quads][16][4] */
    const int32_t *bias;                            /* [out_channels, rounded up to 16]; so are the multipliers */
    struct requantize rounding;
};

KERNEL void x86_convolve_gather(const struct x86_convolve *layer, const source_t *source, int32_t top, int32_t left, source_t *window)
{
    const int32_t channels = layer->in_channels;
    for (int32_t i = 0; i < layer->kernel_height; i++) {
        const int32_t row = top + i * layer->dilation_y;
        const source_t *line = source + row * layer->row_step;
        for (int32_t j = 0; j < layer->kernel_width; j++) {
            const int32_t column = left + j * layer->dilation_x;
            if (row < 0 || row >= layer->in_height || column < 0 || column >= layer->in_width) {
                memset(window, layer->zero, (size_t)channels);
            } else if (layer->channel_step == 1) {
                memcpy(window, line + column * layer->column_step, (size_t)channels);
            } else {
                for (int32_t k = 0; k < channels; k++) {
                    window[k] = line[column * layer->column_step + k * layer->channel_step];
                }
            }
            window += channels;
        }
    }
}

/* Sixteen sums of each of four windows. */
KERNEL void x86_convolve_sums(const source_t *const windows[4], const weight_t *weights, const int32_t *bias, int32_t quads,
                              int32_t sums[4][16])
{
#if defined(__AVX512VNNI__) && defined(__AVX512F__)
    __m512i a = _mm512_loadu_si512(bias), b = a, c = a, d = a;
    for (int32_t i = 0; i < quads; i++) {
        const __m512i w = _mm512_loadu_si512(weights + i * 64);
        int32_t codes[4];
        for (int32_t k = 0; k < 4; k++) {
            memcpy(&codes[k], windows[k] + i * 4, 4);
        }
        a = _mm512_dpbusd_epi32(a, _mm512_set1_epi32(codes[0]), w);
        b = _mm512_dpbusd_epi32(b, _mm512_set1_epi32(codes[1]), w);
        c = _mm512_dpbusd_epi32(c, _mm512_set1_epi32(codes[2]), w);
        d = _mm512_dpbusd_epi32(d, _mm512_set1_epi32(codes[3]), w);
    }
    _mm512_storeu_si512(sums[0], a);
    _mm512_storeu_si512(sums[1], b);
    _mm512_storeu_si512(sums[2], c);
    _mm512_storeu_si512(sums[3], d);
#else
    for (int32_t pixel = 0; pixel < 4; pixel++) {
        memcpy(sums[pixel], bias, sizeof(sums[pixel]));
        for (int32_t i = 0; i < quads; i++) {
            for (int32_t k = 0; k < 16; k++) {
                for (int32_t l = 0; l < 4; l++) {
                    sums[pixel][k] += windows[pixel][i * 4 + l] * weights[i * 64 + k * 4 + l];
                }
            }
        }
    }
#endif
}

/* Sixteen sums to codes; the same as `requantize` one by one, in loops of known length. */
KERNEL void x86_convolve_finish(const struct requantize *how, const int32_t sums[16], int32_t channel, result_t codes[16])
{
    const int32_t *multiplier = how->multiplier + channel;
    const uint8_t *shift = how->shift + channel;
    for (int32_t k = 0; k < 16; k++) {
        const int64_t half = ((int64_t)1 << shift[k]) >> 1;
        const int64_t code = (((int64_t)sums[k] * multiplier[k] + half) >> shift[k]) + how->zero_point;
        const int64_t least = code < how->low ? how->low : code;
        codes[k] = (result_t)(least > how->high ? how->high : least);
    }
}

KERNEL void x86_convolve(const struct x86_convolve *layer, const source_t *source, result_t *result, source_t *scratch)
{
    const int32_t pixels = layer->out_height * layer->out_width;
    for (int32_t first = 0; first < pixels; first += 4) {
        const int32_t count = pixels - first < 4 ? pixels - first : 4;
        const source_t *windows[4] = {scratch, scratch, scratch, scratch};      /* those beyond the last pixel give sums for nobody */
        for (int32_t i = 0; i < count; i++) {
            const int32_t y = (first + i) / layer->out_width * layer->stride_y - layer->pad_top;
            const int32_t x = (first + i) % layer->out_width * layer->stride_x - layer->pad_left;
            if (layer->direct) {
                windows[i] = source + y * layer->row_step + x * layer->column_step;
            } else {
                windows[i] = scratch + i * layer->quads * 4;
                x86_convolve_gather(layer, source, y, x, scratch + i * layer->quads * 4);
            }
        }
        for (int32_t channel = 0; channel < layer->out_channels; channel += 16) {
            int32_t sums[4][16];
            result_t codes[16];
            const int32_t rest = layer->out_channels - channel < 16 ? layer->out_channels - channel : 16;
            x86_convolve_sums(windows, layer->weights + channel * layer->quads * 4, layer->bias + channel, layer->quads, sums);
            for (int32_t i = 0; i < count; i++) {
                x86_convolve_finish(&layer->rounding, sums[i], channel, codes);
                memcpy(result + (first + i) * layer->out_channels + channel, codes, (size_t)rest * sizeof(result_t));
            }
        }
    }
}
