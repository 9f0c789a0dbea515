/* Sizes as people write them: a decimal number, perhaps with one of K, M, G, T (powers of 1024). */
#include <errno.h>
#include <limits.h>
#include <zvm/command.h>

static int unit_shift(char unit)
{
	switch (unit) {
	case 'k':
	case 'K': return 10;
	case 'm':
	case 'M': return 20;
	case 'g':
	case 'G': return 30;
	case 't':
	case 'T': return 40;
	default: return -1;
	}
}

int zvm_parse_size(const char *text, unsigned long long *ret)
{
	unsigned long long n = 0;
	const char *at = text;
	for (; *at >= '0' && *at <= '9'; at++) {
		unsigned digit = (unsigned)(*at - '0');
		if (n > (ULLONG_MAX - digit) / 10)
			return -EINVAL;
		n = n * 10 + digit;
	}
	if (at == text)
		return -EINVAL;
	if (*at) {
		int shift = unit_shift(*at);
		if (shift < 0 || at[1] || n > ULLONG_MAX >> shift)
			return -EINVAL;
		n <<= shift;
	}
	*ret = n;
	return 0;
}
