#include <stdint.h>
#define KERNEL static inline
typedef int32_t sum_t;
/* kernel */
/* sum / 2**shift, rounded once, ties to even numbers, or with `odd` to odd ones. */
KERNEL sum_t nearest(sum_t sum, int32_t shift, int32_t odd)
{
    return shift > 0 ? (sum + (((sum_t)1 << (shift - 1)) - 1) + (((sum >> shift) ^ odd) & 1)) >> shift : sum;
}
