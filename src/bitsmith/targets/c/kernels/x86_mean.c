#include "lanes.c"
/* kernel */
/* The mean of each channel over all pixels for x86, sixteen channels at once. Channels last. */
struct x86_mean {
    int32_t pixels, channels;
    const int32_t *bias;                            /* [channels]: - pixels * zero point */
    struct lanes_rounding rounding;
};

KERNEL void x86_mean(const struct x86_mean *layer, const uint8_t *source, uint8_t *result)
{
    static const int16_t ones[32] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const int16_t first[32] = {1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0};
    for (int32_t channel = 0; channel < layer->channels; channel += 16) {
        lanes sums = lanes_load(layer->bias + channel);
        for (int32_t i = 0; i < layer->pixels; i += 2) {
            const uint8_t *pixel = source + i * layer->channels + channel;
            const int32_t last = i + 1 == layer->pixels;
            sums = lanes_dot_each(sums, last ? first : ones, lanes_widen(pixel), lanes_widen(last ? pixel : pixel + layer->channels));
        }
        lanes_finish(&layer->rounding, sums, channel, result + channel, 16);
    }
}
