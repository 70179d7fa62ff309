/* $title, layer by layer. Made by bitsmith $version. */
#include "$prefix.h"

$includes

#include "${prefix}_weights.h"

/* How kernels are compiled: one copy for all layers of the same types, or, with always_inline, one for each layer. */
#ifndef ${PREFIX}_KERNEL
#define ${PREFIX}_KERNEL static inline
#endif
#ifdef __clang__
#pragma clang diagnostic ignored "-Wunused-function"    /* of the functions that kernels share not every network calls all */
#endif

/* With -D${PREFIX}_DEBUG, ${prefix}_trace gets every layer's codes as they lie in memory. */
#ifdef ${PREFIX}_DEBUG
void ${prefix}_trace(const void *codes, uint32_t bytes);
#define ${PREFIX}_TRACE(codes, bytes) ${prefix}_trace((codes), (bytes))
#else
#define ${PREFIX}_TRACE(codes, bytes) ((void)0)
#endif

/* Negative numbers must be shifted right arithmetically, as every common compiler does. */
typedef char ${prefix}_arithmetic_shift[(-1 >> 1) == -1 ? 1 : -1];

/* ---- kernels ---- */

$kernels
/* ---- layers ---- */

$layers
/* Where each value lies in the arena. Values that live at different times share bytes. */
enum {
$places
};

$doors
int ${prefix}_run(void *arena)
{
    uint8_t *const memory = arena;

$body
    return 0;
}
