#include "dsp.c"
/* kernel */
/* A word of weights holds four of one channel: terms 0, 2, 1, 3. Then come those of the other channel. */
#ifdef __ARM_FEATURE_DSP
#define terms_load "ldrd %[w], %[x], [%[weights]], #8\n\tldrd %[a], %[b], [%[codes]], #8\n\tsxtb16 %[u], %[w]\n\tsxtb16 %[w], %[w], ror #8\n\t" \
                   "sxtb16 %[v], %[x]\n\tsxtb16 %[x], %[x], ror #8\n\t"
#define terms_add(first, second) "smlad %[" first "], %[u], %[a], %[" first "]\n\tsmlad %[" second "], %[v], %[a], %[" second "]\n\t" \
                                 "smlad %[" first "], %[w], %[b], %[" first "]\n\tsmlad %[" second "], %[x], %[b], %[" second "]\n\t"
#else
KERNEL void terms_add(const uint32_t *codes, const int32_t *weights, int32_t *first, int32_t *second)
{
    const uint32_t one = (uint32_t)weights[0], other = (uint32_t)weights[1];
    *first = dsp_add_products(dsp_signed_bytes(one), codes[0], *first);
    *first = dsp_add_products(dsp_signed_bytes(one >> 8), codes[1], *first);
    *second = dsp_add_products(dsp_signed_bytes(other), codes[0], *second);
    *second = dsp_add_products(dsp_signed_bytes(other >> 8), codes[1], *second);
}
#endif

KERNEL int32_t terms_second(int32_t second, int32_t first)
{
    (void)first;
    return second;
}
