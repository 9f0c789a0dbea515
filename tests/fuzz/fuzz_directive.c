/* Any bytes as a script: either a refusal that names a line, or limits that are limits. And as a size, besides. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zvm/command.h>
#include <zvm/name.h>
#include "fuzz.h"

static void check(const struct zvm_directives *d, int is_script)
{
	static const unsigned char only_0[32] = {1}, none[32];
	require(memcmp(d->ok, none, sizeof none));
	require(d->timeout_s <= 7 * 24 * 3600 && d->memory_bytes <= 1ull << 50 && d->output_bytes <= 1ull << 50);
	for (unsigned i = 0; i < d->environment_count; i++) {
		const char *equals = strchr(d->environment[i], '=');
		require(equals && equals > d->environment[i]);
	}
	require(!d->environment || !d->environment[d->environment_count]);
	require(is_script || (!memcmp(d->ok, only_0, sizeof only_0) && !d->timeout_s && !d->memory_bytes &&
	                      !d->output_bytes && !d->environment));
}

static void check_size(const uint8_t *data, size_t size)
{
	unsigned long long value;
	char *text = strndup((const char *)data, size);
	require(text != NULL);
	int r = zvm_parse_size(text, &value);
	require(r == 0 || r == -EINVAL);
	require(r || (*text >= '0' && *text <= '9'));
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zvm_directives d;
	char *reason;
	int is_script = size >= 2 && !memcmp(data, "#!", 2);
	int r = zvm_directives_parse((const char *)data, size, &d, &reason);
	require(r == 0 || r == -EINVAL);
	if (r == 0) {
		require(!reason);
		check(&d, is_script);
		zvm_directives_free(&d);
	} else {
		require(is_script && reason && !strncmp(reason, "line ", 5) && !strchr(reason, '\n'));
		require(!d.environment && !d.environment_count);
		free(reason);
	}
	check_size(data, size);
	return 0;
}
