#include <stdint.h>
#define KERNEL static inline
typedef uint8_t weight_t;
/* kernel */
/* One weight of four bits as a number; two lie in each byte, the first in the lower half. */
KERNEL float real_weight(const weight_t *weights, int32_t at)
{
    const int32_t nibble = (weights[at >> 1] >> ((at & 1) * 4)) & 15;
    return (float)((nibble ^ 8) - 8);
}
