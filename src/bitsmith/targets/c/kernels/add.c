#include "nearest_upward.c"
typedef uint8_t left_t;
typedef uint8_t right_t;
typedef uint8_t result_t;
/* kernel */
/* The sum of two values of different scales; a negative multiplier subtracts. Rounded once. */
struct add {
    int32_t count[4];                               /* of nested loops, and each operand's elements from turn to turn */
    int32_t left_step[4];
    int32_t right_step[4];
    int32_t left_zero, right_zero;                  /* the codes of 0 */
    int32_t left_multiplier, right_multiplier;
    int32_t shift, odd;                             /* see nearest */
    int32_t zero_point, low, high;                  /* of the result */
};

KERNEL result_t add_codes(const struct add *layer, int32_t left, int32_t right)
{
    const sum_t sum = (sum_t)(left - layer->left_zero) * layer->left_multiplier +
                      (sum_t)(right - layer->right_zero) * layer->right_multiplier;
    const sum_t code = nearest(sum, layer->shift, layer->odd) + layer->zero_point;
    return (result_t)(code < layer->low ? layer->low : code > layer->high ? layer->high : code);
}

KERNEL void add(const struct add *layer, const left_t *left, const right_t *right, result_t *result)
{
    for (int32_t i = 0; i < layer->count[0]; i++) {
        for (int32_t j = 0; j < layer->count[1]; j++) {
            for (int32_t k = 0; k < layer->count[2]; k++) {
                const left_t *a = left + i * layer->left_step[0] + j * layer->left_step[1] + k * layer->left_step[2];
                const right_t *b = right + i * layer->right_step[0] + j * layer->right_step[1] + k * layer->right_step[2];
                for (int32_t l = 0; l < layer->count[3]; l++) {
                    *result++ = add_codes(layer, a[l * layer->left_step[3]], b[l * layer->right_step[3]]);
                }
            }
        }
    }
}
