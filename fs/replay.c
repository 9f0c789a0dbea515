/*
 * The questions of a record, sorted, are the memory. Three kinds of questions are not in it:
 *
 * Those about the run's own script are part of the action: a view with an empty /script, in which only the script is,
 * answers them.
 *
 * The broker itself asks whether directories above a missing file are missing, too, and remembers only the highest
 * (broker.c). So what lies below a place that was absent is absent; and what the record says nothing about was there,
 * or it would.
 *
 * All others are new ones. Whatever they are told, the run has differed already.
 */
#include "replay.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zvm/cleanup.h>

#define SCRIPT "/script/"

struct questions {
	const struct zvm_dependency **list; /* sorted */
	unsigned count;
};

struct zvm_replay {
	struct zvm_store *store;
	const struct zvm_record *record;
	struct questions questions;
	struct zvm_view *view;
};

/* --- questions --- */

static int compare_questions(const struct zvm_question *a, const struct zvm_question *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->flags != b->flags)
		return a->flags < b->flags ? -1 : 1;
	return strcmp(a->path, b->path);
}

static int compare_entries(const void *a, const void *b)
{
	return compare_questions(&(*(const struct zvm_dependency *const *)a)->question,
	                         &(*(const struct zvm_dependency *const *)b)->question);
}

static int sort_questions(const struct zvm_dependency *dependencies, unsigned count, struct questions *ret)
{
	ret->list = calloc((size_t)count + 1, sizeof(void *));
	if (!ret->list)
		return -ENOMEM;
	ret->count = count;
	for (unsigned i = 0; i < count; i++)
		ret->list[i] = &dependencies[i];
	qsort(ret->list, count, sizeof(void *), compare_entries);
	return 0;
}

