/* Digests as text: 32 lower-case hexadecimal digits, as xxh128sum prints them, and ".N" for a twin. */
#include <errno.h>
#include <string.h>
#include <zvm/digest.h>

static void put_hex(char *at, uint64_t n)
{
	for (int i = 15; i >= 0; i--, n >>= 4)
		at[i] = "0123456789abcdef"[n & 15];
}

void zvm_digest_format(const struct zvm_digest *digest, char text[ZVM_DIGEST_TEXT])
{
	put_hex(text, digest->high);
	put_hex(text + 16, digest->low);
	text[32] = 0;
	if (!digest->twin)
		return;

	char digits[10];
	int count = 0;
	for (uint32_t n = digest->twin; n; n /= 10)
		digits[count++] = (char)('0' + n % 10);
	char *at = text + 32;
	*at++ = '.';
	while (count)
		*at++ = digits[--count];
	*at = 0;
}

static int get_hex(const char *at, uint64_t *ret)
{
	uint64_t n = 0;
	for (int i = 0; i < 16; i++) {
		const char *digits = "0123456789abcdef", *found = at[i] ? strchr(digits, at[i]) : NULL;
		if (!found)
			return -EINVAL;
		n = n << 4 | (uint64_t)(found - digits);
	}
	*ret = n;
	return 0;
}

static int get_twin(const char *at, uint32_t *ret)
{
	if (*at < '1' || *at > '9')
		return -EINVAL;
	uint64_t n = 0;
	for (; *at; at++) {
		if (*at < '0' || *at > '9')
			return -EINVAL;
		n = n * 10 + (uint64_t)(*at - '0');
		if (n > UINT32_MAX)
			return -EINVAL;
	}
	*ret = (uint32_t)n;
	return 0;
}

int zvm_digest_parse(const char *text, struct zvm_digest *ret)
{
	struct zvm_digest digest = {0};
	if (strnlen(text, 32) < 32 || get_hex(text, &digest.high) || get_hex(text + 16, &digest.low))
		return -EINVAL;
	if (text[32] == '.') {
		if (get_twin(text + 33, &digest.twin))
			return -EINVAL;
	} else if (text[32]) {
		return -EINVAL;
	}
	*ret = digest;
	return 0;
}
