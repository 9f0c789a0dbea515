/* static */
#include "jumps.c"
