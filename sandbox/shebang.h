/*
 * The first line of a script, as the kernel reads it. The host resolves a run's first program, the monitor what that
 * executes: both have to read such a line alike. Nothing here depends on libc, because the monitor has none.
 */
#ifndef ZVM_SHEBANG_H
#define ZVM_SHEBANG_H

#include <stdbool.h>
#include <stddef.h>

#define ZVM_SHEBANG_SIZE 256 /* of a file's beginning are looked at */
#define ZVM_SHEBANG_DEPTH 5  /* scripts that interpret scripts, one behind the other; beyond is ELOOP */

struct zvm_shebang {
	char interpreter[ZVM_SHEBANG_SIZE + 1], argument[ZVM_SHEBANG_SIZE + 1]; /* "": there is none */
};

/* `size` as a read returns it: how much of the file's beginning is in `head`, or an error. */
static inline bool zvm_shebang_begins(const char *head, ptrdiff_t size)
{
	return size >= 2 && head[0] == '#' && head[1] == '!';
}

static inline bool zvm_shebang_blank(char c)
{
	return c == ' ' || c == '\t';
}

static inline void zvm_shebang_word(char to[ZVM_SHEBANG_SIZE + 1], const char *from, size_t length)
{
	for (size_t i = 0; i < length; i++)
		to[i] = from[i];
	to[length] = 0;
}

/*
 * The line after `#!`: an interpreter, and all the rest as one argument without the blanks around it. The kernel reads
 * 256 bytes with a NUL at their end: of a longer line the argument is cut there, but not the interpreter's name.
 * false: it names no interpreter (ENOEXEC).
 */
static inline bool zvm_shebang_parse(const char *head, size_t size, struct zvm_shebang *ret)
{
	size_t length = 2, at = 2;
	while (length < size && head[length] && head[length] != '\n')
		length++;
	bool cut = length == ZVM_SHEBANG_SIZE;
	if (cut)
		length--;
	while (at < length && zvm_shebang_blank(head[at]))
		at++;
	size_t start = at;
	while (at < length && !zvm_shebang_blank(head[at]))
		at++;
	if (at == start || (cut && at == length))
		return false;
	zvm_shebang_word(ret->interpreter, head + start, at - start);
	while (at < length && zvm_shebang_blank(head[at]))
		at++;
	while (length > at && zvm_shebang_blank(head[length - 1]))
		length--;
	zvm_shebang_word(ret->argument, head + at, length - at);
	return true;
}

#endif
