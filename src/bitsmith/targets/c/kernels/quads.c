#include "scaling_multiplier.c"
/* kernel */
/* Sums of products of codes and weights, sixteen channels at once, for some pixels in turn. Weights lie in fours, bytes [16][4], the
 * channels in the order 0, 1, 8, 9, 2, 3, 10, 11, then the same from 4 on. AVX-512 VNNI multiplies and adds such bytes. AVX2 multiplies
 * pairs of 16 bits, which cannot overflow: codes and weights are widened before, the weights once for a row of pixels. */
#if defined(__AVX512VNNI__) && defined(__AVX512F__)
enum { quads_block = 8 };                                       /* pixels in turn */
typedef uint8_t quads_code;
typedef int8_t quads_weight;
typedef struct { __m512i all; } quads_sums;
typedef struct { __m512i all; } quads_loaded;
#elif defined(__AVX2__)
enum { quads_block = 4 };
typedef int16_t quads_code;
typedef int16_t quads_weight;
typedef lanes quads_sums;
typedef struct { lanes_weights first, second; } quads_loaded;
#else
enum { quads_block = 4 };
typedef uint8_t quads_code;
typedef int8_t quads_weight;
typedef struct { int32_t each[16]; } quads_sums;
typedef struct { const int8_t *all; } quads_loaded;
#endif

/* Codes as `quads_add` reads them: where they lie, or widened into the spare memory. count: a multiple of 16 */
KERNEL const quads_code *quads_codes(const uint8_t *codes, int32_t count, void *spare)
{
#if defined(__AVX2__) && !(defined(__AVX512VNNI__) && defined(__AVX512F__))
    quads_code *wide = spare;
    for (int32_t i = 0; i < count; i += 16) {
        lanes_store_halves(wide + i, lanes_widen(codes + i));
    }
    return wide;
#else
    (void)count;
    (void)spare;
    return codes;
#endif
}

/* The same for so many fours of weights of each of sixteen channels: AVX2 wants pairs [16][2], in the order of the lanes. */
KERNEL const quads_weight *quads_weights(const int8_t *weights, int32_t fours, void *spare)
{
#if defined(__AVX2__) && !(defined(__AVX512VNNI__) && defined(__AVX512F__))
    quads_weight *wide = spare;
    for (int32_t i = 0; i < fours; i++) {
        for (int32_t half = 0; half < 2; half++) {
            const int8_t *bytes = weights + i * 64 + half * 32;
            const __m256 a = _mm256_castsi256_ps(_mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)bytes)));
            const __m256 b = _mm256_castsi256_ps(_mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(bytes + 16))));
            _mm256_storeu_si256((void *)(wide + i * 64 + half * 16), _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88)));
            _mm256_storeu_si256((void *)(wide + i * 64 + half * 16 + 32), _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xDD)));
        }
    }
    return wide;
#else
    (void)fours;
    (void)spare;
    return weights;
#endif
}

KERNEL quads_sums quads_zero(void)
{
#if defined(__AVX512VNNI__) && defined(__AVX512F__)
    return (quads_sums){_mm512_setzero_si512()};
#elif defined(__AVX2__)
    return lanes_zero();
#else
    return (quads_sums){{0}};
#endif
}

/* Four weights of each channel. */
KERNEL quads_loaded quads_load(const quads_weight *weights)
{
#if defined(__AVX512VNNI__) && defined(__AVX512F__)
    return (quads_loaded){_mm512_loadu_si512(weights)};
#elif defined(__AVX2__)
    return (quads_loaded){lanes_weigh(weights), lanes_weigh(weights + 32)};
#else
    return (quads_loaded){weights};
#endif
}

/* Adds four codes times four weights of each channel. */
KERNEL quads_sums quads_add(quads_sums sums, quads_loaded weights, const quads_code *codes)
{
#if defined(__AVX512VNNI__) && defined(__AVX512F__)
    int32_t four;
    memcpy(&four, codes, 4);
    sums.all = _mm512_dpbusd_epi32(sums.all, _mm512_set1_epi32(four), weights.all);
    return sums;
#elif defined(__AVX2__)
    return lanes_dot(lanes_dot(sums, weights.first, codes), weights.second, codes + 2);
#else
    for (int32_t i = 0; i < 16; i++) {
        for (int32_t k = 0; k < 4; k++) {
            sums.each[i] += codes[k] * weights.all[4 * i + k];
        }
    }
    return sums;
#endif
}

/* Sums of four pixels, by name: arrays of them leave the registers. */
typedef struct { quads_sums a, b, c, d; } quads_four;

KERNEL quads_four quads_four_zeros(void)
{
    return (quads_four){quads_zero(), quads_zero(), quads_zero(), quads_zero()};
}

KERNEL quads_four quads_add_four(quads_four sums, quads_loaded weights, const quads_code *const *codes, int32_t at)
{
    sums.a = quads_add(sums.a, weights, codes[0] + at);
    sums.b = quads_add(sums.b, weights, codes[1] + at);
    sums.c = quads_add(sums.c, weights, codes[2] + at);
    sums.d = quads_add(sums.d, weights, codes[3] + at);
    return sums;
}

KERNEL lanes quads_total(quads_sums sums)
{
#if defined(__AVX512VNNI__) && defined(__AVX512F__)
    lanes total;
    total.low = _mm256_permute4x64_epi64(_mm512_castsi512_si256(sums.all), 0xD8);
    total.high = _mm256_permute4x64_epi64(_mm512_extracti64x4_epi64(sums.all, 1), 0xD8);
    return total;
#elif defined(__AVX2__)
    return sums;
#else
    lanes total;
    for (int32_t i = 0; i < 16; i++) {
        total.each[i] = sums.each[(i & 9) | (i & 2) << 1 | (i & 4) >> 1];
    }
    return total;
#endif
}

#if defined(__AVX2__) && !(defined(__AVX512VNNI__) && defined(__AVX512F__))
/* Four weights of each of four channels as they lie, times four codes: two sums for each channel. */
KERNEL __m256i quads_add_bytes(__m256i sums, const int8_t *weights, __m256i codes)
{
    return lanes_add_products(sums, _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)weights)), codes);
}
#endif

/* Sums of sixteen channels of one pixel, all of whose codes follow each other: weights that are used once are read as they lie. */
KERNEL lanes quads_row(const int8_t *weights, int32_t fours, const quads_code *codes)
{
#if defined(__AVX2__) && !(defined(__AVX512VNNI__) && defined(__AVX512F__))
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (int32_t i = 0; i < fours; i++) {
        int64_t four;
        memcpy(&four, codes + 4 * i, 8);
        const __m256i all = _mm256_set1_epi64x(four);
        a = quads_add_bytes(a, weights + i * 64, all);
        b = quads_add_bytes(b, weights + i * 64 + 16, all);
        c = quads_add_bytes(c, weights + i * 64 + 32, all);
        d = quads_add_bytes(d, weights + i * 64 + 48, all);
    }
    return (lanes){_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d)};
#else
    quads_sums sums = quads_zero();
    for (int32_t i = 0; i < fours; i++) {
        sums = quads_add(sums, quads_load(weights + i * 64), codes + 4 * i);
    }
    return quads_total(sums);
#endif
}
