#include "lanes.c"
#include "lines.c"
/* kernel */
/* Convolution of every channel by itself for x86: sixteen at once, two places of the window at a time. Eight channels or fewer are taken
 * as sixteen of several pixels. Codes come in any order of memory and leave channels last. */
struct x86_depthwise {
    struct lines windows;
    int32_t out_height, out_count;                  /* rows, and codes in one */
    int32_t step;                                   /* codes from sixteen results to the next pixel's */
    int32_t channels;                               /* of one pixel, or sixteen of several: a multiple of 16 */
    int32_t pairs;                                  /* of places */
    const int32_t *at;                              /* [pairs][2]: where the place lies, from the window's beginning */
    const int16_t *weights;                         /* [channels / 16][pairs][16][2] */
    const int32_t *bias;                            /* [channels] */
    struct lanes_rounding rounding;
};

KERNEL void x86_depthwise(const struct x86_depthwise *layer, const uint8_t *source, uint8_t *result, uint8_t *scratch)
{
    for (int32_t y = 0; y < layer->out_height; y++) {
        lines_fill(&layer->windows, source, y, scratch);
        const uint8_t *window = scratch;
        for (int32_t done = 0; done < layer->out_count; done += layer->channels) {
            for (int32_t channel = 0; channel < layer->channels; channel += 16) {
                const int16_t *weights = layer->weights + channel * layer->pairs * 2;
                lanes sums = lanes_load(layer->bias + channel);
                for (int32_t i = 0; i < layer->pairs; i++) {
                    const lanes_halves first = lanes_widen(window + channel + layer->at[2 * i]);
                    const lanes_halves second = lanes_widen(window + channel + layer->at[2 * i + 1]);
                    sums = lanes_dot_each(sums, weights + i * 32, first, second);
                }
                lanes_finish(&layer->rounding, sums, channel, result + done + channel, layer->out_count - done - channel);
            }
            window += layer->step;
        }
        result += layer->out_count;
    }
}
