#include "dsp.c"
typedef uint8_t left_t;
typedef uint8_t right_t;
typedef uint8_t result_t;
/* kernel */
/* The sum of two values of one shape and small multipliers, two elements to a word: sums stay within 0 and 2**16. Ties to even. */
struct cortex_m_add_pairs {
    int32_t count;
    uint32_t left_multiplier, right_multiplier;
    uint32_t start;                                 /* of both halves: zero points, half a step less 1, and steps that make it positive */
    int32_t shift;
    uint32_t mask;                                  /* what the shift leaves of both halves */
    uint32_t zero;                                  /* of both halves: zero point without those steps */
};

KERNEL uint32_t cortex_m_add_pairs_codes(const struct cortex_m_add_pairs *layer, uint32_t left, uint32_t right)
{
    const uint32_t sum = left * layer->left_multiplier + right * layer->right_multiplier + layer->start;
    const uint32_t even = sum + ((sum >> layer->shift) & 0x10001u);
    return dsp_saturate_pair(dsp_add_pair((even >> layer->shift) & layer->mask, layer->zero));
}

KERNEL void cortex_m_add_pairs(const struct cortex_m_add_pairs *layer, const left_t *left, const right_t *right, result_t *result)
{
    const struct cortex_m_add_pairs held = *layer;
    int32_t i = held.count;
    for (; i >= 4; i -= 4) {
        uint32_t ours, theirs;
        memcpy(&ours, left, sizeof ours);
        memcpy(&theirs, right, sizeof theirs);
        const uint32_t some = cortex_m_add_pairs_codes(&held, ours & 0xff00ffu, theirs & 0xff00ffu);
        const uint32_t others = cortex_m_add_pairs_codes(&held, (ours >> 8) & 0xff00ffu, (theirs >> 8) & 0xff00ffu);
        const uint32_t four = some | others << 8;
        memcpy(result, &four, sizeof four);
        left += 4;
        right += 4;
        result += 4;
    }
    for (; i > 0; i--) {
        *result++ = (result_t)cortex_m_add_pairs_codes(&held, *left++, *right++);
    }
}
