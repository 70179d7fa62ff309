#include <math.h>
#include <stdint.h>
#define KERNEL static inline
typedef uint8_t left_t;
typedef uint8_t right_t;
typedef uint8_t result_t;
/* kernel */
/* The sum of two values of different scales in float: left * ratio + (right * ratio + offset), each rounded once. As onnxruntime does it. */
struct add_float {
    int32_t count[4];                               /* of nested loops, and each operand's elements from turn to turn */
    int32_t left_step[4];
    int32_t right_step[4];
    const float *ratio;                             /* of both operands, then the offset */
    int32_t zero_after;                             /* added behind the rounding */
    int32_t low, high;
};

KERNEL result_t add_float_codes(const struct add_float *layer, int32_t left, int32_t right)
{
    const float second = fmaf((float)right, layer->ratio[1], layer->ratio[2]);
    const float sum = fmaf((float)left, layer->ratio[0], second);
    const float code = rintf(sum) + (float)layer->zero_after;
    return (result_t)(code < (float)layer->low ? layer->low : code > (float)layer->high ? layer->high : (int32_t)code);
}

KERNEL void add_float(const struct add_float *layer, const left_t *left, const right_t *right, result_t *result)
{
    for (int32_t i = 0; i < layer->count[0]; i++) {
        for (int32_t j = 0; j < layer->count[1]; j++) {
            for (int32_t k = 0; k < layer->count[2]; k++) {
                const left_t *a = left + i * layer->left_step[0] + j * layer->left_step[1] + k * layer->left_step[2];
                const right_t *b = right + i * layer->right_step[0] + j * layer->right_step[1] + k * layer->right_step[2];
                for (int32_t l = 0; l < layer->count[3]; l++) {
                    *result++ = add_float_codes(layer, a[l * layer->left_step[3]], b[l * layer->right_step[3]]);
                }
            }
        }
    }
}
