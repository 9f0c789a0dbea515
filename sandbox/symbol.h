/* Which function of an ELF file lies there: for the line about a crash. */
#ifndef ZVM_SYMBOL_H
#define ZVM_SYMBOL_H

#include <stdint.h>

/* "main+0x12" of the byte at `offset` of the file, malloc'd and printable; NULL: its symbol tables do not say. The file
 * may be anything. */
char *zvm_symbol_at(int fd, uint64_t offset);

#endif
