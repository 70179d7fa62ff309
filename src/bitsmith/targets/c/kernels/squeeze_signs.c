#include <string.h>
#include "popcount.c"
typedef int8_t source_t;
/* kernel */
/* A gathered window of -1, 0 and 1 becomes bits in its own memory: how many codes are not 0, and, for each 32 codes, a word of those
 * that are negative and one of those that are not 0. What is written stays behind what is still to be read. */
KERNEL void squeeze(source_t *window, int32_t count)
{
    uint32_t bits[2];
    int32_t total = 0;
    for (int32_t i = 0; i < count; i += 32) {
        bits[0] = bits[1] = 0;
        for (int32_t j = 0; j < 32 && i + j < count; j++) {
            bits[0] |= (uint32_t)(window[i + j] < 0) << j;
            bits[1] |= (uint32_t)(window[i + j] != 0) << j;
        }
        total += popcount(bits[1]);
        memcpy((uint8_t *)window + 4 + i / 4, bits, 8);
    }
    memcpy(window, &total, 4);
}
