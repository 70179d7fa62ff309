#include "lanes.c"
/* kernel */
/* From sums to codes, by a multiplier for each channel, ties upward: (sum * multiplier / 2**32 + half) / 2**shift + zero point. */
struct scaling {
    const int32_t *channels;                        /* [channels / 16][multiplier, half, shift][16], in the order of the lanes */
    struct lanes_codes codes;
};

#if defined(__AVX2__)
/* Eight sums. The products have 64 bits; of their lower halves nothing reaches the rounding. */
KERNEL __m256i scaling_half(__m256i sums, const int32_t *channels)
{
    const __m256i even = _mm256_mul_epi32(sums, lanes_read(channels));
    const __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64(sums, 32), lanes_read(channels + 1));
    const __m256i upper = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
    return _mm256_srav_epi32(_mm256_add_epi32(upper, lanes_read(channels + 16)), lanes_read(channels + 32));
}
#endif

/* `channel`: the first of the sixteen. */
KERNEL lanes scaling_steps(const struct scaling *how, lanes sums, int32_t channel)
{
    const int32_t *channels = how->channels + channel * 3;
#if defined(__AVX2__)
    sums.low = scaling_half(sums.low, channels);
    sums.high = scaling_half(sums.high, channels + 8);
#else
    for (int32_t i = 0; i < 16; i++) {
        const int64_t product = (int64_t)sums.each[i] * channels[i];
        sums.each[i] = ((int32_t)(product >> 32) + channels[16 + i]) >> channels[32 + i];
    }
#endif
    return sums;
}

/* Sums of values, by one shift for all; odd: see the other way of rounding */
KERNEL lanes scaling_total(lanes sums, int32_t shift, int32_t odd)
{
    (void)odd;
    return lanes_shift(lanes_add(sums, lanes_all(1 << (shift - 1))), shift);
}
