/* static: looks for the caller's secrets in all the memory there is. Standard input: the word to look for, reversed, so
 * that the input itself does not hold it. */
#include "escape.h"

extern char **environ;
static char word[128];
static size_t length;

static unsigned long search(const char *name, uint64_t from, uint64_t to)
{
	unsigned long pages = 0;
	for (uint64_t at = from; at < to; at += 4096) {
		if (!readable((unsigned char *)at))
			continue;
		pages++;
		for (char *i = (char *)at; (i = memmem(i, at + 4096 - (uint64_t)i, word, length)); i++)
			if (i != word)
				printf("ESCAPED: the word is at %p, %s\n", i, name);
	}
	printf("searched %s: %lu pages\n", name, pages);
	return pages;
}

int main(void)
{
	char reversed[128], path[64], text[65536];
	take_over();
	length = (size_t)read(0, reversed, sizeof reversed);
	while (length && reversed[length - 1] == '\n')
		length--;
	for (char **e = environ; *e; e++)
		printf("environment %s\n", *e);
	static const char *const places[] = {"self", "1", "2", "thread-self"};
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof path, "/proc/%s/environ", places[i]);
		FILE *f = fopen(path, "r");
		size_t n = f ? fread(text, 1, sizeof text, f) : 0;
		for (size_t k = 0; k + length <= n; k++) {
			bool all = true;
			for (size_t j = 0; j < length && all; j++)
				all = text[k + j] == reversed[length - 1 - j];
			if (all)
				printf("ESCAPED: the word is in %s\n", path);
		}
		printf("tried %s: %zu bytes\n", path, n);
	}
	for (size_t i = 0; i < length; i++)
		word[i] = reversed[length - 1 - i];
	search("the monitor", ZVM_MONITOR_BASE, ZVM_MONITOR_BASE + (32 << 20));
	search("the arena", ZVM_ARENA_BASE, ZVM_ARENA_BASE + (8 << 20));
	/* Where a program's stack, vdso and mappings are when nobody moves them. */
	search("the top", 0x7fffff000000ull, 0x7ffffffff000ull);
	puts("tried the memory");
	return 0;
}
