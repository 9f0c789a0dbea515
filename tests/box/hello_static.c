/* static: arguments, standard input by stdio, floating point, the heap, and an exit status. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	size_t size = 0, room = 1024, letters = 0;
	char *text = malloc(room);
	for (size_t n; (n = fread(text + size, 1, room - size, stdin)) > 0;) {
		size += n;
		if (size == room)
			text = realloc(text, room *= 2);
	}
	for (size_t i = 0; i < size; i++)
		letters += isalpha((unsigned char)text[i]) != 0;
	printf("%zu bytes, %zu letters, %d arguments, the last is \"%s\", %.17g\n", size, letters, argc - 1,
	       argv[argc - 1], sqrt((double)letters));
	free(text);
	return 42;
}
