#include <stdint.h>
#define KERNEL static inline
typedef uint8_t weight_t;
/* kernel */
/* One weight of two bits; four lie in each byte, the first in the lowest bits. */
KERNEL int32_t weight_at(const weight_t *weights, int32_t at)
{
    const int32_t bits = (weights[at >> 2] >> ((at & 3) * 2)) & 3;
    return (bits ^ 2) - 2;
}
