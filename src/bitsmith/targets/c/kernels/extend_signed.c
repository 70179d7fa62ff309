#include <stdint.h>
/* kernel */
/* Bytes 0 and 2 of a word become 16 bits each. */
#define extend_pair "sxtb16"
