#include "dsp.c"
/* kernel */
/* Codes from the least one to one below the last: numbers come with what it lacks, `lack`, which makes the last code the limit. */
KERNEL int32_t saturate(int32_t number, int32_t lack, int32_t high)
{
    (void)high;
    return dsp_subtract_signed(dsp_saturate_signed(number), lack);
}
