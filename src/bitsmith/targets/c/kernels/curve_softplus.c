#include <math.h>
#include <stdint.h>
#define KERNEL static inline
/* kernel */
KERNEL float curve(float x, const float *numbers)
{
    (void)numbers;
    return log1pf(expf(-fabsf(x))) + (x > 0.0f ? x : 0.0f);
}
