#include "finish.c"
#include "strip.c"
/* kernel */
/* Convolution of every channel by itself, four channels at a time. Codes come and leave channels last. */
struct cortex_m_depthwise {
    struct strip windows;
    int32_t out_height, out_width;
    const int32_t *weights;         /* [channels / 4][kernel_width][kernel_height][2]: two 16-bit weights each, channels 0, 2 and 1, 3 */
    struct finish rounding;
};

#define cortex_m_depthwise_tap \
    even = codes[0]; \
    odd = codes[1]; \
    one = (uint32_t)weights[0]; \
    other = (uint32_t)weights[1]; \
    codes += words; \
    weights += 2; \
    a = dsp_add_low_product(even, one, a); \
    b = dsp_add_low_product(odd, other, b); \
    c = dsp_add_high_product(even, one, c); \
    d = dsp_add_high_product(odd, other, d);

KERNEL void cortex_m_depthwise_output(const struct cortex_m_depthwise *layer, const uint32_t *window, result_t *result)
{
    const int32_t *weights = layer->weights, *channel = layer->rounding.channels;
    const int32_t taps = layer->windows.kernel_height * layer->windows.kernel_width, words = layer->windows.in_channels >> 1;
    const result_t *const end = result + layer->windows.in_channels;
    while (result < end) {
        const uint32_t *codes = window;
        int32_t a = channel[0], b = channel[4], c = channel[8], d = channel[12];
        uint32_t even, odd, one, other;
        int32_t i = taps;
        for (; i >= 3; i -= 3) {
            cortex_m_depthwise_tap
            cortex_m_depthwise_tap
            cortex_m_depthwise_tap
        }
        for (; i > 0; i--) {
            cortex_m_depthwise_tap
        }
        result[0] = finish_code(&layer->rounding, a, channel);
        result[1] = finish_code(&layer->rounding, b, channel + 4);
        result[2] = finish_code(&layer->rounding, c, channel + 8);
        result[3] = finish_code(&layer->rounding, d, channel + 12);
        window += 2;
        result += 4;
        channel += 16;
    }
}

KERNEL void cortex_m_depthwise(const struct cortex_m_depthwise *layer, const source_t *source, result_t *result, void *words)
{
    for (int32_t y = 0; y < layer->out_height; y++) {
        for (int32_t x = 0; x < layer->out_width; x += layer->windows.span) {
            const int32_t outputs = layer->out_width - x < layer->windows.span ? layer->out_width - x : layer->windows.span;
            const uint32_t *window = words;
            strip_gather(&layer->windows, source, y, x, outputs, words);
            for (int32_t i = 0; i < outputs; i++) {
                cortex_m_depthwise_output(layer, window, result);
                window += layer->windows.stride_x * layer->windows.column;
                result += layer->windows.in_channels;
            }
        }
    }
}
