#include "dsp.c"
/* kernel */
/* Sums of products of codes, widened to pairs of 16 bits, with the weights of two output channels, four terms at a time.
 * A word of weights holds four of one channel: terms 0, 2, 1, 3. Then come those of the other channel. */
struct block {
    int32_t first, both;            /* of one window: both channels, each by itself */
    int32_t next_first, next_both;  /* of the window behind it */
};

#ifdef __ARM_FEATURE_DSP
#define block_load "ldrd %[w], %[x], [%[weights]], #8\n\tldrd %[a], %[b], [%[codes]], #8\n\tsxtb16 %[u], %[w]\n\tsxtb16 %[w], %[w], ror #8\n\t" \
                   "sxtb16 %[v], %[x]\n\tsxtb16 %[x], %[x], ror #8\n\t"
#define block_add(first, both) "smlad %[" first "], %[u], %[a], %[" first "]\n\tsmlad %[" both "], %[v], %[a], %[" both "]\n\t" \
                               "smlad %[" first "], %[w], %[b], %[" first "]\n\tsmlad %[" both "], %[x], %[b], %[" both "]\n\t"
#define block_one block_load block_add("first", "both")
#define block_two block_one "ldrd %[a], %[b], [%[next]], #8\n\t" block_add("next_first", "next_both")
#define block_words [w] "=&r"(w), [x] "=&r"(x), [u] "=&r"(u), [v] "=&r"(v), [a] "=&r"(a), [b] "=&r"(b)

/* One window, and two at once. Both return the next channels' weights. */
KERNEL const int32_t *block_window(const uint32_t *codes, const int32_t *weights, int32_t quads, struct block *sums)
{
    int32_t first = sums->first, both = sums->both;
    uint32_t w, x, u, v, a, b;
    for (int32_t i = quads >> 2; i > 0; i--) {
        __asm__ volatile(block_one block_one block_one block_one : [first] "+r"(first), [both] "+r"(both), [codes] "+r"(codes),
                [weights] "+r"(weights), block_words : : "memory");
    }
    for (int32_t i = quads & 3; i > 0; i--) {
        __asm__ volatile(block_one : [first] "+r"(first), [both] "+r"(both), [codes] "+r"(codes), [weights] "+r"(weights), block_words : : "memory");
    }
    sums->first = first;
    sums->both = both;
    return weights;
}

KERNEL const int32_t *block_windows(const uint32_t *codes, const uint32_t *next, const int32_t *weights, int32_t quads, struct block *sums)
{
    int32_t first = sums->first, both = sums->both, next_first = sums->next_first, next_both = sums->next_both;
    uint32_t w, x, u, v, a, b;
    for (int32_t i = quads >> 2; i > 0; i--) {
        __asm__ volatile(block_two block_two block_two block_two : [first] "+r"(first), [both] "+r"(both), [next_first] "+r"(next_first),
                [next_both] "+r"(next_both), [codes] "+r"(codes), [next] "+r"(next), [weights] "+r"(weights), block_words : : "memory");
    }
    for (int32_t i = quads & 3; i > 0; i--) {
        __asm__ volatile(block_two : [first] "+r"(first), [both] "+r"(both), [next_first] "+r"(next_first), [next_both] "+r"(next_both),
                [codes] "+r"(codes), [next] "+r"(next), [weights] "+r"(weights), block_words : : "memory");
    }
    *sums = (struct block){first, both, next_first, next_both};
    return weights;
}
#else
KERNEL const int32_t *block_window(const uint32_t *codes, const int32_t *weights, int32_t quads, struct block *sums)
{
    for (int32_t i = 0; i < 2 * quads; i += 2) {
        const uint32_t first = (uint32_t)weights[i], second = (uint32_t)weights[i + 1];
        sums->first = dsp_add_products(dsp_signed_bytes(first), codes[i], sums->first);
        sums->first = dsp_add_products(dsp_signed_bytes(first >> 8), codes[i + 1], sums->first);
        sums->both = dsp_add_products(dsp_signed_bytes(second), codes[i], sums->both);
        sums->both = dsp_add_products(dsp_signed_bytes(second >> 8), codes[i + 1], sums->both);
    }
    return weights + 2 * quads;
}

KERNEL const int32_t *block_windows(const uint32_t *codes, const uint32_t *next, const int32_t *weights, int32_t quads, struct block *sums)
{
    struct block other = {sums->next_first, sums->next_both, 0, 0};
    block_window(codes, weights, quads, sums);
    block_window(next, weights, quads, &other);
    sums->next_first = other.first;
    sums->next_both = other.both;
    return weights + 2 * quads;
}
#endif

KERNEL int32_t block_second(int32_t both, int32_t first)
{
    (void)first;
    return both;
}
