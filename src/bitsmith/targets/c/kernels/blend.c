#include <stdint.h>
#define KERNEL static inline
typedef int32_t sum_t;
typedef uint8_t source_t;
typedef uint8_t result_t;
/* kernel */
/* Values between two or four neighbours. Axes, as memory has them: outer, rows, middle, columns, inner. */
struct blend {
    int32_t outer, rows, middle, columns, inner;    /* how many */
    int32_t outer_step, middle_step;                /* elements of the source from one to the next; inner ones lie side by side */
    const int32_t *up, *down, *row_weight;          /* [rows]: elements to both neighbours, weight of the second */
    const int32_t *left, *right, *column_weight;    /* [columns] */
    int32_t row_bits, column_bits;                  /* of the weights; 0: nothing lies between along this axis */
};

KERNEL result_t blend_four(const struct blend *layer, const source_t *source, int32_t row, int32_t column)
{
    const source_t *up = source + layer->up[row], *down = source + layer->down[row];
    const int32_t left = layer->left[column], right = layer->right[column];
    const sum_t across = layer->column_weight[column], along = layer->row_weight[row];
    const sum_t rest = ((sum_t)1 << layer->column_bits) - across;
    const sum_t above = up[left] * rest + up[right] * across;
    const sum_t below = down[left] * rest + down[right] * across;
    const int32_t shift = layer->row_bits + layer->column_bits;
    const sum_t sum = above * (((sum_t)1 << layer->row_bits) - along) + below * along + ((sum_t)1 << (shift - 1));
    return (result_t)(sum >> shift);
}

KERNEL void blend(const struct blend *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->outer; i++) {
        for (int32_t row = 0; row < layer->rows; row++) {
            for (int32_t j = 0; j < layer->middle; j++) {
                for (int32_t column = 0; column < layer->columns; column++) {
                    const source_t *at = source + i * layer->outer_step + j * layer->middle_step;
                    for (int32_t k = 0; k < layer->inner; k++) {
                        *result++ = blend_four(layer, at + k, row, column);
                    }
                }
            }
        }
    }
}
