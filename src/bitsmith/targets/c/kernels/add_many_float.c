#include <math.h>
#include <stdint.h>
#define KERNEL static inline
typedef uint8_t source_t;
typedef uint8_t result_t;
/* kernel */
/* The sum of several values of equal shape and different scales in float, the last operand first. As onnxruntime does it. */
struct add_many_float {
    int32_t count, operands;
    const float *ratio;                             /* of each operand, then the offset */
    int32_t zero_after;                             /* added behind the rounding */
    int32_t low, high;
};

KERNEL void add_many_float(const struct add_many_float *layer, const source_t *const sources[], result_t *result)
{
    for (int32_t i = 0; i < layer->count; i++) {
        float sum = layer->ratio[layer->operands];
        for (int32_t k = layer->operands - 1; k >= 0; k--) {
            sum = fmaf((float)sources[k][i], layer->ratio[k], sum);
        }
        const float code = rintf(sum) + (float)layer->zero_after;
        result[i] = (result_t)(code < (float)layer->low ? layer->low : code > (float)layer->high ? layer->high : (int32_t)code);
    }
}
