/*
 * A stored run, once more, from what the store keeps of it, and compared.
 *
 *   struct zvm_rechecker rechecker = {store, blobs, launcher, cancel_fd};
 *   struct zvm_recheck recheck;
 *   r = zvm_recheck(&rechecker, action, record, &recheck);       // r < 0: zvm's own trouble
 *   ... recheck.verdict, recheck.text ...
 *   zvm_recheck_free(&recheck);
 *
 * No file of the host is looked at, and nothing is remembered: the outputs vanish. Thread-safe.
 */
#ifndef ZVM_FS_RECHECK_H
#define ZVM_FS_RECHECK_H

#include <zvm/box.h>
#include <zvm/record.h>
#include <zvm/store.h>

struct zvm_rechecker {
	struct zvm_store *store;
	struct zvm_blobs *blobs;
	struct zvm_launcher *launcher;
	int cancel_fd; /* becomes readable to end it; -1: never */
};

enum zvm_verdict {
	ZVM_VERDICT_SAME,
	ZVM_VERDICT_DIFFERS, /* text: lines that say how, fit for a terminal */
	ZVM_VERDICT_CANNOT,  /* text: why it cannot be told; may hold a path of a guest's choice */
	ZVM_VERDICT_CANCELLED,
};

struct zvm_recheck {
	enum zvm_verdict verdict;
	char *text; /* NULL, or as above */
};

int zvm_recheck(const struct zvm_rechecker *rechecker, const struct zvm_action *action, const struct zvm_record *record,
                struct zvm_recheck *ret);
void zvm_recheck_free(struct zvm_recheck *recheck);

#endif
