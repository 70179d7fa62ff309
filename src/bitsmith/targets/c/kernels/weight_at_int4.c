#include <stdint.h>
#define KERNEL static inline
typedef uint8_t weight_t;
/* kernel */
/* One weight of four bits; two lie in each byte, the first in the lower half. */
KERNEL int32_t weight_at(const weight_t *weights, int32_t at)
{
    const int32_t nibble = (weights[at >> 1] >> ((at & 1) * 4)) & 15;
    return (nibble ^ 8) - 8;
}
