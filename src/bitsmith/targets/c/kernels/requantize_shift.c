#include <stdint.h>
#define KERNEL static inline
typedef int32_t sum_t;
/* kernel */
/* From accumulators to codes: accumulator / 2**shift + zero point, clamped. Rounded once, ties to even. All scales are powers of two. */
struct requantize {
    const int8_t *shift;  /* negative ones go to the left */
    int32_t step;         /* 1: one shift for each channel, 0: one for all */
    int32_t odd;          /* 1: ties go to odd numbers, which are even codes where the zero point is odd */
    int32_t zero_point;
    int32_t low;
    int32_t high;
};

KERNEL int32_t requantize(const struct requantize *how, sum_t accumulator, int32_t channel)
{
    const int32_t shift = how->shift[channel * how->step];
    const int64_t wide = accumulator;
    const int64_t steps = shift > 0 ? (wide + (((int64_t)1 << (shift - 1)) - 1) + (((wide >> shift) ^ how->odd) & 1)) >> shift
                                    : wide * ((int64_t)1 << -shift);
    const int64_t code = steps + how->zero_point;
    return code < how->low ? how->low : code > how->high ? how->high : (int32_t)code;
}
