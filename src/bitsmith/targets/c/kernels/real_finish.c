#include "real_limits.c"
/* kernel */
/* From sums of four output channels to results. One operation a line, so that no compiler joins two into one with a single rounding. */
struct real_finish {
    const float *bias;              /* of every output channel */
    struct real_limits limits;
};

KERNEL void real_finish(const struct real_finish *how, const float *sums, int32_t channel, int32_t count, float *result)
{
    for (int32_t i = 0; i < count; i++) {
        result[i] = real_limits_apply(&how->limits, sums[i] + how->bias[channel + i]);
    }
}
