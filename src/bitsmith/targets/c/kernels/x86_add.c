#include "scaling_multiplier.c"
/* kernel */
/* The sum of two values of one shape for x86, sixteen elements at once; a negative multiplier subtracts. Rounded once. */
struct x86_add {
    int32_t count;
    int32_t left_multiplier, right_multiplier;
    int32_t start;                                  /* what the zero points add */
    int32_t shift, odd;
    struct lanes_codes codes;
};

KERNEL void x86_add_sixteen(const struct x86_add *layer, const uint8_t *left, const uint8_t *right, uint8_t *result, int32_t count)
{
    const lanes a = lanes_multiply(lanes_extend(lanes_widen(left)), layer->left_multiplier);
    const lanes b = lanes_multiply(lanes_extend(lanes_widen(right)), layer->right_multiplier);
    const lanes sums = lanes_add(lanes_add(a, b), lanes_all(layer->start));
    lanes_pack_some(&layer->codes, scaling_total(sums, layer->shift, layer->odd), result, count);
}

KERNEL void x86_add(const struct x86_add *layer, const uint8_t *left, const uint8_t *right, uint8_t *result)
{
    int32_t i = 0;
    for (; i + 16 <= layer->count; i += 16) {
        x86_add_sixteen(layer, left + i, right + i, result + i, 16);
    }
    if (i < layer->count) {
        uint8_t a[16] = {0}, b[16] = {0};
        memcpy(a, left + i, (size_t)(layer->count - i));
        memcpy(b, right + i, (size_t)(layer->count - i));
        x86_add_sixteen(layer, a, b, result + i, layer->count - i);
    }
}
