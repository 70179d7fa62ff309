#include <math.h>
#include <stdint.h>
#define KERNEL static inline
/* kernel */
/* exp(x - largest) over their sum, along one axis. */
struct real_softmax {
    int32_t outer, count, inner;                    /* elements before the axis, along it, behind it */
};

KERNEL void real_softmax_once(const struct real_softmax *layer, const float *source, float *result)
{
    const int32_t count = layer->count * layer->inner;
    float largest = source[0], sum = 0.0f;
    for (int32_t i = 0; i < count; i += layer->inner) {
        largest = source[i] > largest ? source[i] : largest;
    }
    for (int32_t i = 0; i < count; i += layer->inner) {
        result[i] = expf(source[i] - largest);
        sum += result[i];
    }
    for (int32_t i = 0; i < count; i += layer->inner) {
        result[i] /= sum;
    }
}

KERNEL void real_softmax(const struct real_softmax *layer, const float *source, float *result)
{
    for (int32_t i = 0; i < layer->outer; i++) {
        for (int32_t j = 0; j < layer->inner; j++) {
            const int32_t at = i * layer->count * layer->inner + j;
            real_softmax_once(layer, source + at, result + at);
        }
    }
}
