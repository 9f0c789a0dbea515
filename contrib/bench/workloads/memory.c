/* Bound by memory: touches 256 MiB a page at a time, then walks through them from here to there. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define SIZE (256u << 20)
#define PAGE 4096u
#define PAGES (SIZE / PAGE)
#define STEPS 2000000u

int main(void)
{
	unsigned char *memory = malloc(SIZE);
	uint64_t at = 1, sum = 0;
	if (!memory)
		return 1;
	for (unsigned i = 0; i < PAGES; i++)
		memory[(size_t)i * PAGE] = (unsigned char)i;
	for (unsigned i = 0; i < STEPS; i++) {
		at = at * 6364136223846793005u + 1442695040888963407u;
		sum += memory[(at >> 40) % PAGES * PAGE];
	}
	printf("%llu\n", (unsigned long long)sum);
	free(memory);
	return 0;
}
