#include <math.h>
#include <stdint.h>
#define KERNEL static inline
/* kernel */
/* (x - mean) / sqrt(mean of its squares + epsilon) * gain + bias, row by row. */
struct real_normalize {
    int32_t rows, length;
    int32_t centred;                                /* 0: the mean counts as 0 */
    float epsilon;
    const float *gain, *bias;                       /* [length] */
};

KERNEL void real_normalize_row(const struct real_normalize *layer, const float *source, float *result)
{
    const float length = (float)layer->length;
    float sum = 0.0f, squares = 0.0f;
    for (int32_t i = 0; i < layer->length; i++) {
        sum += source[i];
    }
    const float mean = layer->centred ? sum / length : 0.0f;
    for (int32_t i = 0; i < layer->length; i++) {
        const float deviation = source[i] - mean;
        squares += deviation * deviation;
    }
    const float root = sqrtf(squares / length + layer->epsilon);
    for (int32_t i = 0; i < layer->length; i++) {
        result[i] = (source[i] - mean) / root * layer->gain[i] + layer->bias[i];
    }
}

KERNEL void real_normalize(const struct real_normalize *layer, const float *source, float *result)
{
    for (int32_t i = 0; i < layer->rows; i++) {
        real_normalize_row(layer, source + i * layer->length, result + i * layer->length);
    }
}
