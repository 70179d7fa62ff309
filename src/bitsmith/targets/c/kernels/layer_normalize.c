#include <stdint.h>
#define KERNEL static inline
typedef uint8_t source_t;
typedef uint8_t result_t;
/* kernel */
/* (x - mean) / sqrt(variance + epsilon) * gain + bias, row by row: exact deviations, an integer root, one division for each row. */
struct layer_normalize {
    int32_t rows, length;
    int32_t fraction;                               /* bits behind the point of sums of squares */
    int32_t floor_high, floor_low;                  /* what epsilon adds to them: high * 2**31 + low */
    int32_t shift, bias_shift;
    const int32_t *gain, *bias;                     /* [length] */
    int32_t zero_point, low, high;                  /* of the result */
};

KERNEL int64_t layer_normalize_root(int64_t square)
{
    int64_t root = 0;
    for (int64_t bit = (int64_t)1 << 60; bit > 0; bit >>= 2) {
        if (square >= root + bit) {
            square -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return root;
}

KERNEL void layer_normalize_row(const struct layer_normalize *layer, const source_t *source, result_t *result)
{
    const int32_t length = layer->length;
    int32_t sum = 0;
    for (int32_t i = 0; i < length; i++) {
        sum += source[i];
    }
    int64_t square = 0;
    for (int32_t i = 0; i < length; i++) {
        const int64_t deviation = length * source[i] - sum;
        square += deviation * deviation;
    }
    square = square * ((int64_t)1 << layer->fraction) + layer->floor_high * ((int64_t)1 << 31) + layer->floor_low;
    square = square < 1 ? 1 : square;
    int32_t shift = 32 - layer->fraction / 2;
    for (; square < (int64_t)1 << 60; square *= 4) {
        shift--;
    }
    shift = shift < 1 ? 1 : shift;
    const int64_t reciprocal = ((int64_t)1 << 62) / layer_normalize_root(square);
    for (int32_t i = 0; i < length; i++) {
        const int64_t unit = ((length * source[i] - sum) * reciprocal + ((int64_t)1 << (shift - 1))) >> shift;
        const int64_t total = unit * layer->gain[i] + layer->bias[i] * ((int64_t)1 << layer->bias_shift);
        const int64_t code = ((total + ((int64_t)1 << (layer->shift - 1))) >> layer->shift) + layer->zero_point;
        result[i] = (result_t)(code < layer->low ? layer->low : code > layer->high ? layer->high : code);
    }
}

KERNEL void layer_normalize(const struct layer_normalize *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->rows; i++) {
        layer_normalize_row(layer, source + i * layer->length, result + i * layer->length);
    }
}
