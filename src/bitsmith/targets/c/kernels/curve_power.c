#include <math.h>
#include <stdint.h>
#define KERNEL static inline
/* kernel */
KERNEL float curve(float x, const float *numbers)
{
    return powf(x, numbers[0]);
}
