/*
 * Directives: what a script says about itself, on comment lines among its first twenty. A misspelt one must not be
 * ignored: the author believes in a limit that would not be there.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zvm/cleanup.h>
#include <zvm/command.h>
#include <zvm/name.h>

#define LINES_MAX 20
#define LINE_LENGTH_MAX 4096
#define TIMEOUT_MAX (7ul * 24 * 3600)
#define SIZE_MAX_BYTES (1ull << 50) /* beyond any machine, and sums of it with other sizes do not wrap */

static int parse_number(const char *text, unsigned long most, unsigned long *ret)
{
	char *end;
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	*ret = strtoul(text, &end, 10);
	return errno || *end || *ret > most ? -EINVAL : 0;
}

static int parse_statuses(char *value, struct zvm_directives *d)
{
	memset(d->ok, 0, sizeof d->ok);
	for (char *word; (word = strsep(&value, ","));) { /* an empty word is no number */
		unsigned long status;
		int r = parse_number(word, 255, &status);
		if (r)
			return r;
		d->ok[status / 8] |= (unsigned char)(1u << status % 8);
	}
	return 0;
}

static int parse_environment(const char *value, struct zvm_directives *d)
{
	const char *equals = strchr(value, '=');
	if (!equals || equals == value)
		return -EINVAL;
	char **more = realloc(d->environment, (d->environment_count + 2) * sizeof *more);
	if (!more)
		return -ENOMEM;
	d->environment = more;
	more[d->environment_count] = strdup(value);
	if (!more[d->environment_count])
		return -ENOMEM;
	more[++d->environment_count] = NULL;
	return 0;
}

static int parse_bytes(const char *value, unsigned long long *ret)
{
	int r = zvm_parse_size(value, ret);
	return r ? r : *ret && *ret <= SIZE_MAX_BYTES ? 0 : -EINVAL;
}

static int parse_directive(char *word, struct zvm_directives *d)
{
	char *value = strchr(word, '=');
	if (!value)
		return -EINVAL;
	*value++ = 0;
	if (!strcmp(word, "ok"))
		return parse_statuses(value, d);
	if (!strcmp(word, "timeout"))
		return parse_number(value, TIMEOUT_MAX, &d->timeout_s) ? -EINVAL : d->timeout_s ? 0 : -EINVAL;
	if (!strcmp(word, "memory"))
		return parse_bytes(value, &d->memory_bytes);
	if (!strcmp(word, "output"))
		return parse_bytes(value, &d->output_bytes);
	if (!strcmp(word, "env"))
		return parse_environment(value, d);
	return -EINVAL;
}

/* Behind the comment sign and "zvm:", or NULL if the line is no directive line. */
static char *directive_text(char *line)
{
	static const char *const signs[] = {"#", "//", "--", ";", "%"};
	line += strspn(line, " \t");
	for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
		size_t n = strlen(signs[i]);
		if (strncmp(line, signs[i], n))
			continue;
		char *text = line + n;
		text += strspn(text, " \t");
		if (!strncmp(text, "zvm:", 4))
			return text + 4;
	}
	return NULL;
}

__attribute__((format(printf, 2, 3))) static int refuse(char **ret_reason, const char *format, ...)
{
	va_list arguments;
	if (!ret_reason)
		return -EINVAL;
	va_start(arguments, format);
	if (vasprintf(ret_reason, format, arguments) < 0)
		*ret_reason = NULL;
	va_end(arguments);
	return -EINVAL;
}

static int parse_words(char *text, unsigned number, struct zvm_directives *d, char **ret_reason)
{
	char *save = NULL;
	for (char *word = strtok_r(text, " \t\r", &save); word; word = strtok_r(NULL, " \t\r", &save)) {
		zvm_autofree char *copy = strdup(word);
		int r = copy ? parse_directive(word, d) : -ENOMEM;
		if (r == -EINVAL)
			return refuse(ret_reason,
			              "line %u: \"%s\" is not a directive (ok=0,1 timeout=SECONDS memory=SIZE "
			              "output=SIZE env=NAME=VALUE)",
			              number, copy);
		if (r)
			return r;
	}
	return 0;
}

/* Of a directive line nothing may be lost: cut short, a value would be another one than was written. */
static int parse_line(const char *start, size_t length, unsigned number, struct zvm_directives *d, char **ret_reason)
{
	char line[LINE_LENGTH_MAX];
	size_t kept = length < sizeof line - 1 ? length : sizeof line - 1;
	memcpy(line, start, kept);
	line[kept] = 0;
	char *text = directive_text(line);
	if (!text)
		return 0;
	if (strlen(line) < length)
		return refuse(ret_reason, "line %u: a directive line is text of at most %d bytes", number,
		              LINE_LENGTH_MAX - 1);
	return parse_words(text, number, d, ret_reason);
}

int zvm_directives_parse(const char *script, size_t size, struct zvm_directives *ret, char **ret_reason)
{
	*ret = (struct zvm_directives){.ok = {1}};
	if (ret_reason)
		*ret_reason = NULL;
	if (size < 2 || memcmp(script, "#!", 2))
		return 0;
	for (unsigned number = 1; size && number <= LINES_MAX; number++) {
		const char *end = memchr(script, '\n', size);
		size_t length = end ? (size_t)(end - script) : size;
		int r = parse_line(script, length, number, ret, ret_reason);
		if (r) {
			zvm_directives_free(ret);
			return r;
		}
		length += end != NULL;
		script += length;
		size -= length;
	}
	return 0;
}

void zvm_directives_free(struct zvm_directives *d)
{
	for (unsigned i = 0; i < d->environment_count; i++)
		free(d->environment[i]);
	free(d->environment);
	d->environment = NULL;
	d->environment_count = 0;
}
