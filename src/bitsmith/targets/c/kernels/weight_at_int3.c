#include <stdint.h>
#define KERNEL static inline
typedef uint8_t weight_t;
/* kernel */
/* One weight of three bits; eight lie in three bytes, one after the other from the lowest bit on, and one byte more behind all of them. */
KERNEL int32_t weight_at(const weight_t *weights, int32_t at)
{
    const weight_t *first = weights + ((3 * at) >> 3);
    const int32_t bits = ((first[0] | first[1] << 8) >> ((3 * at) & 7)) & 7;
    return (bits ^ 4) - 4;
}
