#include <math.h>
#include <stdint.h>
#define KERNEL static inline
/* kernel */
KERNEL float curve(float x, const float *numbers)
{
    (void)numbers;
    return 1.0f / (1.0f + expf(-x));
}
