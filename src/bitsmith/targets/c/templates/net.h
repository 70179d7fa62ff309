/* $title, in $arithmetic. Made by bitsmith $version.
 *
 * 1. Give it memory: $PREFIX_ARENA_BYTES bytes, aligned to 4. Nothing else is written, so each arena is a network of its own.
 * 2. Write the $contents of the inputs to where ${prefix}_<input>(arena) points; running overwrites them.
 * 3. ${prefix}_run(arena); 0 means that all is well.
 * 4. Read the $contents of the outputs where ${prefix}_<output>(arena) points; they stay until the next input is written.$meaning
 */
#ifndef ${PREFIX}_H
#define ${PREFIX}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Working memory; less than $lower_bound bytes is impossible in this order of layers. */
#define ${PREFIX}_ARENA_BYTES $arena_bytes

$doors
/* Computes the outputs. Returns 0, or 1 where an input's index lies outside its table. */
int ${prefix}_run(void *arena);

#ifdef __cplusplus
}
#endif

#endif
