#include <stdint.h>
#define KERNEL static inline
typedef int16_t source_t;
typedef int16_t result_t;
/* kernel */
/* A function of one 16-bit value: straight lines between the entries of a table, or of one table for each channel. */
struct interpolate {
    int32_t outer, channels, inner;                 /* how often the channels come, how many there are, elements of one in a row */
    int32_t first;                                  /* the code that the table begins with */
    int32_t shift;                                  /* an entry for every 2**shift codes */
    int32_t entries;                                /* of one table */
    const int32_t *table;                           /* [channels][entries], 5 bits behind the point */
    int32_t low, high;                              /* of the result */
};

KERNEL result_t interpolate_code(const struct interpolate *layer, const int32_t *table, int32_t place)
{
    const int32_t *line = table + (place >> layer->shift);
    const int32_t part = place & ((1 << layer->shift) - 1);
    const int32_t half = 1 << (layer->shift + 4);
    const int32_t code = (line[0] * (1 << layer->shift) + (line[1] - line[0]) * part + half) >> (layer->shift + 5);
    return (result_t)(code < layer->low ? layer->low : code > layer->high ? layer->high : code);
}

KERNEL void interpolate(const struct interpolate *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->outer; i++) {
        for (int32_t j = 0; j < layer->channels; j++) {
            for (int32_t k = 0; k < layer->inner; k++) {
                *result++ = interpolate_code(layer, layer->table + j * layer->entries, *source++ - layer->first);
            }
        }
    }
}
