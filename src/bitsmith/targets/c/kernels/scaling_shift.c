#include "lanes.c"
/* kernel */
/* From sums to codes, by a shift for each channel, ties to even numbers, or with `odd` to odd ones: sum / 2**shift + zero point. */
struct scaling {
    const int32_t *channels;                        /* [channels / 16][half less one, shift][16], in the order of the lanes */
    int32_t odd;
    struct lanes_codes codes;
};

#if defined(__AVX2__)
KERNEL __m256i scaling_half(__m256i sums, __m256i half, __m256i shift, int32_t odd)
{
    const __m256i last = _mm256_xor_si256(_mm256_srav_epi32(sums, shift), _mm256_set1_epi32(odd));
    const __m256i more = _mm256_add_epi32(half, _mm256_and_si256(last, _mm256_set1_epi32(1)));
    return _mm256_srav_epi32(_mm256_add_epi32(sums, more), shift);
}
#endif

/* `channel`: the first of the sixteen. */
KERNEL lanes scaling_steps(const struct scaling *how, lanes sums, int32_t channel)
{
    const int32_t *channels = how->channels + channel * 2;
#if defined(__AVX2__)
    sums.low = scaling_half(sums.low, lanes_read(channels), lanes_read(channels + 16), how->odd);
    sums.high = scaling_half(sums.high, lanes_read(channels + 8), lanes_read(channels + 24), how->odd);
#else
    for (int32_t i = 0; i < 16; i++) {
        const int32_t shift = channels[16 + i];
        sums.each[i] = (sums.each[i] + channels[i] + (((sums.each[i] >> shift) ^ how->odd) & 1)) >> shift;
    }
#endif
    return sums;
}

/* Sums of values, by one shift for all. */
KERNEL lanes scaling_total(lanes sums, int32_t shift, int32_t odd)
{
    const int32_t half = (1 << (shift - 1)) - 1;
#if defined(__AVX2__)
    const __m256i all = _mm256_set1_epi32(half);
    const __m256i each = _mm256_set1_epi32(shift);
    return (lanes){scaling_half(sums.low, all, each, odd), scaling_half(sums.high, all, each, odd)};
#else
    for (int32_t i = 0; i < 16; i++) {
        sums.each[i] = (sums.each[i] + half + (((sums.each[i] >> shift) ^ odd) & 1)) >> shift;
    }
    return sums;
#endif
}
