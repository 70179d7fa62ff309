#include "requantize_multiplier.c"
typedef uint8_t left_t;
typedef uint8_t right_t;
typedef uint8_t result_t;
/* kernel */
/* Products of two matrices of codes, [rows][terms] x [terms][outputs], one for each turn of the outer loops. */
struct multiply_pair {
    int32_t count[3];                               /* of the outer loops, and each operand's elements from turn to turn */
    int32_t left_step[3];
    int32_t right_step[3];
    int32_t rows, terms, outputs;
    int32_t left_zero, right_zero;                  /* the codes of 0 */
    const int32_t *bias;                            /* [outputs] */
    struct requantize rounding;
};

KERNEL result_t *multiply_pair_once(const struct multiply_pair *layer, const left_t *left, const right_t *right, result_t *result)
{
    for (int32_t row = 0; row < layer->rows; row++) {
        for (int32_t i = 0; i < layer->outputs; i++) {
            sum_t sum = layer->bias[i];
            for (int32_t k = 0; k < layer->terms; k++) {
                sum += (sum_t)(left[k] - layer->left_zero) * (right[k * layer->outputs + i] - layer->right_zero);
            }
            *result++ = (result_t)requantize(&layer->rounding, sum, i);
        }
        left += layer->terms;
    }
    return result;
}

KERNEL void multiply_pair(const struct multiply_pair *layer, const left_t *left, const right_t *right, result_t *result)
{
    for (int32_t i = 0; i < layer->count[0]; i++) {
        for (int32_t j = 0; j < layer->count[1]; j++) {
            for (int32_t k = 0; k < layer->count[2]; k++) {
                result = multiply_pair_once(layer, left + i * layer->left_step[0] + j * layer->left_step[1] + k * layer->left_step[2],
                                            right + i * layer->right_step[0] + j * layer->right_step[1] + k * layer->right_step[2],
                                            result);
            }
        }
    }
}
