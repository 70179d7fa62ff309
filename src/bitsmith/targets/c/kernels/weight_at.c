#include <stdint.h>
#define KERNEL static inline
typedef int8_t weight_t;
/* kernel */
/* One weight, counted from its zero point. */
KERNEL int32_t weight_at(const weight_t *weights, int32_t at)
{
    return weights[at];
}
