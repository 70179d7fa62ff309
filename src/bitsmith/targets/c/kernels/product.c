#include "requantize_multiplier.c"
typedef uint8_t left_t;
typedef uint8_t right_t;
typedef uint8_t result_t;
/* kernel */
/* The product of two values, element by element. */
struct product {
    int32_t count[4];                               /* of nested loops, and each operand's elements from turn to turn */
    int32_t left_step[4];
    int32_t right_step[4];
    int32_t left_zero, right_zero;                  /* the codes of 0 */
    struct requantize rounding;
};

KERNEL void product(const struct product *layer, const left_t *left, const right_t *right, result_t *result)
{
    for (int32_t i = 0; i < layer->count[0]; i++) {
        for (int32_t j = 0; j < layer->count[1]; j++) {
            for (int32_t k = 0; k < layer->count[2]; k++) {
                const left_t *a = left + i * layer->left_step[0] + j * layer->left_step[1] + k * layer->left_step[2];
                const right_t *b = right + i * layer->right_step[0] + j * layer->right_step[1] + k * layer->right_step[2];
                for (int32_t l = 0; l < layer->count[3]; l++) {
                    const sum_t sum = (sum_t)(a[l * layer->left_step[3]] - layer->left_zero) *
                                      (b[l * layer->right_step[3]] - layer->right_zero);
                    *result++ = (result_t)requantize(&layer->rounding, sum, 0);
                }
            }
        }
    }
}
