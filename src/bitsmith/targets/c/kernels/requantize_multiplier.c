#include <stdint.h>
#define KERNEL static inline
typedef int32_t sum_t;
/* kernel */
/* From accumulators to codes: accumulator * multiplier / 2**shift + zero point, clamped. Rounded once, ties upward. */
struct requantize {
    const int32_t *multiplier;
    const uint8_t *shift;
    int32_t step;       /* 1: one multiplier for each channel, 0: one for all */
    int32_t zero_point;
    int32_t low;
    int32_t high;
};

KERNEL int32_t requantize(const struct requantize *how, sum_t accumulator, int32_t channel)
{
    const int32_t at = channel * how->step;
    const int64_t half = ((int64_t)1 << how->shift[at]) >> 1;
    const int64_t product = (int64_t)accumulator * how->multiplier[at];
    const int64_t code = ((product + half) >> how->shift[at]) + how->zero_point;
    return code < how->low ? how->low : code > how->high ? how->high : (int32_t)code;
}