static const struct zvm_dependency *find_question(const struct questions *questions, const struct zvm_question *wanted)
{
	unsigned low = 0, high = questions->count;
	while (low < high) {
		unsigned middle = low + (high - low) / 2;
		int order = compare_questions(wanted, &questions->list[middle]->question);
		if (!order)
			return questions->list[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* --- answers --- */

static int give(const struct zvm_replay *replay, const struct zvm_answer *stored, bool want_fd, struct zvm_answer *ret)
{
	*ret = *stored;
	ret->fd = -1;
	ret->text = stored->text ? strdup(stored->text) : NULL;
	if (stored->text && !ret->text)
		return -ENOMEM;
	int r = want_fd && stored->has_content ? zvm_store_object(replay->store, &stored->digest, &ret->fd, NULL) : 0;
	if (r)
		zvm_answer_free(ret);
	return r;
}

/* A view in which only the script is keeps nothing but that. */
static int keep_no_file(void *context, int fd, const struct stat *st, struct zvm_digest *ret, uint64_t *ret_size,
                        int *ret_fd)
{
	(void)context, (void)fd, (void)st, (void)ret, (void)ret_size, (void)ret_fd;
	return -ENOENT;
}

static int keep_no_bytes(void *context, const void *bytes, size_t size, struct zvm_digest *ret, int *ret_fd)
{
	(void)context, (void)bytes, (void)size, (void)ret, (void)ret_fd;
	return -ENOENT;
}

/* 1: it was about the script, and is answered. A path that climbs could leave /script for the host. */
static int ask_script(const struct zvm_replay *replay, const struct zvm_question *q, bool want_fd,
                      struct zvm_answer *ret)
{
	struct zvm_contents nothing = {.keep_file = keep_no_file, .keep_bytes = keep_no_bytes};
	bool pinned = false;
	if (strncmp(q->path, SCRIPT, strlen(SCRIPT)) || strstr(q->path, "/.."))
		return 0;
	int r = zvm_view_ask(replay->view, &nothing, q, want_fd, ret, &pinned);
	if (r == 0 && !pinned)
		zvm_answer_free(ret);
	return r == 0 && pinned;
}

static bool was_missing(const struct zvm_replay *replay, const char *path)
{
	zvm_autofree char *copy = strdup(path);
	for (char *slash; copy && *copy; *slash = 0) {
		struct zvm_question q = {.kind = ZVM_ASK_LOOKUP, .path = copy};
		const struct zvm_dependency *d = find_question(&replay->questions, &q);
		if (d && d->answer.error == -ENOENT)
			return true;
		slash = strrchr(copy, '/');
		if (!slash)
			break;
	}
	return false;
}

static int ask(void *context, const struct zvm_view *view, const struct zvm_question *q, bool want_fd,
               struct zvm_answer *ret, bool *pinned)
{
	const struct zvm_replay *replay = context;
	const struct zvm_dependency *d = find_question(&replay->questions, q);
	(void)view;
	if (pinned)
		*pinned = false;
	if (d)
		return give(replay, &d->answer, want_fd, ret);
	if (ask_script(replay, q, want_fd, ret)) {
		if (pinned)
			*pinned = true;
		return 0;
	}
	*ret = (struct zvm_answer){.fd = -1, .error = -ENOENT};
	if (q->kind == ZVM_ASK_LOOKUP && !was_missing(replay, q->path))
		*ret = (struct zvm_answer){.fd = -1, .mode = S_IFDIR | 0755, .size = 4096, .mtime = ZVM_EPOCH};
	return 0;
}

/* --- a replay --- */

static int pin_script(struct zvm_replay *replay, const struct zvm_action *action)
{
	uint64_t size;
	zvm_autofd int fd = -1;
	int r = zvm_view_open(NULL, &replay->view);
	if (r || strncmp(action->script, SCRIPT, strlen(SCRIPT)))
		return r;
	r = zvm_store_object(replay->store, &action->script_blob, &fd, &size);
	return r ? r
	         : zvm_view_pin(replay->view, action->script + strlen(SCRIPT), action->script_mode, size,
	                        &action->script_blob, fd);
}

int zvm_replay_new(struct zvm_store *store, const struct zvm_action *action, const struct zvm_record *record,
                   struct zvm_replay **ret)
{
	struct zvm_replay *replay = calloc(1, sizeof *replay);
	if (!replay)
		return -ENOMEM;
	replay->store = store;
	replay->record = record;
	int r = sort_questions(record->dependencies, record->dependency_count, &replay->questions);
	r = r ? r : pin_script(replay, action);
	if (r) {
		zvm_replay_free(replay);
		return r;
	}
	*ret = replay;
	return 0;
}

void zvm_replay_free(struct zvm_replay *replay)
{
	if (!replay)
		return;
	zvm_view_close(replay->view);
	free(replay->questions.list);
	free(replay);
}

struct zvm_asker zvm_replay_asker(struct zvm_replay *replay)
{
	return (struct zvm_asker){.context = replay, .ask = ask};
}

const struct zvm_view *zvm_replay_view(const struct zvm_replay *replay)
{
	return replay->view;
}

const char *zvm_replay_missing(const struct zvm_replay *replay)
{
	for (unsigned i = 0; i < replay->record->dependency_count; i++) {
		const struct zvm_dependency *d = &replay->record->dependencies[i];
		zvm_autofd int fd = -1;
		if (d->answer.has_content && zvm_store_object(replay->store, &d->answer.digest, &fd, NULL))
			return d->question.path;
	}
	return NULL;
}

const char *zvm_replay_compare(const struct zvm_replay *replay, const struct zvm_dependency *asked, unsigned count,
                               bool *ret_new)
{
	struct questions now = {0};
	const char *path = NULL;
	for (unsigned i = 0; i < count && !path; i++)
		if (!find_question(&replay->questions, &asked[i].question))
			path = asked[i].question.path;
	*ret_new = path;
	/* All of the new ones are known: fewer of them means that some were not asked. */
	if (path || count == replay->record->dependency_count || sort_questions(asked, count, &now))
		return path;
	for (unsigned i = 0; i < replay->record->dependency_count && !path; i++)
		if (!find_question(&now, &replay->record->dependencies[i].question))
			path = replay->record->dependencies[i].question.path;
	free(now.list);
	return path;
}
