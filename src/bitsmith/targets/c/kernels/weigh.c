#include <stdint.h>
#define KERNEL static inline
/* kernel */
/* The product of a code and a weight. */
KERNEL int32_t weigh(int32_t code, int32_t weight)
{
    return code * weight;
}
