/* Any bytes as a spec: refused, or taken apart into words from which a spec of the same meaning can be written again.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zvm/name.h>
#include "fuzz.h"

/* Every byte as %XX: longer than a name may be, so it is written only if it is short enough. */
static size_t write_word(char *to, const char *word)
{
	size_t n = 0;
	for (; *word; word++)
		n += (size_t)sprintf(to + n, "%%%02x", (unsigned char)*word);
	return n;
}

static void check_again(const struct zvm_spec *spec)
{
	char text[4096];
	size_t n = 0;
	for (unsigned i = 0; i < spec->stage_count; i++)
		for (unsigned k = 0; k < spec->stages[i].word_count; k++) {
			n += (size_t)sprintf(text + n, "%s", k ? " " : i ? " | " : "");
			n += write_word(text + n, spec->stages[i].words[k]);
		}
	struct zvm_spec *again;
	int r = zvm_spec_parse(text, &again);
	require(r == (n > 255 ? -ENAMETOOLONG : 0));
	if (r)
		return;
	require(again->stage_count == spec->stage_count);
	for (unsigned i = 0; i < spec->stage_count; i++) {
		require(again->stages[i].word_count == spec->stages[i].word_count);
		for (unsigned k = 0; k < spec->stages[i].word_count; k++)
			require(!strcmp(again->stages[i].words[k], spec->stages[i].words[k]));
	}
	zvm_spec_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zvm_spec *spec;
	char *text = strndup((const char *)data, size);
	require(text != NULL);
	int r = zvm_spec_parse(text, &spec);
	require(r == 0 || r == -EINVAL || r == -ENAMETOOLONG);
	require((r == -ENAMETOOLONG) == (strlen(text) > 255));
	if (r == 0) {
		require(!strcmp(spec->text, text) && spec->stage_count);
		for (unsigned i = 0; i < spec->stage_count; i++) {
			const struct zvm_stage *stage = &spec->stages[i];
			require(stage->word_count && !stage->words[stage->word_count] && !strchr(stage->words[0], '/'));
			for (unsigned k = 0; k < stage->word_count; k++)
				require(*stage->words[k] != 0);
		}
		check_again(spec);
		zvm_spec_free(spec);
	}
	free(text);
	return 0;
}
