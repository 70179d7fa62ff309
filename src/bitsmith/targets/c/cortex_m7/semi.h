/* What a program on an emulated Cortex-M7 gets from outside: files and text by semihosting, a timer that counts instructions. */
#ifndef SEMI_H
#define SEMI_H
#include <stdint.h>

void semi_puts(const char *text);
void semi_putu(uint32_t number);
void semi_exit(int code) __attribute__((noreturn));
int semi_open(const char *path, int mode);                      /* 1: read, 5: write; negative where that fails */
int semi_read(int file, void *bytes, uint32_t count);           /* 0 where all came */
int semi_write(int file, const void *bytes, uint32_t count);    /* 0 where all went */

/* Under -icount shift=6 an instruction takes 64 ns, and the timer ticks each 40 ns: instructions = ticks * 5 / 8. */
void timer_start(void);
uint32_t timer_read(void);

/* Bytes of stack that have been touched since painting. */
void stack_paint(void);
uint32_t stack_used(void);
#endif
