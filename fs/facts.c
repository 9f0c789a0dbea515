/* See facts.h. */
#include "facts.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <zvm/cleanup.h>

#define FACTS_VERSION "zvm mount 1"
#define FACTS_MAX 65536
#define SCRIPTS_MAX 1024

int zvm_facts_encode(const struct zvm_facts *facts, struct zvm_bytes *out)
{
	uint64_t count = 0;
	while (facts->scripts[count])
		count++;
	zvm_bytes_string(out, FACTS_VERSION);
	zvm_bytes_string(out, facts->store);
	zvm_bytes_string(out, facts->inputs);
	zvm_bytes_string(out, facts->mountpoint);
	zvm_bytes_number(out, count);
	for (uint64_t i = 0; i < count; i++)
		zvm_bytes_string(out, facts->scripts[i]);
	zvm_bytes_number(out, facts->follow);
	zvm_bytes_number(out, facts->any_exit);
	zvm_bytes_number(out, facts->limits.memory_bytes);
	zvm_bytes_number(out, facts->limits.output_bytes);
	zvm_bytes_number(out, facts->limits.wall_ms);
	return out->error;
}

static void get_scripts(struct zvm_reader *in, struct zvm_facts *facts)
{
	uint64_t count = zvm_read_number(in);
	if (count > SCRIPTS_MAX)
		in->error = -EBADMSG;
	facts->scripts = in->error ? NULL : calloc((size_t)count + 1, sizeof *facts->scripts);
	if (!facts->scripts)
		in->error = in->error ? in->error : -ENOMEM;
	for (uint64_t i = 0; i < count && !in->error; i++)
		facts->scripts[i] = zvm_read_string(in);
}

int zvm_facts_decode(const void *data, size_t size, struct zvm_facts **ret)
{
	struct zvm_reader in = {.data = data, .left = size};
	struct zvm_facts *facts = calloc(1, sizeof *facts);
	if (!facts)
		return -ENOMEM;
	zvm_autofree char *version = zvm_read_string(&in);
	if (version && strcmp(version, FACTS_VERSION))
		in.error = -EBADMSG;
	facts->store = zvm_read_string(&in);
	facts->inputs = zvm_read_string(&in);
	facts->mountpoint = zvm_read_string(&in);
	get_scripts(&in, facts);
	facts->follow = zvm_read_number(&in);
	facts->any_exit = zvm_read_number(&in);
	facts->limits.memory_bytes = zvm_read_number(&in);
	facts->limits.output_bytes = zvm_read_number(&in);
	facts->limits.wall_ms = zvm_read_number(&in);
	if (in.error || in.left) {
		zvm_facts_free(facts);
		return in.error ? in.error : -EBADMSG;
	}
	*ret = facts;
	return 0;
}

int zvm_facts_ask(const char *mountpoint, struct zvm_facts **ret)
{
	zvm_autofree char *value = malloc(FACTS_MAX);
	if (!value)
		return -ENOMEM;
	ssize_t n = getxattr(mountpoint, ZVM_FACTS_ATTRIBUTE, value, FACTS_MAX);
	return n < 0 ? -errno : zvm_facts_decode(value, (size_t)n, ret);
}

void zvm_facts_free(struct zvm_facts *facts)
{
	if (!facts)
		return;
	for (char **script = facts->scripts; script && *script; script++)
		free(*script);
	free(facts->scripts);
	free(facts->store);
	free(facts->inputs);
	free(facts->mountpoint);
	free(facts);
}
