#include "weight_at.c"
/* kernel */
/* One weight, of however many bits, as a number. */
KERNEL float real_weight(const weight_t *weights, int32_t at)
{
    return (float)weight_at(weights, at);
}
