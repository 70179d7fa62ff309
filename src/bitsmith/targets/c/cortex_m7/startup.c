/* Start of a Cortex-M7 program: vectors, FPU on, data and bss, main, exit by semihosting. */
#include "semi.h"

extern uint32_t data_load[], data_start[], data_end[], bss_start[], bss_end[], stack_top[];
int main(void);
void reset(void) __attribute__((noreturn));

static void fault(void)
{
    semi_puts("fault\n");
    semi_exit(99);
}

union vector {
    uint32_t *stack;
    void (*handler)(void);
};

__attribute__((section(".vectors"), used)) static const union vector vectors[16] = {
    {.stack = stack_top}, {.handler = reset}, {.handler = fault}, {.handler = fault}, {.handler = fault}, {.handler = fault},
    {.handler = fault}, {.handler = 0}, {.handler = 0}, {.handler = 0}, {.handler = 0}, {.handler = fault}, {.handler = fault},
    {.handler = 0}, {.handler = fault}, {.handler = fault},
};

void reset(void)
{
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: access to the FPU, before any float code */
    __asm volatile("dsb\n\tisb" ::: "memory");
    const uint32_t *from = data_load;
    for (uint32_t *to = data_start; to < data_end; to++) {
        *to = *from++;
    }
    for (uint32_t *to = bss_start; to < bss_end; to++) {
        *to = 0;
    }
    semi_exit(main());
}
