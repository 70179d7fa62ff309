#include <stdint.h>
#define KERNEL static inline
typedef uint8_t weight_t;
/* kernel */
/* One weight of a single bit, 1 or, where it is set, -1; eight lie in each byte, the first in the lowest bit. */
KERNEL int32_t weight_at(const weight_t *weights, int32_t at)
{
    return 1 - ((weights[at >> 3] >> (at & 7)) & 1) * 2;
}
