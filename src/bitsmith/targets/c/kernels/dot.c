#include "weight_at.c"
#include "weigh.c"
typedef uint8_t source_t;
typedef int32_t sum_t;
/* kernel */
/* sum + codes * weights; the codes' zero point is part of the sum already. */
KERNEL sum_t dot(const source_t *codes, int32_t zero, const weight_t *weights, int32_t at, int32_t count, sum_t sum)
{
    (void)zero;
    for (int32_t i = 0; i < count; i++) {
        sum += weigh(codes[i], weight_at(weights, at + i));
    }
    return sum;
}
