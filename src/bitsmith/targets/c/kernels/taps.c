#include "dsp.c"
/* kernel */
/* Sums of products of four channels' codes with four channels' weights, one place of the window after another: each place is two words
 * of two 16-bit numbers, channels 0 and 2, channels 1 and 3. */
struct taps {
    int32_t a, b, c, d;
};

#ifdef __ARM_FEATURE_DSP
#define taps_one "ldrd %[even], %[odd], [%[codes]], #8\n\tldrd %[one], %[other], [%[weights]], #8\n\t" \
                 "smlabb %[a], %[even], %[one], %[a]\n\tsmlabb %[b], %[odd], %[other], %[b]\n\t" \
                 "smlatt %[c], %[even], %[one], %[c]\n\tsmlatt %[d], %[odd], %[other], %[d]\n\t"
#define taps_nine taps_one taps_one taps_one taps_one taps_one taps_one taps_one taps_one taps_one
#define taps_do(text) __asm__ volatile(text : [a] "+r"(sums.a), [b] "+r"(sums.b), [c] "+r"(sums.c), [d] "+r"(sums.d), \
                                       [codes] "+r"(codes), [weights] "+r"(weights), [even] "=&r"(even), [odd] "=&r"(odd), \
                                       [one] "=&r"(one), [other] "=&r"(other) : : "memory")

KERNEL struct taps taps_add(const uint32_t *codes, const int32_t *weights, int32_t count, struct taps sums)
{
    uint32_t even, odd, one, other;
    for (; count >= 9; count -= 9) {
        taps_do(taps_nine);
    }
    for (; count > 0; count--) {
        taps_do(taps_one);
    }
    return sums;
}
#else
KERNEL struct taps taps_add(const uint32_t *codes, const int32_t *weights, int32_t count, struct taps sums)
{
    for (int32_t i = 0; i < 2 * count; i += 2) {
        const uint32_t one = (uint32_t)weights[i], other = (uint32_t)weights[i + 1];
        sums.a = dsp_add_low_product(codes[i], one, sums.a);
        sums.b = dsp_add_low_product(codes[i + 1], other, sums.b);
        sums.c = dsp_add_high_product(codes[i], one, sums.c);
        sums.d = dsp_add_high_product(codes[i + 1], other, sums.d);
    }
    return sums;
}
#endif
