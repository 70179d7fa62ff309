#include <math.h>
#include <stdint.h>
#define KERNEL static inline
/* kernel */
KERNEL float curve(float x, const float *numbers)
{
    (void)numbers;
    return 0.5f * x * (1.0f + erff(x * 0.707106781f));
}
