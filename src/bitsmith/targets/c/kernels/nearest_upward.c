#include <stdint.h>
#define KERNEL static inline
typedef int32_t sum_t;
/* kernel */
/* sum / 2**shift, rounded once, ties upward. */
KERNEL sum_t nearest(sum_t sum, int32_t shift, int32_t odd)
{
    (void)odd;
    return (sum + (((sum_t)1 << shift) >> 1)) >> shift;
}
