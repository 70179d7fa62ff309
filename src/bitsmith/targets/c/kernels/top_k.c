#include <stdint.h>
#define KERNEL static inline
typedef uint8_t source_t;
typedef uint8_t result_t;
/* kernel */
/* The places of the largest codes, or numbers, along an axis: each is put where it belongs among the largest so far. */
struct top_k {
    int32_t count[3], step[3], result_step[3];      /* loops over the axes that stay, and elements from turn to turn */
    int32_t length, length_step;                    /* of the axis that is searched */
    int32_t kept, kept_step;                        /* of what is left of it */
};

KERNEL void top_k_row(const struct top_k *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->length; i++) {
        int32_t at = i < layer->kept ? i : layer->kept;
        while (at > 0 && source[i * layer->length_step] > source[result[(at - 1) * layer->kept_step] * layer->length_step]) {
            if (at < layer->kept) {
                result[at * layer->kept_step] = result[(at - 1) * layer->kept_step];
            }
            at--;
        }
        if (at < layer->kept) {
            result[at * layer->kept_step] = (result_t)i;
        }
    }
}

KERNEL void top_k(const struct top_k *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->count[0]; i++) {
        for (int32_t j = 0; j < layer->count[1]; j++) {
            for (int32_t k = 0; k < layer->count[2]; k++) {
                top_k_row(layer, source + i * layer->step[0] + j * layer->step[1] + k * layer->step[2],
                          result + i * layer->result_step[0] + j * layer->result_step[1] + k * layer->result_step[2]);
            }
        }
    }
}
