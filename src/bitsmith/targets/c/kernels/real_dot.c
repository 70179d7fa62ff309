#include "real_weight.c"
/* kernel */
/* Sums of products with the weights of four output channels, which lie together for each term: of one window, and of four at once. */
KERNEL void real_dot(const float *window, const weight_t *weights, int32_t at, int32_t terms, float *sums)
{
    float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
    for (int32_t i = 0; i < terms; i++) {
        const float x = window[i];
        a += x * real_weight(weights, at);
        b += x * real_weight(weights, at + 1);
        c += x * real_weight(weights, at + 2);
        d += x * real_weight(weights, at + 3);
        at += 4;
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

KERNEL void real_dot_four(const float *window, const weight_t *weights, int32_t at, int32_t terms, float *sums)
{
    const float *second = window + terms, *third = second + terms, *fourth = third + terms;
    float a0 = 0.0f, a1 = 0.0f, a2 = 0.0f, a3 = 0.0f, b0 = 0.0f, b1 = 0.0f, b2 = 0.0f, b3 = 0.0f;
    float c0 = 0.0f, c1 = 0.0f, c2 = 0.0f, c3 = 0.0f, d0 = 0.0f, d1 = 0.0f, d2 = 0.0f, d3 = 0.0f;
    for (int32_t i = 0; i < terms; i++) {
        const float w0 = real_weight(weights, at), w1 = real_weight(weights, at + 1);
        const float w2 = real_weight(weights, at + 2), w3 = real_weight(weights, at + 3);
        const float x = window[i], y = second[i], z = third[i], u = fourth[i];
        a0 += x * w0;
        a1 += x * w1;
        a2 += x * w2;
        a3 += x * w3;
        b0 += y * w0;
        b1 += y * w1;
        b2 += y * w2;
        b3 += y * w3;
        c0 += z * w0;
        c1 += z * w1;
        c2 += z * w2;
        c3 += z * w3;
        d0 += u * w0;
        d1 += u * w1;
        d2 += u * w2;
        d3 += u * w3;
        at += 4;
    }
    const float found[16] = {a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3};
    for (int32_t i = 0; i < 16; i++) {
        sums[i] = found[i];
    }
}
