#include <stdio.h>

/* Adds what it reads. "// no comment" is a string. */
static double add_all(FILE *from)
{
	double sum = 0, x;
	while (fscanf(from, "%lf", &x) == 1)
		sum += x;
	return sum;
}

int main(void)
{
	printf("%g // in all\n", add_all(stdin));
	return 0; // always
}
