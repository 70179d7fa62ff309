#include <stdint.h>
#define KERNEL static inline
/* kernel */
KERNEL int32_t saturate(int32_t number, int32_t low, int32_t high)
{
    return number < low ? low : number > high ? high : number;
}
