#include "scaling_multiplier.c"
/* kernel */
/* The mean of each channel over all pixels for x86, sixteen channels at once. Channels last. */
struct x86_mean {
    int32_t pixels, channels;
    const int32_t *bias;                            /* [channels]: - pixels * zero point */
    struct scaling rounding;
};

KERNEL void x86_mean(const struct x86_mean *layer, const uint8_t *source, uint8_t *result)
{
    for (int32_t channel = 0; channel < layer->channels; channel += 16) {
        lanes sums = lanes_load(layer->bias + channel);
        for (int32_t i = 0; i < layer->pixels; i++) {
            sums = lanes_add(sums, lanes_extend(lanes_widen(source + i * layer->channels + channel)));
        }
        lanes_pack(&layer->rounding.codes, scaling_steps(&layer->rounding, sums, channel), result + channel);
    }
}
