#include <stdint.h>
#define KERNEL static inline
typedef float weight_t;
/* kernel */
/* One weight as a number. */
KERNEL float real_weight(const weight_t *weights, int32_t at)
{
    return weights[at];
}
