#include <stdint.h>
#define KERNEL static inline
/* kernel */
/* A sum that holds half a step less 1, to be rounded down: one more if the step is odd, whose bit the shift brings to the top. It
 * carries where nothing but ones lie below, which is at ties. */
KERNEL int32_t ties(int32_t sum, int32_t shift)
{
    return sum + (int32_t)((uint32_t)sum << shift >> 31);
}
