#include "curve_tanh.c"
typedef uint8_t source_t;
typedef uint8_t result_t;
/* kernel */
/* Codes to numbers, a function of them, and codes again: what a table would hold. */
struct real_curve_of_codes {
    int32_t count;
    int32_t zero, zero_point, low, high;            /* the codes of 0 of source and result, the codes that the result has */
    float scale, result_scale;
    float numbers[2];                               /* what the function may want to know */
};

KERNEL void real_curve_of_codes(const struct real_curve_of_codes *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->count; i++) {
        const float real = (float)(source[i] - layer->zero) * layer->scale;
        const float steps = curve(real, layer->numbers) / layer->result_scale;
        const float code = rintf(steps) + (float)layer->zero_point;
        result[i] = (result_t)(code < (float)layer->low ? layer->low : code > (float)layer->high ? layer->high : (int32_t)code);
    }
}
