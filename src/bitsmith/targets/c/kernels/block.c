#include "dsp.c"
/* kernel */
/* Sums of products of codes, widened to pairs of 16 bits, with the weights of two output channels, four terms at a time.
 * Each half of a word of weights is 256 * (weight of the second channel) + (weight of the first). Its lower byte gives the first
 * channel's product; the whole gives both, 256 * second + first, from which the first is subtracted at the end. */
struct block {
    int32_t first, both;            /* of one window */
    int32_t next_first, next_both;  /* of the window behind it */
};

#ifdef __ARM_FEATURE_DSP
#define block_load "ldrd %[w], %[x], [%[weights]], #8\n\tldrd %[a], %[b], [%[codes]], #8\n\tsxtb16 %[u], %[w]\n\tsxtb16 %[v], %[x]\n\t"
#define block_add(first, both) "smlad %[" first "], %[u], %[a], %[" first "]\n\tsmlad %[" both "], %[w], %[a], %[" both "]\n\t" \
                               "smlad %[" first "], %[v], %[b], %[" first "]\n\tsmlad %[" both "], %[x], %[b], %[" both "]\n\t"
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
    for (int32_t i = 0; i < 2 * quads; i++) {
        const uint32_t word = (uint32_t)weights[i];
        sums->first = dsp_add_products(dsp_signed_bytes(word), codes[i], sums->first);
        sums->both = dsp_add_products(word, codes[i], sums->both);
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

/* What belongs to the second channel, 256 times as large. Differences of sums that wrapped around are right. */
KERNEL int32_t block_second(int32_t both, int32_t first)
{
    return (int32_t)((uint32_t)both - (uint32_t)first);
}
