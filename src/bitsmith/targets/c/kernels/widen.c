#include <string.h>
#include "extend_unsigned.c"
#define KERNEL static inline
typedef uint8_t source_t;
/* kernel */
/* Codes, a multiple of four at an address that is one, become 16 bits each. Of four, the first and the third share a word.
 * Apart: each four of them `step` words behind the four before them. */
#ifdef __ARM_FEATURE_DSP
#define widen_eight "ldrd %0, %1, [%4], #8\n\t" extend_pair " %2, %0\n\t" extend_pair " %0, %0, ror #8\n\t" \
                    extend_pair " %3, %1\n\t" extend_pair " %1, %1, ror #8\n\t"

KERNEL void widen(const source_t *codes, int32_t quads, uint32_t *words)
{
    uint32_t a, b, c, d;
    for (int32_t i = quads >> 1; i > 0; i--) {
        __asm__ volatile(widen_eight "strd %2, %0, [%5], #8\n\tstrd %3, %1, [%5], #8"
                : "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(d), "+r"(codes), "+r"(words) : : "memory");
    }
    if (quads & 1) {
        __asm__ volatile("ldr %0, [%2]\n\t" extend_pair " %1, %0\n\t" extend_pair " %0, %0, ror #8\n\tstrd %1, %0, [%3]"
                : "=&r"(a), "=&r"(b) : "r"(codes), "r"(words) : "memory");
    }
}

KERNEL void widen_apart(const source_t *codes, int32_t quads, uint32_t *words, int32_t step)
{
    uint32_t a, b, c, d;
    for (int32_t i = quads >> 1; i > 0; i--) {
        __asm__ volatile(widen_eight "strd %2, %0, [%5]\n\tadd %5, %5, %6, lsl #2\n\tstrd %3, %1, [%5]\n\tadd %5, %5, %6, lsl #2"
                         : "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(d), "+r"(codes), "+r"(words) : "r"(step) : "memory");
    }
    if (quads & 1) {
        widen(codes, 1, words);
    }
}
#else
KERNEL void widen(const source_t *codes, int32_t quads, uint32_t *words)
{
    for (int32_t i = 0; i < quads; i++) {
        const int16_t four[4] = {codes[4 * i], codes[4 * i + 2], codes[4 * i + 1], codes[4 * i + 3]};
        memcpy(words + 2 * i, four, sizeof four);
    }
}

KERNEL void widen_apart(const source_t *codes, int32_t quads, uint32_t *words, int32_t step)
{
    for (; quads > 0; quads--) {
        widen(codes, 1, words);
        codes += 4;
        words += step;
    }
}
#endif
