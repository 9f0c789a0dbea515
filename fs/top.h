/*
 * What `zvm top` shows: mounts, and what each says of itself.
 *
 *   struct zvm_top top = {.named = "/mnt/zvm"};               // NULL: all that can be read
 *   r = zvm_top_begin(&top);                                  // asks each that is not being asked already
 *   r = zvm_top_await(&top, NULL, 0, 5000);                   // answers are there, or time is up
 *   r = zvm_top_text(&top, 80, &text);
 *   ... and again from zvm_top_begin on ...
 *   zvm_top_free(&top);
 *
 * Each mount is asked by a process of its own: who opens a file of a mount whose daemon does not answer cannot be ended
 * before it does, not even by a signal that kills, if it is a mount of somebody who means it so. This process never
 * waits for one, and goes when it is told to.
 *
 * Nothing that a mount says is believed to be well formed, or to be text that a terminal may be given.
 */
#ifndef ZVM_FS_TOP_H
#define ZVM_FS_TOP_H

#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <zvm/bytes.h>

struct zvm_top_mount {
	char *at;
	int fd;                 /* what who asks has found out comes here; -1: nobody asks now */
	struct zvm_bytes reply; /* so far */
	int64_t asked_ns;
	json_t *now, *before; /* the last two answers: objects, or NULL */
	int64_t now_ns, before_ns;
	int error; /* why there is no answer: -ETIMEDOUT none yet, -ENODEV it is not mounted, -EBADMSG, ... */
};

struct zvm_top {
	const char *named; /* borrowed */
	struct zvm_top_mount *mounts;
	size_t count;
};

int zvm_top_begin(struct zvm_top *top);
/*
 * 0: all have answered (if any is asked), or time is up; 1: one of `wake` has something to read, which comes first.
 * -errno. Afterwards a mount that has not answered says so.
 */
int zvm_top_await(struct zvm_top *top, struct pollfd *wake, unsigned wake_count, int patience_ms);
bool zvm_top_is_asking(const struct zvm_top *top);
/* Another user's mount, which is none for us unless it was named. */
bool zvm_top_is_hidden(const struct zvm_top *top, const struct zvm_top_mount *mount);
/* A sentence without a full stop. */
const char *zvm_top_trouble(const struct zvm_top_mount *mount);
void zvm_top_free(struct zvm_top *top);

/* top_text.c: lines of at most `width` printable characters (0: of any length); malloc'd. 0 or -ENOMEM. */
int zvm_top_text(const struct zvm_top *top, unsigned width, char **ret);
/* ... for programs. NULL: no memory. */
json_t *zvm_top_json(const struct zvm_top *top);

#endif
