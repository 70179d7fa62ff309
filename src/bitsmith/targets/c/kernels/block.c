#include "terms_paired.c"
/* kernel */
/* Sums of products of codes, widened to pairs of 16 bits, with the weights of two output channels, four terms at a time. */
struct block {
    int32_t first, second;              /* of one window; what the second stands for: see terms */
    int32_t next_first, next_second;    /* of the window behind it */
};

#ifdef __ARM_FEATURE_DSP
#define block_one terms_load terms_add("first", "second")
#define block_two block_one "ldrd %[a], %[b], [%[next]], #8\n\t" terms_add("next_first", "next_second")
#define block_words [w] "=&r"(w), [x] "=&r"(x), [u] "=&r"(u), [v] "=&r"(v), [a] "=&r"(a), [b] "=&r"(b)

/* One window, and two at once. Each returns the next channels' weights. Calls would leave the sums in memory. */
KERNEL __attribute__((always_inline)) const int32_t *block_window(const uint32_t *codes, const int32_t *weights, int32_t quads, struct block *sums)
{
    int32_t first = sums->first, second = sums->second;
    uint32_t w, x, u, v, a, b;
    for (int32_t i = quads >> 2; i > 0; i--) {
        __asm__ volatile(block_one block_one block_one block_one : [first] "+r"(first), [second] "+r"(second), [codes] "+r"(codes),
                [weights] "+r"(weights), block_words : : "memory");
    }
    for (int32_t i = quads & 3; i > 0; i--) {
        __asm__ volatile(block_one : [first] "+r"(first), [second] "+r"(second), [codes] "+r"(codes), [weights] "+r"(weights), block_words : : "memory");
    }
    sums->first = first;
    sums->second = second;
    return weights;
}

KERNEL __attribute__((always_inline)) const int32_t *block_windows(const uint32_t *codes, const uint32_t *next, const int32_t *weights,
                                                                   int32_t quads, struct block *sums)
{
    int32_t first = sums->first, second = sums->second, next_first = sums->next_first, next_second = sums->next_second;
    uint32_t w, x, u, v, a, b;
    for (int32_t i = quads >> 2; i > 0; i--) {
        __asm__ volatile(block_two block_two block_two block_two : [first] "+r"(first), [second] "+r"(second), [next_first] "+r"(next_first),
                [next_second] "+r"(next_second), [codes] "+r"(codes), [next] "+r"(next), [weights] "+r"(weights), block_words : : "memory");
    }
    for (int32_t i = quads & 3; i > 0; i--) {
        __asm__ volatile(block_two : [first] "+r"(first), [second] "+r"(second), [next_first] "+r"(next_first), [next_second] "+r"(next_second),
                [codes] "+r"(codes), [next] "+r"(next), [weights] "+r"(weights), block_words : : "memory");
    }
    *sums = (struct block){first, second, next_first, next_second};
    return weights;
}
#else
KERNEL const int32_t *block_window(const uint32_t *codes, const int32_t *weights, int32_t quads, struct block *sums)
{
    for (int32_t i = 0; i < 2 * quads; i += 2) {
        terms_add(codes + i, weights + i, &sums->first, &sums->second);
    }
    return weights + 2 * quads;
}

KERNEL const int32_t *block_windows(const uint32_t *codes, const uint32_t *next, const int32_t *weights, int32_t quads, struct block *sums)
{
    struct block other = {sums->next_first, sums->next_second, 0, 0};
    block_window(codes, weights, quads, sums);
    block_window(next, weights, quads, &other);
    sums->next_first = other.first;
    sums->next_second = other.second;
    return weights + 2 * quads;
}
#endif
