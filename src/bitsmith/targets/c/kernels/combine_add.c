#include <stdint.h>
#define KERNEL static inline
/* kernel */
KERNEL float combine(float left, float right)
{
    return left + right;
}
