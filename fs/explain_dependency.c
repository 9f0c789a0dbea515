/* What a run was told of a file, and what it would be told now, in words. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zvm/cleanup.h>
#include "content.h"
#include "explain_internal.h"

#define NAMES_SHOWN 4u
#define KIND "dependency"

/* Contents that keep the last listing for us, beside what the store would do with it. */
struct look {
	const struct zvm_contents *below;
	struct zvm_bytes listing;
};

static int keep_file(void *context, int fd, const struct stat *st, struct zvm_digest *ret, uint64_t *ret_size,
                     int *ret_fd)
{
	const struct zvm_contents *below = ((struct look *)context)->below;
	return below->keep_file(below->context, fd, st, ret, ret_size, ret_fd);
}

static int keep_bytes(void *context, const void *bytes, size_t size, struct zvm_digest *ret, int *ret_fd)
{
	struct look *look = context;
	look->listing.size = 0;
	zvm_bytes_append(&look->listing, bytes, size);
	return look->below->keep_bytes(look->below->context, bytes, size, ret, ret_fd);
}

int64_t zvm_since(const struct stat *st)
{
	return st->st_mtim.tv_sec > st->st_ctim.tv_sec ? st->st_mtim.tv_sec : st->st_ctim.tv_sec;
}

/* Of what is at the path; of what has gone, the directory that it was in. A link counts, and where it leads. */
static int64_t since_of(const char *host)
{
	char path[4096];
	struct stat link, target;
	snprintf(path, sizeof path, "%s", host);
	while (lstat(path, &link) < 0) {
		char *slash = strrchr(path, '/');
		if (!slash || slash == path)
			return 0;
		*slash = 0;
	}
	int64_t since = zvm_since(&link);
	return stat(path, &target) == 0 && zvm_since(&target) > since ? zvm_since(&target) : since;
}

/* --- listings --- */

struct listing {
	const unsigned char *at;
	size_t left;
	struct zvm_view_entry entry;
	bool more;
};

static void advance(struct listing *l)
{
	l->more = zvm_view_next_entry(&l->at, &l->left, &l->entry) == 1;
}

/* Both are in byte order. < 0: the name is only in a; > 0: only in b. */
static int compare_entries(const struct listing *a, const struct listing *b)
{
	if (!a->more || !b->more)
		return a->more ? -1 : 1;
	size_t shorter = a->entry.name_length < b->entry.name_length ? a->entry.name_length : b->entry.name_length;
	int order = memcmp(a->entry.name, b->entry.name, shorter);
	return order                                          ? order
	       : a->entry.name_length == b->entry.name_length ? 0
	       : a->entry.name_length < b->entry.name_length  ? -1
	                                                      : 1;
}

static void write_name(FILE *out, unsigned number, const char *verb, const struct zvm_view_entry *entry)
{
	if (number < NAMES_SHOWN)
		fprintf(out, "%s%s %.*s", number ? ", " : "", verb, (int)entry->name_length, entry->name);
}

static void write_listings(FILE *out, struct listing *was, struct listing *is)
{
	unsigned n = 0;
	advance(was);
	advance(is);
	while (was->more || is->more) {
		int order = compare_entries(was, is);
		if (order < 0)
			write_name(out, n++, "lost", &was->entry);
		else if (order > 0)
			write_name(out, n++, "gained", &is->entry);
		else if (was->entry.type != is->entry.type)
			write_name(out, n++, "has another type of", &is->entry);
		if (order <= 0)
			advance(was);
		if (order >= 0)
			advance(is);
	}
	if (n > NAMES_SHOWN)
		fprintf(out, " and %u more", n - NAMES_SHOWN);
}

/* What a directory gained and lost; only that it changed, if the old listing is no longer kept. */
static char *describe_listing(struct zvm_store *store, const struct zvm_digest *digest, const struct zvm_bytes *now)
{
	char *text = NULL;
	size_t length;
	uint64_t size;
	zvm_autofd int fd = -1;
	if (zvm_store_object(store, digest, &fd, &size))
		return strdup("listing changed");
	zvm_autofree unsigned char *bytes = malloc((size_t)size + 1);
	FILE *out =
	        bytes && zvm_read_at(fd, bytes, (size_t)size, 0) == (long)size ? open_memstream(&text, &length) : NULL;
	if (!out)
		return NULL;
	struct listing was = {.at = bytes, .left = (size_t)size}, is = {.at = now->data, .left = now->size};
	write_listings(out, &was, &is);
	return fclose(out) == 0 ? text : NULL;
}

/* --- answers --- */

static const char *type_of(const struct zvm_answer *a)
{
	return S_ISDIR(a->mode) ? "a directory" : S_ISLNK(a->mode) ? "a symbolic link" : "a file";
}

struct change {
	const char *what;
	char was[4200], is[4200];
};

static void describe_errors(const struct zvm_answer *was, const struct zvm_answer *is, struct change *c)
{
	bool gone = is->error == -ENOENT || is->error == -ENOTDIR;
	snprintf(c->was, sizeof c->was, "%s",
	         was->error       ? strerror(-was->error)
	         : was->elsewhere ? was->text
	                          : type_of(was));
	snprintf(c->is, sizeof c->is, "%s", is->error ? strerror(-is->error) : is->elsewhere ? is->text : type_of(is));
	c->what = is->error ? gone && !was->error ? "disappeared" : "cannot be opened as before" : "appeared";
	if (is->error && gone && !was->error)
		*c->is = 0;
	else if (!is->error && was->error)
		*c->was = 0;
}

