#include "dsp.c"
/* kernel */
KERNEL int32_t saturate(int32_t number, int32_t low, int32_t high)
{
    (void)low;
    (void)high;
    return dsp_saturate_unsigned(number);
}
