#include "dsp.c"
#include "saturate_unsigned.c"
typedef uint8_t result_t;
/* kernel */
/* From accumulators to codes: accumulator * multiplier / 2**(32 + shift) + zero point, clamped. Rounded once, ties upward. */
struct finish {
    const int32_t *channels;        /* [channels][4]: with what the sum begins; multiplier; zero point and rounding * 2**shift; shift */
    int32_t low, high;              /* see saturate */
};

KERNEL result_t finish_code(const struct finish *how, int32_t sum, int32_t multiplier, int32_t offset, int32_t shift)
{
    return (result_t)saturate(dsp_multiply_upper(sum, multiplier, offset) >> shift, how->low, how->high);
}
