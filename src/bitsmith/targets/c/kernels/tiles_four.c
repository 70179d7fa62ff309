#include "x86_convolve.c"
/* kernel */
/* Winograd's minimal filtering of 4 x 4 pixels (Lavin and Gray 2015, F(4 x 4, 3 x 3)): 36 products where windows have 144. Weights are
 * transformed without the usual denominators, so that all numbers are integers. What results is 576 times the sum, or 288, 144, 72, 36:
 * nine times a power of two. All is modulo 2**32, where nine has an inverse; a shift does the rest. */
enum { tiles_size = 4, tiles_reach = 6 };

typedef struct { lanes_halves a, b, c, d, e, f; } tiles_codes;
typedef struct { lanes a, b, c, d; } tiles_pair;

KERNEL tiles_codes tiles_turn_line(const int16_t *codes, int32_t step)
{
    const lanes_halves a = lanes_load_halves(codes), b = lanes_load_halves(codes + step), c = lanes_load_halves(codes + 2 * step);
    const lanes_halves d = lanes_load_halves(codes + 3 * step), e = lanes_load_halves(codes + 4 * step);
    const lanes_halves even = lanes_subtract_halves(e, lanes_double_halves(c, 2));
    const lanes_halves odd = lanes_subtract_halves(d, lanes_double_halves(b, 2));
    const lanes_halves near = lanes_subtract_halves(e, c), far = lanes_double_halves(lanes_subtract_halves(d, b), 1);
    const lanes_halves last = lanes_subtract_halves(lanes_load_halves(codes + 5 * step), d);
    return (tiles_codes){
        lanes_add_halves(lanes_double_halves(lanes_subtract_halves(a, c), 2), near), lanes_add_halves(even, odd),
        lanes_subtract_halves(even, odd), lanes_add_halves(near, far), lanes_subtract_halves(near, far),
        lanes_subtract_halves(last, lanes_double_halves(far, 1)),
    };
}

KERNEL void tiles_turn_store(int16_t *to, int32_t step, tiles_codes turned)
{
    lanes_store_halves(to, turned.a);
    lanes_store_halves(to + step, turned.b);
    lanes_store_halves(to + 2 * step, turned.c);
    lanes_store_halves(to + 3 * step, turned.d);
    lanes_store_halves(to + 4 * step, turned.e);
    lanes_store_halves(to + 5 * step, turned.f);
}

/* 24, 12, 6 and 6 times what they ought to be. */
KERNEL tiles_pair tiles_total_line(const int32_t *sums, int32_t step)
{
    const lanes b = lanes_load(sums + step), c = lanes_load(sums + 2 * step);
    const lanes d = lanes_load(sums + 3 * step), e = lanes_load(sums + 4 * step);
    const lanes near = lanes_add(b, c), across = lanes_subtract(b, c), far = lanes_add(d, e), wide = lanes_subtract(d, e);
    return (tiles_pair){
        lanes_add(lanes_subtract(lanes_load(sums), lanes_double(near, 2)), far), lanes_subtract(wide, lanes_double(across, 1)),
        lanes_subtract(far, near), lanes_add(lanes_subtract(lanes_double(wide, 1), across), lanes_load(sums + 5 * step)),
    };
}

KERNEL void tiles_total_store(int32_t *to, int32_t step, tiles_pair totals)
{
    lanes_store(to, totals.a);
    lanes_store(to + step, totals.b);
    lanes_store(to + 2 * step, totals.c);
    lanes_store(to + 3 * step, totals.d);
}

/* Of the pixel in row i and column j. 954437177 * 9 = 1 modulo 2**32 */
KERNEL lanes tiles_exact(lanes totals, int32_t i, int32_t j)
{
    const int32_t twos = (i < 2 ? 3 - i : 1) + (j < 2 ? 3 - j : 1);
    return lanes_shift(lanes_multiply(totals, 954437177), twos);
}
