#include <stdint.h>
#include <string.h>
#define KERNEL static inline
/* kernel */
#if defined(__AVX2__)
#include <immintrin.h>
#endif

/* Sixteen channels at once. With AVX2 a register has half of them: channels 0 to 3 and 8 to 11 in the lower one, 4 to 7 and 12 to 15
 * in the upper one, so that 16-bit numbers unpack into this order and 32-bit numbers pack out of it. Sums wrap around. */
#if defined(__AVX2__)
typedef struct { __m256i low, high; } lanes;
typedef struct { __m256i all; } lanes_halves;
typedef lanes lanes_weights;
#else
typedef struct { int32_t each[16]; } lanes;
typedef struct { int16_t each[16]; } lanes_halves;              /* in the channels' own order */
typedef struct { const int16_t *all; } lanes_weights;
#endif

/* From sums to codes: (sum * multiplier / 2**32 + half) / 2**shift + zero point, clamped. Tables are in the order of the lanes. */
struct lanes_rounding {
    const int32_t *multiplier;
    const int32_t *half;
    const int32_t *shift;
    int32_t zero_point, low, high;
};

#if defined(__AVX2__)
KERNEL __m256i lanes_read(const void *numbers)
{
    return _mm256_loadu_si256(numbers);
}

KERNEL __m256i lanes_add_products(__m256i sums, __m256i a, __m256i b)
{
    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(a, b));
#if defined(__GNUC__)
    __asm__("" : "+x"(sums));                               /* keeps compilers from adding up products first: too many registers */
#endif
    return sums;
}
#endif

KERNEL lanes lanes_zero(void)
{
#if defined(__AVX2__)
    return (lanes){_mm256_setzero_si256(), _mm256_setzero_si256()};
#else
    return (lanes){{0}};
#endif
}

KERNEL lanes lanes_load(const int32_t *numbers)
{
    lanes found;
#if defined(__AVX2__)
    found.low = lanes_read(numbers);
    found.high = lanes_read(numbers + 8);
#else
    memcpy(&found, numbers, sizeof(found));
#endif
    return found;
}

KERNEL void lanes_store(int32_t *numbers, lanes from)
{
#if defined(__AVX2__)
    _mm256_storeu_si256((void *)numbers, from.low);
    _mm256_storeu_si256((void *)(numbers + 8), from.high);
#else
    memcpy(numbers, &from, sizeof(from));
#endif
}

KERNEL void lanes_store_halves(int16_t *numbers, lanes_halves from)
{
#if defined(__AVX2__)
    _mm256_storeu_si256((void *)numbers, from.all);
#else
    memcpy(numbers, &from, sizeof(from));
#endif
}

KERNEL lanes lanes_add(lanes a, lanes b)
{
#if defined(__AVX2__)
    a.low = _mm256_add_epi32(a.low, b.low);
    a.high = _mm256_add_epi32(a.high, b.high);
#else
    for (int32_t i = 0; i < 16; i++) {
        a.each[i] = (int32_t)((uint32_t)a.each[i] + (uint32_t)b.each[i]);
    }
#endif
    return a;
}

KERNEL lanes lanes_subtract(lanes a, lanes b)
{
#if defined(__AVX2__)
    a.low = _mm256_sub_epi32(a.low, b.low);
    a.high = _mm256_sub_epi32(a.high, b.high);
#else
    for (int32_t i = 0; i < 16; i++) {
        a.each[i] = (int32_t)((uint32_t)a.each[i] - (uint32_t)b.each[i]);
    }
#endif
    return a;
}

/* To the right, towards minus infinity. */
KERNEL lanes lanes_shift(lanes a, int32_t bits)
{
#if defined(__AVX2__)
    a.low = _mm256_sra_epi32(a.low, _mm_cvtsi32_si128(bits));
    a.high = _mm256_sra_epi32(a.high, _mm_cvtsi32_si128(bits));
#else
    for (int32_t i = 0; i < 16; i++) {
        a.each[i] >>= bits;
    }
#endif
    return a;
}

KERNEL lanes lanes_all(int32_t number)
{
    lanes found;
#if defined(__AVX2__)
    found.low = found.high = _mm256_set1_epi32(number);
#else
    for (int32_t i = 0; i < 16; i++) {
        found.each[i] = number;
    }
#endif
    return found;
}

KERNEL lanes_halves lanes_widen(const uint8_t *codes)
{
    lanes_halves found;
#if defined(__AVX2__)
    found.all = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)codes));
#else
    for (int32_t i = 0; i < 16; i++) {
        found.each[i] = codes[i];
    }
#endif
    return found;
}

KERNEL lanes_halves lanes_add_halves(lanes_halves a, lanes_halves b)
{
#if defined(__AVX2__)
    a.all = _mm256_add_epi16(a.all, b.all);
#else
    for (int32_t i = 0; i < 16; i++) {
        a.each[i] = (int16_t)(a.each[i] + b.each[i]);
    }
#endif
    return a;
}

KERNEL lanes_halves lanes_subtract_halves(lanes_halves a, lanes_halves b)
{
#if defined(__AVX2__)
    a.all = _mm256_sub_epi16(a.all, b.all);
#else
    for (int32_t i = 0; i < 16; i++) {
        a.each[i] = (int16_t)(a.each[i] - b.each[i]);
    }
#endif
    return a;
}

/* The same number, unknown to compilers: where they know how often a loop over products turns, they unroll it, and then add up products
 * before they add them to the sums, for which there are not enough registers. */
KERNEL int32_t lanes_turns(int32_t number)
{
#if defined(__AVX2__) && defined(__GNUC__)
    __asm__("" : "+r"(number));
#endif
    return number;
}

