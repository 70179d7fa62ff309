#include <stdint.h>
#define KERNEL static inline
typedef uint8_t source_t;
typedef uint8_t result_t;
/* kernel */
/* Codes within bounds. */
struct clamp {
    int32_t count;
    int32_t low, high;
};

KERNEL void clamp(const struct clamp *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->count; i++) {
        const int32_t code = source[i];
        result[i] = (result_t)(code < layer->low ? layer->low : code > layer->high ? layer->high : code);
    }
}
