/* The few AVX-512 instructions that kernels use, in plain C after Intel's Intrinsics Guide: for processors without them.
 * To be included before everything else, with -mavx2. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define __AVX512F__ 1
#define __AVX512VNNI__ 1
#define __m512i plain_512
#define _mm512_setzero_si512 plain_zero
#define _mm512_set1_epi32 plain_set
#define _mm512_loadu_si512 plain_load
#define _mm512_dpbusd_epi32 plain_dpbusd
#define _mm512_castsi512_si256 plain_lower
#define _mm512_extracti64x4_epi64 plain_half

typedef struct { int32_t each[16]; } plain_512;

static inline plain_512 plain_zero(void)
{
    return (plain_512){{0}};
}

static inline plain_512 plain_load(const void *from)
{
    plain_512 found;
    memcpy(&found, from, sizeof(found));
    return found;
}

static inline plain_512 plain_set(int32_t number)
{
    plain_512 found;
    for (int i = 0; i < 16; i++) {
        found.each[i] = number;
    }
    return found;
}

/* Four products of bytes without sign and bytes with one are added to each number; nothing saturates. */
static inline plain_512 plain_dpbusd(plain_512 sums, plain_512 codes, plain_512 weights)
{
    uint8_t a[64];
    int8_t b[64];
    memcpy(a, &codes, sizeof(a));
    memcpy(b, &weights, sizeof(b));
    for (int i = 0; i < 64; i++) {
        sums.each[i / 4] += a[i] * b[i];
    }
    return sums;
}

static inline __m256i plain_half(plain_512 numbers, int half)
{
    return _mm256_loadu_si256((const void *)(numbers.each + 8 * half));
}

static inline __m256i plain_lower(plain_512 numbers)
{
    return plain_half(numbers, 0);
}
