#include <stdint.h>
#define KERNEL static inline
/* kernel */
/* How many bits are set; one instruction where the processor has it. */
KERNEL int32_t popcount(uint32_t bits)
{
#ifdef __POPCNT__
    return __builtin_popcount(bits);
#else
    bits -= (bits >> 1) & 0x55555555u;
    bits = (bits & 0x33333333u) + ((bits >> 2) & 0x33333333u);
    bits = (bits + (bits >> 4)) & 0x0f0f0f0fu;
    bits += bits >> 8;
    return (int32_t)((bits + (bits >> 16)) & 63);
#endif
}
