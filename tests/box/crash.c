/* Crashes: without arguments in a function of its own, with one in a function of libc. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) int read_what_is_not_there(const volatile int *p)
{
	return *p;
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		qsort((void *)8, 100, 4, (int (*)(const void *, const void *))strcmp);
	printf("%d\n", read_what_is_not_there((const volatile int *)16));
	return 0;
}
