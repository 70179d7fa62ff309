#include <math.h>
#include <stdint.h>
#define KERNEL static inline
typedef int32_t sum_t;
/* kernel */
/* From accumulators to codes: accumulator * multiplier in float, rounded with ties to even, clamped. As onnxruntime does it. */
struct requantize {
    const float *multiplier;
    int32_t step;         /* 1: one multiplier for each channel, 0: one for all */
    int32_t zero_first;   /* 1: the zero point is added before the rounding */
    int32_t zero_point;
    int32_t low;
    int32_t high;
};

/* One operation a line, so that no compiler joins two of them into one with a single rounding. */
KERNEL int32_t requantize(const struct requantize *how, sum_t accumulator, int32_t channel)
{
    const float zero = (float)how->zero_point;
    const float product = (float)accumulator * how->multiplier[channel * how->step];
    const float before = how->zero_first ? zero : 0.0f;
    const float after = how->zero_first ? 0.0f : zero;
    const float shifted = product + before;
    const float rounded = rintf(shifted);
    const float code = rounded + after;
    return code < (float)how->low ? how->low : code > (float)how->high ? how->high : (int32_t)code;
}
