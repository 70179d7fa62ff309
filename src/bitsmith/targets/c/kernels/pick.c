#include <stdint.h>
#define KERNEL static inline
typedef uint8_t source_t;
typedef uint8_t place_t;
/* kernel */
/* What lies at computed places along an axis; places and result lie alike. */
struct pick {
    int32_t count[3], step[3], result_step[3];      /* loops over the axes that stay, and elements from turn to turn */
    int32_t length, length_step;                    /* of the axis that is searched */
    int32_t kept, kept_step;                        /* of what is left of it */
};

KERNEL void pick(const struct pick *layer, const source_t *source, const place_t *places, source_t *result)
{
    for (int32_t i = 0; i < layer->count[0]; i++) {
        for (int32_t j = 0; j < layer->count[1]; j++) {
            for (int32_t k = 0; k < layer->count[2]; k++) {
                const source_t *from = source + i * layer->step[0] + j * layer->step[1] + k * layer->step[2];
                const int32_t to = i * layer->result_step[0] + j * layer->result_step[1] + k * layer->result_step[2];
                for (int32_t l = 0; l < layer->kept; l++) {
                    result[to + l * layer->kept_step] = from[places[to + l * layer->kept_step] * layer->length_step];
                }
            }
        }
    }
}
