#include <stdint.h>
#define KERNEL static inline
typedef uint8_t source_t;
typedef uint8_t result_t;
/* kernel */
/* The place of the largest code, or number, along an axis. */
struct arg_max {
    int32_t count[3], step[3];                      /* loops over the axes that stay, and their elements from turn to turn */
    int32_t length, length_step;                    /* of the axis that is searched */
    int32_t last;                                   /* 1: the last of equal codes, 0: the first */
};

KERNEL int32_t arg_max_of(const struct arg_max *layer, const source_t *source)
{
    int32_t place = 0;
    source_t most = source[0];
    for (int32_t i = 1; i < layer->length; i++) {
        const source_t code = source[i * layer->length_step];
        if (code > most || (code == most && layer->last)) {
            most = code;
            place = i;
        }
    }
    return place;
}

KERNEL void arg_max(const struct arg_max *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->count[0]; i++) {
        for (int32_t j = 0; j < layer->count[1]; j++) {
            for (int32_t k = 0; k < layer->count[2]; k++) {
                *result++ = (result_t)arg_max_of(layer, source + i * layer->step[0] + j * layer->step[1] + k * layer->step[2]);
            }
        }
    }
}
