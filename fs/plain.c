/* See plain.h. */
#include "plain.h"
#include <string.h>

static char plain(char c)
{
	return (char)(c < ' ' || c > '~' ? '?' : c);
}

void zvm_plain(char *text)
{
	for (; *text; text++)
		*text = plain(*text);
}

void zvm_plain_put(const char *text, size_t length, FILE *to)
{
	for (size_t i = 0; i < length; i++)
		putc(plain(text[i]), to);
}

void zvm_plain_string(const char *text, FILE *to)
{
	zvm_plain_put(text, strlen(text), to);
}

void zvm_plain_trace(void *context, const char *line, size_t length)
{
	zvm_plain_put(line, length, context);
	putc('\n', context);
}
