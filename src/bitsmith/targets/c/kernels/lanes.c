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

/* What is added to numbers, and the codes between which they stay. */
struct lanes_codes {
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

/* The next place in spare memory whose address is a multiple of 64: a register that lies across two lines of the cache is read twice. */
KERNEL uint8_t *lanes_align(uint8_t *spare)
{
    return spare + (64 - ((uintptr_t)spare & 63));
}

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

/* Times a power of two. */
KERNEL lanes lanes_double(lanes a, int32_t times)
{
#if defined(__AVX2__)
    a.low = _mm256_slli_epi32(a.low, times);
    a.high = _mm256_slli_epi32(a.high, times);
#else
    for (int32_t i = 0; i < 16; i++) {
        a.each[i] = (int32_t)((uint32_t)a.each[i] << times);
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

KERNEL lanes_halves lanes_load_halves(const int16_t *numbers)
{
    lanes_halves found;
#if defined(__AVX2__)
    found.all = lanes_read(numbers);
#else
    memcpy(&found, numbers, sizeof(found));
#endif
    return found;
}

/* So many codes as 16 bits, a multiple of 16. */
KERNEL void lanes_widen_all(const uint8_t *codes, int32_t count, int16_t *wide)
{
    for (int32_t i = 0; i < count; i += 16) {
        lanes_store_halves(wide + i, lanes_widen(codes + i));
    }
}

/* So many times the same number. */
KERNEL void lanes_fill(int16_t *wide, int32_t number, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        wide[i] = (int16_t)number;
    }
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

/* Times a power of two. */
KERNEL lanes_halves lanes_double_halves(lanes_halves a, int32_t times)
{
#if defined(__AVX2__)
    a.all = _mm256_slli_epi16(a.all, times);
#else
    for (int32_t i = 0; i < 16; i++) {
        a.each[i] = (int16_t)(a.each[i] * (1 << times));
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

/* Sixteen numbers of 0 and more, as 32 bits. */
KERNEL lanes lanes_extend(lanes_halves numbers)
{
    lanes found;
#if defined(__AVX2__)
    const __m256i none = _mm256_setzero_si256();
    found.low = _mm256_unpacklo_epi16(numbers.all, none);
    found.high = _mm256_unpackhi_epi16(numbers.all, none);
#else
    for (int32_t i = 0; i < 16; i++) {
        found.each[i] = numbers.each[lanes_channel(i)];
    }
#endif
    return found;
}

/* Times one factor. */
KERNEL lanes lanes_multiply(lanes numbers, int32_t factor)
{
#if defined(__AVX2__)
    numbers.low = _mm256_mullo_epi32(numbers.low, _mm256_set1_epi32(factor));
    numbers.high = _mm256_mullo_epi32(numbers.high, _mm256_set1_epi32(factor));
#else
    for (int32_t i = 0; i < 16; i++) {
        const uint32_t product = (uint32_t)numbers.each[i] * (uint32_t)factor;
        memcpy(&numbers.each[i], &product, 4);
    }
#endif
    return numbers;
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

/* The same with two numbers of each channel, from two places. */
KERNEL lanes lanes_dot_each(lanes sums, const int16_t *weights, const int16_t *first, const int16_t *second)
{
#if defined(__AVX2__)
    __m256i a = lanes_read(first), b = lanes_read(second);
#if defined(__GNUC__)
    __asm__("" : "+x"(a), "+x"(b));                         /* read once, for both halves */
#endif
    sums.low = lanes_add_products(sums.low, _mm256_unpacklo_epi16(a, b), lanes_read(weights));
    sums.high = lanes_add_products(sums.high, _mm256_unpackhi_epi16(a, b), lanes_read(weights + 16));
#else
    for (int32_t i = 0; i < 16; i++) {
        const int32_t at = lanes_channel(i), sum = first[at] * weights[2 * i] + second[at] * weights[2 * i + 1];
        sums.each[i] = (int32_t)((uint32_t)sums.each[i] + (uint32_t)sum);
    }
#endif
    return sums;
}

/* Writes sixteen codes, number + zero point, clamped. */
KERNEL void lanes_pack(const struct lanes_codes *how, lanes numbers, uint8_t *codes)
{
#if defined(__AVX2__)
    const __m256i packed = _mm256_adds_epi16(_mm256_packs_epi32(numbers.low, numbers.high), _mm256_set1_epi16((int16_t)how->zero_point));
    __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(packed), _mm256_extracti128_si256(packed, 1));
    if (how->low > 0 || how->high < 255) {                  /* else packing has clamped them */
        bytes = _mm_max_epu8(_mm_min_epu8(bytes, _mm_set1_epi8((char)how->high)), _mm_set1_epi8((char)how->low));
    }
    _mm_storeu_si128((void *)codes, bytes);
#else
    for (int32_t i = 0; i < 16; i++) {
        const int32_t code = numbers.each[i] + how->zero_point;
        codes[lanes_channel(i)] = (uint8_t)(code < how->low ? how->low : code > how->high ? how->high : code);
    }
#endif
}

/* The first `count` of them. */
KERNEL void lanes_pack_some(const struct lanes_codes *how, lanes numbers, uint8_t *codes, int32_t count)
{
    uint8_t each[16];
    lanes_pack(how, numbers, count < 16 ? each : codes);
    if (count < 16) {
        memcpy(codes, each, (size_t)count);
    }
}
