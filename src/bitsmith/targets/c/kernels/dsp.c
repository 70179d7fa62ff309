#include <stdint.h>
#include <string.h>
#define KERNEL static inline
/* kernel */
/* Arithmetic on pairs of 16-bit numbers: one instruction each where the processor has DSP instructions (Cortex-M4, M7, M33), else in C. */
#ifdef __ARM_FEATURE_DSP
#include <arm_acle.h>
#define dsp_saturate_unsigned(number) ((int32_t)__usat((number), 8))
#define dsp_add_pair(one, other) ((uint32_t)__sadd16((int16x2_t)(one), (int16x2_t)(other)))
#define dsp_subtract_unsigned(code, other) ((int32_t)__uqsub8((uint8x4_t)(code), (uint8x4_t)(other)))
#define dsp_subtract_signed(code, other) ((int32_t)__qsub8((int8x4_t)(code), (int8x4_t)(other)))

KERNEL int32_t dsp_saturate_signed(int32_t number)
{
    int32_t code;
    __asm__("ssat %0, #8, %1" : "=r"(code) : "r"(number));
    return code;
}

/* Halves by themselves. */
KERNEL uint32_t dsp_saturate_pair(uint32_t numbers)
{
    uint32_t codes;
    __asm__("usat16 %0, #8, %1" : "=r"(codes) : "r"(numbers));
    return codes;
}

/* The upper half of (sum << 32) + one * other. */
KERNEL int32_t dsp_multiply_upper(int32_t one, int32_t other, int32_t sum)
{
    int32_t upper;
    __asm__("smmla %0, %1, %2, %3" : "=r"(upper) : "r"(one), "r"(other), "r"(sum));
    return upper;
}
#else
KERNEL int32_t dsp_half(uint32_t word, int32_t shift)
{
    return (int16_t)(uint16_t)(word >> shift);
}

/* Bytes 0 and 2, signed. */
KERNEL uint32_t dsp_signed_bytes(uint32_t word)
{
    const uint32_t low = (uint32_t)(int8_t)(uint8_t)word, high = (uint32_t)(int8_t)(uint8_t)(word >> 16);
    return (low & 0xffffu) | (high << 16);
}

/* Sums wrap around, as the processor's do. */
KERNEL int32_t dsp_add_low_product(uint32_t one, uint32_t other, int32_t sum)
{
    return (int32_t)((uint32_t)sum + (uint32_t)(dsp_half(one, 0) * dsp_half(other, 0)));
}

KERNEL int32_t dsp_add_high_product(uint32_t one, uint32_t other, int32_t sum)
{
    return (int32_t)((uint32_t)sum + (uint32_t)(dsp_half(one, 16) * dsp_half(other, 16)));
}

KERNEL int32_t dsp_add_products(uint32_t one, uint32_t other, int32_t sum)
{
    return dsp_add_high_product(one, other, dsp_add_low_product(one, other, sum));
}

KERNEL int32_t dsp_saturate_unsigned(int32_t number)
{
    return number < 0 ? 0 : number > 255 ? 255 : number;
}

KERNEL int32_t dsp_saturate_signed(int32_t number)
{
    return number < -128 ? -128 : number > 127 ? 127 : number;
}

/* Not below the least code. */
KERNEL int32_t dsp_subtract_unsigned(int32_t code, int32_t other)
{
    return code < other ? 0 : code - other;
}

KERNEL int32_t dsp_subtract_signed(int32_t code, int32_t other)
{
    return code - other < -128 ? -128 : code - other;
}

/* Halves by themselves. */
KERNEL uint32_t dsp_add_pair(uint32_t one, uint32_t other)
{
    return ((one + other) & 0xffffu) | (((one >> 16) + (other >> 16)) << 16);
}

KERNEL uint32_t dsp_saturate_pair(uint32_t numbers)
{
    return (uint32_t)dsp_saturate_unsigned(dsp_half(numbers, 0)) | (uint32_t)dsp_saturate_unsigned(dsp_half(numbers, 16)) << 16;
}

KERNEL int32_t dsp_multiply_upper(int32_t one, int32_t other, int32_t sum)
{
    return (int32_t)((((int64_t)one * other) >> 32) + sum);
}
#endif
