#include "semi.h"

#define STACK_WORDS 4096
#define PAINT 0xDEADBEEFu
#define TIMER(offset) (*(volatile uint32_t *)(0x40000000u + (offset))) /* CMSDK timer 0 */

extern uint32_t stack_top[];

static int semi(int operation, const void *arguments)
{
    register int r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = arguments;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void semi_puts(const char *text)
{
    semi(0x04, text);
}

void semi_putu(uint32_t number)
{
    char digits[12], *first = digits + 11;
    *first = 0;
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    semi_puts(first);
}

void semi_exit(int code)
{
    const uint32_t arguments[2] = {0x20026u, (uint32_t)code};
    for (;;) {
        semi(0x20, arguments);
    }
}

int semi_open(const char *path, int mode)
{
    uint32_t length = 0;
    while (path[length]) {
        length++;
    }
    const uint32_t arguments[3] = {(uint32_t)path, (uint32_t)mode, length};
    return semi(0x01, arguments);
}

int semi_read(int file, void *bytes, uint32_t count)
{
    const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)bytes, count};
    return semi(0x06, arguments);
}

int semi_write(int file, const void *bytes, uint32_t count)
{
    const uint32_t arguments[3] = {(uint32_t)file, (uint32_t)bytes, count};
    return semi(0x05, arguments);
}

void timer_start(void)
{
    TIMER(0) = 0;
    TIMER(8) = 0xFFFFFFFFu;
    TIMER(4) = 0xFFFFFFFFu;
    TIMER(0) = 1;
}

uint32_t timer_read(void)
{
    return 0xFFFFFFFFu - TIMER(4);
}

void stack_paint(void)
{
    uint32_t *here;
    __asm volatile("mov %0, sp" : "=r"(here));
    for (uint32_t *word = stack_top - STACK_WORDS; word < here - 16; word++) {
        *word = PAINT;
    }
}

uint32_t stack_used(void)
{
    const uint32_t *word = stack_top - STACK_WORDS;
    while (*word == PAINT) {
        word++;
    }
    return (uint32_t)(stack_top - word) * 4;
}
