#include "real_limits.c"
/* kernel */
/* Numbers within limits. */
struct real_clamp {
    int32_t count;
    struct real_limits limits;
};

KERNEL void real_clamp(const struct real_clamp *layer, const float *source, float *result)
{
    for (int32_t i = 0; i < layer->count; i++) {
        result[i] = real_limits_apply(&layer->limits, source[i]);
    }
}
