#include <stdint.h>
#define KERNEL static inline
typedef uint8_t source_t;
typedef uint8_t result_t;
/* kernel */
/* A function of one value as a table, or as one table for each channel. */
struct look_up {
    int32_t outer, channels, inner;                 /* how often the channels come, how many there are, elements of one in a row */
    int32_t low;                                    /* the code that the table begins with */
    int32_t codes;                                  /* in one table */
    const result_t *table;                          /* [channels][codes] */
};

KERNEL void look_up(const struct look_up *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->outer; i++) {
        for (int32_t j = 0; j < layer->channels; j++) {
            const result_t *table = layer->table + j * layer->codes;
            for (int32_t k = 0; k < layer->inner; k++) {
                *result++ = table[*source++ - layer->low];
            }
        }
    }
}
