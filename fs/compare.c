/* See compare.h. */
#include "compare.h"
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <zvm/engine.h>
#include "content.h"

#define PIECE 65536u
#define QUOTE_BEFORE 24u
#define QUOTE_AFTER 40u

int zvm_compare_files(int a, int b, uint64_t *ret_at)
{
	char x[PIECE], y[PIECE];
	for (uint64_t at = 0;; at += PIECE) {
		long n = zvm_read_at(a, x, sizeof x, at), m = zvm_read_at(b, y, sizeof y, at);
		if (n < 0 || m < 0)
			return (int)(n < 0 ? n : m);
		long common = n < m ? n : m, same = 0;
		while (same < common && x[same] == y[same])
			same++;
		*ret_at = at + (uint64_t)same;
		if (same < common || n != m)
			return 1;
		if ((size_t)n < sizeof x)
			return 0;
	}
}

/* --- quoting --- */

struct quoted {
	char *to;
	size_t size, room; /* room for a last NUL is kept */
};

static void add(struct quoted *q, const char *text)
{
	size_t n = strlen(text);
	if (q->size + n >= q->room)
		q->room = q->size + 1; /* nothing shorter may follow what was left out */
	else
		memcpy(q->to + q->size, text, n + 1), q->size += n;
}

static void add_byte(struct quoted *q, unsigned char c)
{
	char text[8];
	if (c == '\n')
		snprintf(text, sizeof text, "\\n");
	else if (c == '"' || c == '\\')
		snprintf(text, sizeof text, "\\%c", c);
	else
		snprintf(text, sizeof text, c < 0x80 && isprint(c) ? "%c" : "\\x%02x", c);
	add(q, text);
}

int zvm_compare_quote(int fd, uint64_t at, char *to, size_t room)
{
	unsigned char bytes[QUOTE_BEFORE + QUOTE_AFTER + 1];
	uint64_t start = at > QUOTE_BEFORE ? at - QUOTE_BEFORE : 0;
	long n = zvm_read_at(fd, bytes, sizeof bytes, start);
	struct quoted q = {to, 0, room};
	if (n < 0)
		return (int)n;
	*to = 0;
	bool over = start + (uint64_t)n <= at, more = (size_t)n == sizeof bytes;
	if (n) {
		add(&q, start ? "...\"" : "\"");
		for (long i = 0; i < n - more; i++)
			add_byte(&q, bytes[i]);
		add(&q, more ? "\"..." : over ? "\", " : "\"");
	}
	if (over)
		add(&q, "end of file");
	return 0;
}

int zvm_compare_streams(int a, int b, struct zvm_compare_parting *ret)
{
	int r = zvm_compare_files(a, b, &ret->at);
	if (r <= 0)
		return r;
	r = zvm_compare_quote(a, ret->at, ret->a, sizeof ret->a);
	r = r ? r : zvm_compare_quote(b, ret->at, ret->b, sizeof ret->b);
	return r ? r : 1;
}

/* --- lines of a trace --- */

struct reader {
	int fd;
	uint64_t at; /* of the next byte to hand out */
	size_t have, used;
	char piece[PIECE];
};

/* The next byte, or -1 at the end, or -errno - 1. */
static int next(struct reader *r)
{
	if (r->used == r->have) {
		long n = zvm_read_at(r->fd, r->piece, sizeof r->piece, r->at);
		if (n <= 0)
			return (int)n - 1;
		r->have = (size_t)n;
		r->used = 0;
	}
	r->at++;
	return (unsigned char)r->piece[r->used++];
}

/* Reads one line; 1, 0 at the end, or -errno. */
static int read_line(struct reader *r, char *text, size_t room)
{
	size_t n = 0;
	int c;
	while ((c = next(r)) >= 0 && c != '\n')
		if (n + 1 < room)
			text[n++] = (char)c;
	text[n] = 0;
	return c < -1 ? c + 1 : c >= 0 || n;
}

static bool ends_stage(const char *line)
{
	return !strncmp(line, ZVM_TRACE_END, sizeof ZVM_TRACE_END - 1);
}

int zvm_compare_find_line(int fd, uint64_t at, struct zvm_compare_line *ret)
{
	struct reader reader = {.fd = fd};
	uint64_t calls = 0;
	*ret = (struct zvm_compare_line){.stage = 1};
	for (;;) {
		int r = read_line(&reader, ret->text, sizeof ret->text);
		if (r < 0)
			return r;
		bool end = ends_stage(ret->text);
		ret->number = end ? 0 : calls + 1;
		if (r == 0 || reader.at > at)
			return 0;
		calls = end ? 0 : calls + 1;
		ret->stage += end;
	}
}

int zvm_compare_traces(int a, int b, struct zvm_compare_line ret[2])
{
	uint64_t at;
	int r = zvm_compare_files(a, b, &at);
	if (r <= 0)
		return r;
	r = zvm_compare_find_line(a, at, &ret[0]);
	r = r ? r : zvm_compare_find_line(b, at, &ret[1]);
	return r ? r : 1;
}
