/* Runs recorded samples: $contents of all inputs from standard input, sample after sample; $contents of all outputs to standard output.
 * Made by bitsmith $version. */
#include <stdio.h>

#include "$prefix.h"

static uint32_t arena[($PREFIX_ARENA_BYTES + 3) / 4];

#ifdef $PREFIX_DEBUG
/* With -D$PREFIX_DEBUG every layer's codes follow on standard output, as they lie in memory, before those of the outputs. */
void ${prefix}_trace(const void *codes, uint32_t bytes)
{
    fwrite(codes, 1, bytes, stdout);
}
#endif

static int read_sample(void)
{
    int complete = 1;
$reads
    return complete;
}

int main(void)
{
    while (read_sample()) {
        if (${prefix}_run(arena) != 0) {
            fprintf(stderr, "an index is outside its table\n");
            return 1;
        }
$writes
    }
    return 0;
}
