/* The same, static. */
#include "instructions.c"
