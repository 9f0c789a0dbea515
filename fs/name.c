/* Specs: parsing the one path component that says what to run. See name.h for the grammar. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zvm/name.h>

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One word, up to the next space or the end, its %XX replaced. *at moves behind it. */
static int parse_word(const char **at, char **ret)
{
	const char *end = *at + strcspn(*at, " ");
	char *word = malloc((size_t)(end - *at) + 1), *to = word;
	if (!word)
		return -ENOMEM;
	for (const char *from = *at; from < end; from++) {
		if (*from != '%') {
			*to++ = *from;
			continue;
		}
		int high = from + 1 < end ? hex(from[1]) : -1, low = high >= 0 && from + 2 < end ? hex(from[2]) : -1;
		if (low < 0 || (high == 0 && low == 0)) {
			free(word);
			return -EINVAL;
		}
		*to++ = (char)(high << 4 | low);
		from += 2;
	}
	*to = 0;
	if (to == word) {
		free(word);
		return -EINVAL;
	}
	*at = end;
	*ret = word;
	return 0;
}

static int add_word(struct zvm_stage *stage, char *word)
{
	char **more = realloc(stage->words, (stage->word_count + 2) * sizeof *more);
	if (!more) {
		free(word);
		return -ENOMEM;
	}
	stage->words = more;
	more[stage->word_count++] = word;
	more[stage->word_count] = NULL;
	return 0;
}

static struct zvm_stage *add_stage(struct zvm_spec *spec)
{
	struct zvm_stage *more = realloc(spec->stages, (spec->stage_count + 1) * sizeof *more);
	if (!more)
		return NULL;
	spec->stages = more;
	more[spec->stage_count] = (struct zvm_stage){0};
	return &more[spec->stage_count++];
}

/* Words up to a lone bar or the end. *more: a bar was there, so another stage must follow. */
static int parse_stage(const char **at, struct zvm_stage *stage, int *more)
{
	*more = 0;
	for (;;) {
		char *word;
		if (**at == '|' && ((*at)[1] == ' ' || !(*at)[1])) {
			if (!stage->word_count || (*at)[1] != ' ')
				return -EINVAL;
			*at += 2;
			*more = 1;
			break;
		}
		int r = parse_word(at, &word);
		r = r ? r : add_word(stage, word);
		if (r)
			return r;
		if (!**at)
			break;
		++*at; /* the one space; another one would be an empty word */
		if (!**at)
			return -EINVAL;
	}
	return strchr(stage->words[0], '/') ? -EINVAL : 0;
}

int zvm_spec_parse(const char *text, struct zvm_spec **ret)
{
	const char *at = text;
	int r = 0, more = 1;
	if (strlen(text) > NAME_MAX)
		return -ENAMETOOLONG;
	struct zvm_spec *spec = calloc(1, sizeof *spec);
	if (!spec)
		return -ENOMEM;
	spec->text = strdup(text);
	if (!spec->text)
		r = -ENOMEM;
	while (r == 0 && more) {
		struct zvm_stage *stage = add_stage(spec);
		r = stage ? parse_stage(&at, stage, &more) : -ENOMEM;
	}
	if (r) {
		zvm_spec_free(spec);
		return r;
	}
	*ret = spec;
	return 0;
}

void zvm_spec_free(struct zvm_spec *spec)
{
	if (!spec)
		return;
	for (unsigned i = 0; i < spec->stage_count; i++) {
		for (unsigned k = 0; k < spec->stages[i].word_count; k++)
			free(spec->stages[i].words[k]);
		free(spec->stages[i].words);
	}
	free(spec->stages);
	free(spec->text);
	free(spec);
}
