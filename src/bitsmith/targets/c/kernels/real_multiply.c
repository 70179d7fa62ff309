#include "real_dot.c"
#include "real_finish.c"
/* kernel */
/* Rows of numbers times a matrix of weights, four outputs at a time. */
struct real_multiply {
    int32_t rows, terms, outputs;
    const weight_t *weights;                        /* [outputs / 4, rounded up][terms][4] */
    struct real_finish finish;
};

KERNEL void real_multiply(const struct real_multiply *layer, const float *source, float *result)
{
    float sums[4];
    for (int32_t row = 0; row < layer->rows; row++) {
        for (int32_t i = 0; i < layer->outputs; i += 4) {
            real_dot(source, layer->weights, i * layer->terms, layer->terms, sums);
            real_finish(&layer->finish, sums, i, layer->outputs - i < 4 ? layer->outputs - i : 4, result + i);
        }
        source += layer->terms;
        result += layer->outputs;
    }
}