static void describe_contents(const struct zvm_answer *was, const struct zvm_answer *is, struct change *c)
{
	char name[ZVM_DIGEST_TEXT];
	c->what = "content changed";
	zvm_digest_format(&was->digest, name);
	snprintf(c->was, sizeof c->was, "%s, %llu bytes", name, (unsigned long long)was->size);
	zvm_digest_format(&is->digest, name);
	snprintf(c->is, sizeof c->is, "%s, %llu bytes", name, (unsigned long long)is->size);
}

/* Both are there. */
static void describe_attributes(const struct zvm_answer *was, const struct zvm_answer *is, struct change *c)
{
	if ((was->mode & S_IFMT) != (is->mode & S_IFMT)) {
		c->what = "is of another type";
		snprintf(c->was, sizeof c->was, "%s", type_of(was));
		snprintf(c->is, sizeof c->is, "%s", type_of(is));
	} else if (was->text && is->text && strcmp(was->text, is->text)) {
		c->what = was->elsewhere ? "leads elsewhere" : "link target changed";
		snprintf(c->was, sizeof c->was, "%s", was->text);
		snprintf(c->is, sizeof c->is, "%s", is->text);
	} else if (was->has_content && !zvm_digest_equal(&was->digest, &is->digest)) {
		describe_contents(was, is, c);
	} else if (was->size != is->size) {
		c->what = "size changed";
		snprintf(c->was, sizeof c->was, "%llu bytes", (unsigned long long)was->size);
		snprintf(c->is, sizeof c->is, "%llu bytes", (unsigned long long)is->size);
	} else if (was->mode != is->mode) {
		c->what = "permissions changed";
		snprintf(c->was, sizeof c->was, "%04o", was->mode & 07777);
		snprintf(c->is, sizeof c->is, "%04o", is->mode & 07777);
	} else if (was->inode != is->inode) {
		c->what = "a link on the way leads to another place";
	} else {
		c->what = "modification time changed";
		snprintf(c->was, sizeof c->was, "%lld", (long long)was->mtime);
		snprintf(c->is, sizeof c->is, "%lld", (long long)is->mtime);
	}
}

/* One file is asked for its attributes and for its content, under one path: one reason, the one that says more. */
static struct zvm_reason *find_reason(const struct zvm_reasons *reasons, const char *path)
{
	for (unsigned i = 0; i < reasons->count; i++)
		if (!strcmp(reasons->list[i].kind, KIND) && reasons->list[i].subject &&
		    !strcmp(reasons->list[i].subject, path))
			return &reasons->list[i];
	return NULL;
}

static void replace(char **text, const char *by)
{
	free(*text);
	*text = by ? strdup(by) : NULL;
}

static int add_reason(const struct zvm_view *view, const struct zvm_question *q, const char *change, const char *was,
                      const char *is, struct zvm_reasons *reasons)
{
	struct zvm_reason *reason = find_reason(reasons, q->path);
	if (reason && q->kind == ZVM_ASK_OPEN) {
		replace(&reason->change, change);
		replace(&reason->was, was);
		replace(&reason->is, is);
	}
	if (reason)
		return 0;
	reason = zvm_reasons_add(reasons, KIND, q->path, change, was, is);
	if (!reason)
		return -ENOMEM;
	if (zvm_view_host_path(view, q->path, &reason->host) == 0)
		reason->since = since_of(reason->host);
	return 0;
}

static int describe(struct zvm_store *store, const struct zvm_view *view, const struct zvm_dependency *d,
                    const struct zvm_answer *is, const struct zvm_bytes *listing, struct zvm_reasons *reasons)
{
	const struct zvm_answer *was = &d->answer;
	struct change c = {.what = NULL};
	zvm_autofree char *names = NULL;
	if (was->error || is->error || was->elsewhere != is->elsewhere)
		describe_errors(was, is, &c);
	else
		describe_attributes(was, is, &c);
	if (!was->error && !is->error && S_ISDIR(was->mode) && S_ISDIR(is->mode) && was->has_content &&
	    !zvm_digest_equal(&was->digest, &is->digest)) {
		names = describe_listing(store, &was->digest, listing);
		*c.was = *c.is = 0;
	}
	return add_reason(view, &d->question, names ? names : c.what, *c.was ? c.was : NULL, *c.is ? c.is : NULL,
	                  reasons);
}

int zvm_explain_dependency(struct zvm_store *store, const struct zvm_contents *contents, const struct zvm_view *view,
                           const struct zvm_dependency *d, struct zvm_reasons *reasons)
{
	struct look look = {.below = contents};
	struct zvm_contents watched = {.context = &look, .keep_file = keep_file, .keep_bytes = keep_bytes};
	struct zvm_answer now;
	int r = zvm_view_ask(view, &watched, &d->question, false, &now, NULL);
	if (r == 0 && !zvm_answer_equal(&now, &d->answer))
		r = look.listing.error ? look.listing.error : describe(store, view, d, &now, &look.listing, reasons);
	zvm_bytes_free(&look.listing);
	zvm_answer_free(&now);
	return r;
}