/* The channel of a lane. */
KERNEL int32_t lanes_channel(int32_t lane)
{
    return (lane & 3) | (lane & 4) << 1 | (lane & 8) >> 1;
}

/* Sixteen numbers of 0 and more times one factor. */
KERNEL lanes lanes_multiply(lanes_halves numbers, int32_t factor)
{
    lanes found;
#if defined(__AVX2__)
    const __m256i none = _mm256_setzero_si256(), all = _mm256_set1_epi32(factor);
    found.low = _mm256_mullo_epi32(_mm256_unpacklo_epi16(numbers.all, none), all);
    found.high = _mm256_mullo_epi32(_mm256_unpackhi_epi16(numbers.all, none), all);
#else
    for (int32_t i = 0; i < 16; i++) {
        found.each[i] = numbers.each[lanes_channel(i)] * factor;
    }
#endif
    return found;
}

/* Two weights of each lane, [16][2]. */
KERNEL lanes_weights lanes_weigh(const int16_t *weights)
{
#if defined(__AVX2__)
    lanes found = {lanes_read(weights), lanes_read(weights + 16)};
#if defined(__GNUC__)
    __asm__("" : "+x"(found.low), "+x"(found.high));        /* read once, for all pixels */
#endif
    return found;
#else
    return (lanes_weights){weights};
#endif
}

/* Adds two numbers times two weights of each lane, the same numbers for all. */
KERNEL lanes lanes_dot(lanes sums, lanes_weights weights, const int16_t pair[2])
{
#if defined(__AVX2__)
    int32_t word;
    memcpy(&word, pair, 4);
    const __m256i both = _mm256_set1_epi32(word);
    sums.low = lanes_add_products(sums.low, weights.low, both);
    sums.high = lanes_add_products(sums.high, weights.high, both);
#else
    for (int32_t i = 0; i < 16; i++) {
        sums.each[i] = (int32_t)((uint32_t)sums.each[i] + (uint32_t)(pair[0] * weights.all[2 * i] + pair[1] * weights.all[2 * i + 1]));
    }
#endif
    return sums;
}

/* The same with two numbers of each channel. */
KERNEL lanes lanes_dot_each(lanes sums, const int16_t *weights, lanes_halves first, lanes_halves second)
{
#if defined(__AVX2__)
    const __m256i low = _mm256_unpacklo_epi16(first.all, second.all), high = _mm256_unpackhi_epi16(first.all, second.all);
    sums.low = lanes_add_products(sums.low, lanes_read(weights), low);
    sums.high = lanes_add_products(sums.high, lanes_read(weights + 16), high);
#else
    for (int32_t i = 0; i < 16; i++) {
        const int32_t at = lanes_channel(i), sum = first.each[at] * weights[2 * i] + second.each[at] * weights[2 * i + 1];
        sums.each[i] = (int32_t)((uint32_t)sums.each[i] + (uint32_t)sum);
    }
#endif
    return sums;
}

#if defined(__AVX2__)
/* Eight sums, scaled. The products have 64 bits; of their lower halves nothing reaches the rounding. */
KERNEL __m256i lanes_scale(__m256i sums, const int32_t *multiplier, const int32_t *half, const int32_t *shift)
{
    const __m256i factors = lanes_read(multiplier);
    const __m256i even = _mm256_mul_epi32(sums, factors);
    const __m256i odd = _mm256_mul_epi32(_mm256_srli_epi64(sums, 32), _mm256_srli_epi64(factors, 32));
    const __m256i upper = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
    const __m256i rounded = _mm256_add_epi32(upper, lanes_read(half));
    return _mm256_srav_epi32(rounded, lanes_read(shift));
}
#endif

/* Writes sixteen codes, number + zero point, clamped; or the first `count` of them. */
KERNEL void lanes_pack(const struct lanes_rounding *how, lanes numbers, uint8_t *codes, int32_t count)
{
#if defined(__AVX2__)
    const __m256i packed = _mm256_adds_epi16(_mm256_packs_epi32(numbers.low, numbers.high), _mm256_set1_epi16((int16_t)how->zero_point));
    __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(packed), _mm256_extracti128_si256(packed, 1));
    bytes = _mm_max_epu8(_mm_min_epu8(bytes, _mm_set1_epi8((char)how->high)), _mm_set1_epi8((char)how->low));
    if (count >= 16) {
        _mm_storeu_si128((void *)codes, bytes);
    } else {
        uint8_t each[16];
        _mm_storeu_si128((void *)each, bytes);
        memcpy(codes, each, (size_t)count);
    }
#else
    for (int32_t i = 0; i < 16; i++) {
        const int32_t code = numbers.each[i] + how->zero_point;
        if (lanes_channel(i) < count) {
            codes[lanes_channel(i)] = (uint8_t)(code < how->low ? how->low : code > how->high ? how->high : code);
        }
    }
#endif
}

/* From sums to codes; `channel`: the first of the sixteen. */
KERNEL void lanes_finish(const struct lanes_rounding *how, lanes sums, int32_t channel, uint8_t *codes, int32_t count)
{
    const int32_t *multiplier = how->multiplier + channel, *half = how->half + channel, *shift = how->shift + channel;
#if defined(__AVX2__)
    sums.low = lanes_scale(sums.low, multiplier, half, shift);
    sums.high = lanes_scale(sums.high, multiplier + 8, half + 8, shift + 8);
#else
    for (int32_t i = 0; i < 16; i++) {
        const int64_t product = (int64_t)sums.each[i] * multiplier[i];
        sums.each[i] = ((int32_t)(product >> 32) + half[i]) >> shift[i];
    }
#endif
    lanes_pack(how, sums, codes, count);
}
