#include <stdint.h>
#define KERNEL static inline
/* kernel */
/* The mean over whole axes. */
struct real_mean {
    int32_t count[3], step[3];                      /* loops over the axes that stay, and their elements from turn to turn */
    int32_t inner_count[3], inner_step[3];          /* the same for the axes that go */
};

KERNEL float real_mean_once(const struct real_mean *layer, const float *source)
{
    float sum = 0.0f;
    for (int32_t i = 0; i < layer->inner_count[0]; i++) {
        for (int32_t j = 0; j < layer->inner_count[1]; j++) {
            for (int32_t k = 0; k < layer->inner_count[2]; k++) {
                sum += source[i * layer->inner_step[0] + j * layer->inner_step[1] + k * layer->inner_step[2]];
            }
        }
    }
    return sum / (float)(layer->inner_count[0] * layer->inner_count[1] * layer->inner_count[2]);
}

KERNEL void real_mean(const struct real_mean *layer, const float *source, float *result)
{
    for (int32_t i = 0; i < layer->count[0]; i++) {
        for (int32_t j = 0; j < layer->count[1]; j++) {
            for (int32_t k = 0; k < layer->count[2]; k++) {
                *result++ = real_mean_once(layer, source + i * layer->step[0] + j * layer->step[1] + k * layer->step[2]);
            }
        }
    }
}
