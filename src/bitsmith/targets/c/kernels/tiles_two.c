#include "x86_convolve.c"
/* kernel */
/* Winograd's minimal filtering of 2 x 2 pixels (Lavin and Gray 2015, F(2 x 2, 3 x 3)): sixteen products where windows have 36. Weights
 * are transformed with twice the usual matrix, so that all numbers are integers, and sums four times what they ought to be. */
enum { tiles_size = 2, tiles_reach = 4 };

typedef struct { lanes_halves a, b, c, d; } tiles_codes;
typedef struct { lanes a, b; } tiles_pair;

KERNEL tiles_codes tiles_turn_line(const int16_t *codes, int32_t step)
{
    const lanes_halves a = lanes_load_halves(codes), b = lanes_load_halves(codes + step);
    const lanes_halves c = lanes_load_halves(codes + 2 * step), d = lanes_load_halves(codes + 3 * step);
    return (tiles_codes){lanes_subtract_halves(a, c), lanes_add_halves(b, c), lanes_subtract_halves(c, b), lanes_subtract_halves(b, d)};
}

KERNEL void tiles_turn_store(int16_t *to, int32_t step, tiles_codes turned)
{
    lanes_store_halves(to, turned.a);
    lanes_store_halves(to + step, turned.b);
    lanes_store_halves(to + 2 * step, turned.c);
    lanes_store_halves(to + 3 * step, turned.d);
}

KERNEL tiles_pair tiles_total_line(const int32_t *sums, int32_t step)
{
    const lanes a = lanes_load(sums), b = lanes_load(sums + step), c = lanes_load(sums + 2 * step), d = lanes_load(sums + 3 * step);
    return (tiles_pair){lanes_add(lanes_add(a, b), c), lanes_subtract(lanes_subtract(b, c), d)};
}

KERNEL void tiles_total_store(int32_t *to, int32_t step, tiles_pair totals)
{
    lanes_store(to, totals.a);
    lanes_store(to + step, totals.b);
}

/* Of the pixel in row i and column j. */
KERNEL lanes tiles_exact(lanes totals, int32_t i, int32_t j)
{
    (void)i;
    (void)j;
    return lanes_shift(totals, 2);
}
