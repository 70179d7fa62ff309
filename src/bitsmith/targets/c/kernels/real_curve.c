#include "curve_tanh.c"
/* kernel */
/* A function of one value. */
struct real_curve {
    int32_t count;
    float numbers[2];                               /* what the function may want to know */
};

KERNEL void real_curve(const struct real_curve *layer, const float *source, float *result)
{
    for (int32_t i = 0; i < layer->count; i++) {
        result[i] = curve(source[i], layer->numbers);
    }
}
