#include <stdint.h>
#define KERNEL static inline
/* kernel */
/* What is below or above becomes the limit; all else stays as it is. */
struct real_limits {
    float low, high;
};

KERNEL float real_limits_apply(const struct real_limits *limits, float number)
{
    return number < limits->low ? limits->low : number > limits->high ? limits->high : number;
}
