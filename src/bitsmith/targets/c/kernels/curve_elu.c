#include <math.h>
#include <stdint.h>
#define KERNEL static inline
/* kernel */
KERNEL float curve(float x, const float *numbers)
{
    return x < 0.0f ? numbers[0] * expm1f(x) : x;
}
