#include <string.h>
#include "popcount.c"
typedef int8_t source_t;
typedef uint32_t weight_t;
/* kernel */
/* sum + codes * weights, where both are signs, as bits: those that agree count up and the others down; codes that are 0 do not count.
 * Each channel's weights begin with a new word; a bit that is set stands for -1. */
KERNEL int32_t dot(const source_t *codes, int32_t zero, const weight_t *weights, int32_t at, int32_t count, int32_t sum)
{
    const int32_t words = (count + 31) / 32;
    const weight_t *own = weights + at / count * words;
    uint32_t bits[2];
    int32_t total, agree = 0;
    (void)zero;
    memcpy(&total, codes, 4);
    for (int32_t i = 0; i < words; i++) {
        memcpy(bits, (const uint8_t *)codes + 4 + 8 * i, 8);
        agree += popcount(~(bits[0] ^ own[i]) & bits[1]);
    }
    return sum + (2 * agree - total);
}
