#include "dsp.c"
#include "saturate_unsigned.c"
#include "ties_upward.c"
typedef uint8_t left_t;
typedef uint8_t right_t;
typedef uint8_t result_t;
/* kernel */
/* The sum of two values of one shape and different scales. The operands' zero points and the rounding are part of `start`. */
struct cortex_m_add {
    int32_t count;
    int32_t left_multiplier, right_multiplier;
    int32_t start, shift;
    int32_t zero_point, low, high;                  /* see saturate */
};

KERNEL int32_t cortex_m_add_codes(const struct cortex_m_add *layer, int32_t left, int32_t right)
{
    const uint32_t sum = (uint32_t)left * (uint32_t)layer->left_multiplier + (uint32_t)layer->start +
                         (uint32_t)right * (uint32_t)layer->right_multiplier;
    return saturate((ties((int32_t)sum, 31 - layer->shift) >> layer->shift) + layer->zero_point, layer->low, layer->high);
}

KERNEL void cortex_m_add(const struct cortex_m_add *layer, const left_t *left, const right_t *right, result_t *result)
{
    const struct cortex_m_add held = *layer;
    int32_t i = held.count;
    for (; i >= 4; i -= 4) {
        result[0] = (result_t)cortex_m_add_codes(&held, left[0], right[0]);
        result[1] = (result_t)cortex_m_add_codes(&held, left[1], right[1]);
        result[2] = (result_t)cortex_m_add_codes(&held, left[2], right[2]);
        result[3] = (result_t)cortex_m_add_codes(&held, left[3], right[3]);
        left += 4;
        right += 4;
        result += 4;
    }
    for (; i > 0; i--) {
        *result++ = (result_t)cortex_m_add_codes(&held, *left++, *right++);
    }
}
