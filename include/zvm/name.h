/*
 * Names: specs, the one path component that says what to run.
 *
 *     spec  = stage *( " | " stage )      stage = script *( " " argument )      %XX in a word is that byte
 *
 *   struct zvm_spec *spec;
 *   int r = zvm_spec_parse("sort | uniq -c | head -n 5", &spec);   // -EINVAL, -ENAMETOOLONG, -ENOMEM
 *   for (unsigned i = 0; i < spec->stage_count; i++)
 *       run(spec->stages[i].words[0], spec->stages[i].words + 1);
 *   zvm_spec_free(spec);
 *
 * -EINVAL: empty stage, empty word (two spaces, a space at an end), %00, incomplete or non-hexadecimal %XX, a script
 * name with a slash. A word that is exactly "|" separates stages; "%7C" is a bar inside a word.
 */
#ifndef ZVM_NAME_H
#define ZVM_NAME_H

#include <stddef.h>

struct zvm_stage {
	char **words; /* NULL-terminated; words[0] is the script's name */
	unsigned word_count;
};

struct zvm_spec {
	char *text; /* as given */
	struct zvm_stage *stages;
	unsigned stage_count;
};

int zvm_spec_parse(const char *text, struct zvm_spec **ret);
void zvm_spec_free(struct zvm_spec *spec);

/*
 * Directives: comment lines ("# zvm: ok=0,1", "# zvm: timeout=300 memory=4G output=1G", "# zvm: env=NAME=VALUE") among
 * the first 20 lines (and 64 KiB) of a `#!` script. Unknown directive or bad value: -EINVAL and a sentence naming the
 * line in *ret_reason (malloc'd).
 */
struct zvm_directives {
	unsigned char ok[32];                          /* bit n: exit status n is success */
	unsigned long timeout_s;                       /* 0: not declared */
	unsigned long long memory_bytes, output_bytes; /* 0: not declared */
	char **environment;                            /* "NAME=VALUE", NULL-terminated; NULL: none */
	unsigned environment_count;
};

int zvm_directives_parse(const char *script, size_t size, struct zvm_directives *ret, char **ret_reason);
void zvm_directives_free(struct zvm_directives *directives);

#endif
