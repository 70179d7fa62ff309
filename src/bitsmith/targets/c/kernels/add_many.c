#include "nearest_upward.c"
typedef uint8_t source_t;
typedef uint8_t result_t;
/* kernel */
/* The sum of several values of equal shape and different scales. Rounded once. */
struct add_many {
    int32_t count, operands;
    const int32_t *zero;                            /* the code of 0 of each operand */
    const int32_t *multiplier;                      /* of each operand */
    int32_t shift, odd;                             /* see nearest */
    int32_t zero_point, low, high;                  /* of the result */
};

KERNEL void add_many(const struct add_many *layer, const source_t *const sources[], result_t *result)
{
    for (int32_t i = 0; i < layer->count; i++) {
        sum_t sum = 0;
        for (int32_t k = 0; k < layer->operands; k++) {
            sum += (sum_t)(sources[k][i] - layer->zero[k]) * layer->multiplier[k];
        }
        const sum_t code = nearest(sum, layer->shift, layer->odd) + layer->zero_point;
        result[i] = (result_t)(code < layer->low ? layer->low : code > layer->high ? layer->high : code);
    }
}
