#include <stdint.h>
#define KERNEL static inline
/* kernel */
/* The product of a code and a weight that is -1, 0 or 1: no multiplication. */
KERNEL int32_t weigh(int32_t code, int32_t weight)
{
    return weight > 0 ? code : weight < 0 ? -code : 0;
}
