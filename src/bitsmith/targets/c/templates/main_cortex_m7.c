/* Runs recorded samples on an emulated Cortex-M7 and counts instructions. */
#include "${prefix}.h"
#include "semi.h"

static uint32_t arena[(${PREFIX}_ARENA_BYTES + 3) / 4];

#ifdef ${PREFIX}_DEBUG
static uint32_t at, ticks_of[LAYERS], last;
#endif
static int failed, w;

#ifdef ${PREFIX}_DEBUG
void ${prefix}_trace(const void *codes, uint32_t bytes);

/* Writes a layer's codes, as they lie in memory, and notes what the first sample took. */
void ${prefix}_trace(const void *codes, uint32_t bytes)
{
    const uint32_t now = timer_read();
    if (at < LAYERS) {
        ticks_of[at++] = now - last;
    }
    failed |= semi_write(w, codes, bytes);
    last = timer_read();
}
#endif

static int read_sample(int r)
{
    failed = 0;
$reads
    return !failed;
}

int main(void)
{
    const int r = semi_open("inputs.bin", 1);
    uint32_t most = 0;
    w = semi_open("outputs.bin", 5);
    timer_start();
    stack_paint();
    while (read_sample(r)) {
        const uint32_t before = timer_read();
#ifdef ${PREFIX}_DEBUG
        last = before;
#endif
        const int status = ${prefix}_run(arena);
        const uint32_t ticks = timer_read() - before;
        most = ticks > most ? ticks : most;
        if (status != 0) {
            semi_puts("an index is outside its table\n");
            return 1;
        }
$writes
        if (failed) {
            return 2;
        }
    }
    semi_puts("ticks: ");
    semi_putu(most);
    semi_puts("\nstack: ");
    semi_putu(stack_used());
    semi_puts("\nlayers:");
#ifdef ${PREFIX}_DEBUG
    for (uint32_t i = 0; i < at; i++) {
        semi_puts(" ");
        semi_putu(ticks_of[i]);
    }
#endif
    semi_puts("\n");
    return 0;
}
