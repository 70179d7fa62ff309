#include "weight_at.c"
#include "weigh.c"
typedef uint8_t source_t;
typedef int32_t sum_t;
/* kernel */
/* sum + (codes - zero point) * weights, for codes so wide that without the subtraction the sum would not fit. */
KERNEL sum_t dot(const source_t *codes, int32_t zero, const weight_t *weights, int32_t at, int32_t count, sum_t sum)
{
    for (int32_t i = 0; i < count; i++) {
        sum += weigh(codes[i] - zero, weight_at(weights, at + i));
    }
    return sum;
}
