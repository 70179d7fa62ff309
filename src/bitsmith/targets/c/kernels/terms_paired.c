#include "dsp.c"
/* kernel */
/* Each half of a word of weights is 256 * (weight of the second channel) + (weight of the first). Its lower byte gives the first
 * channel's product; the whole gives both, 256 * second + first, from which the first is subtracted at the end. */
#ifdef __ARM_FEATURE_DSP
#define terms_load "ldrd %[w], %[x], [%[weights]], #8\n\tldrd %[a], %[b], [%[codes]], #8\n\tsxtb16 %[u], %[w]\n\tsxtb16 %[v], %[x]\n\t"
#define terms_add(first, second) "smlad %[" first "], %[u], %[a], %[" first "]\n\tsmlad %[" second "], %[w], %[a], %[" second "]\n\t" \
                                 "smlad %[" first "], %[v], %[b], %[" first "]\n\tsmlad %[" second "], %[x], %[b], %[" second "]\n\t"
#else
KERNEL void terms_add(const uint32_t *codes, const int32_t *weights, int32_t *first, int32_t *second)
{
    for (int32_t i = 0; i < 2; i++) {
        const uint32_t word = (uint32_t)weights[i];
        *first = dsp_add_products(dsp_signed_bytes(word), codes[i], *first);
        *second = dsp_add_products(word, codes[i], *second);
    }
}
#endif

/* What belongs to the second channel, 256 times as large. Differences of sums that wrapped around are right. */
KERNEL int32_t terms_second(int32_t second, int32_t first)
{
    return (int32_t)((uint32_t)second - (uint32_t)first);
}
