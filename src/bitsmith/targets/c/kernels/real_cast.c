#include <stdint.h>
#define KERNEL static inline
typedef uint8_t source_t;
/* kernel */
/* Integers as numbers. */
struct real_cast {
    int32_t count;
};

KERNEL void real_cast(const struct real_cast *layer, const source_t *source, float *result)
{
    for (int32_t i = 0; i < layer->count; i++) {
        result[i] = (float)source[i];
    }
}
