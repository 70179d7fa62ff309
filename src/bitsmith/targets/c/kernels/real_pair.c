#include "real_limits.c"
#include "combine_add.c"
/* kernel */
/* Two values, element by element. */
struct real_pair {
    int32_t count[4];                               /* of nested loops, and each operand's elements from turn to turn */
    int32_t left_step[4];
    int32_t right_step[4];
    struct real_limits limits;
};

KERNEL void real_pair(const struct real_pair *layer, const float *left, const float *right, float *result)
{
    for (int32_t i = 0; i < layer->count[0]; i++) {
        for (int32_t j = 0; j < layer->count[1]; j++) {
            for (int32_t k = 0; k < layer->count[2]; k++) {
                const float *a = left + i * layer->left_step[0] + j * layer->left_step[1] + k * layer->left_step[2];
                const float *b = right + i * layer->right_step[0] + j * layer->right_step[1] + k * layer->right_step[2];
                for (int32_t l = 0; l < layer->count[3]; l++) {
                    const float number = combine(a[l * layer->left_step[3]], b[l * layer->right_step[3]]);
                    *result++ = real_limits_apply(&layer->limits, number);
                }
            }
        }
    }
}
