#include "real_limits.c"
/* kernel */
/* Products of two matrices of numbers, [rows][terms] x [terms][outputs], one for each turn of the outer loops. */
struct real_multiply_pair {
    int32_t count[3];                               /* of the outer loops, and each operand's elements from turn to turn */
    int32_t left_step[3];
    int32_t right_step[3];
    int32_t rows, terms, outputs;
    struct real_limits limits;
};

KERNEL float *real_multiply_pair_once(const struct real_multiply_pair *layer, const float *left, const float *right, float *result)
{
    for (int32_t row = 0; row < layer->rows; row++) {
        for (int32_t i = 0; i < layer->outputs; i++) {
            float sum = 0.0f;
            for (int32_t k = 0; k < layer->terms; k++) {
                sum += left[k] * right[k * layer->outputs + i];
            }
            *result++ = real_limits_apply(&layer->limits, sum);
        }
        left += layer->terms;
    }
    return result;
}

KERNEL void real_multiply_pair(const struct real_multiply_pair *layer, const float *left, const float *right, float *result)
{
    for (int32_t i = 0; i < layer->count[0]; i++) {
        for (int32_t j = 0; j < layer->count[1]; j++) {
            for (int32_t k = 0; k < layer->count[2]; k++) {
                result = real_multiply_pair_once(
                    layer, left + i * layer->left_step[0] + j * layer->left_step[1] + k * layer->left_step[2],
                    right + i * layer->right_step[0] + j * layer->right_step[1] + k * layer->right_step[2], result);
            }
        }
    }
}
