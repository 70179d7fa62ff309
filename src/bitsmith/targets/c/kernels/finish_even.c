#include "saturate_unsigned.c"
#include "ties_even.c"
typedef uint8_t result_t;
/* kernel */
/* From accumulators to codes: accumulator / 2**shift + zero point, clamped. Rounded once, ties to even. */
struct finish {
    const int32_t *channels;        /* [channels][4]: with what the sum begins; 2**(32 - shift); zero point; 31 - shift */
    int32_t low, high;              /* see saturate */
};

KERNEL result_t finish_code(const struct finish *how, int32_t sum, int32_t shift, int32_t multiplier, int32_t offset)
{
    return (result_t)saturate(dsp_multiply_upper(ties(sum, shift), multiplier, offset), how->low, how->high);
}
