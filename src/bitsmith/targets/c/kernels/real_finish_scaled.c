#include "real_limits.c"
/* kernel */
/* From sums of four output channels, in steps of the weights, to results. One operation a line, so that no compiler joins two. */
struct real_finish {
    const float *scale;             /* of every output channel */
    const float *bias;
    struct real_limits limits;
};

KERNEL void real_finish(const struct real_finish *how, const float *sums, int32_t channel, int32_t count, float *result)
{
    for (int32_t i = 0; i < count; i++) {
        const float scaled = sums[i] * how->scale[channel + i];
        const float number = scaled + how->bias[channel + i];
        result[i] = real_limits_apply(&how->limits, number);
    }
}
