/*
 * What a mount is, told by itself: for commands that are given a path below it.
 *
 * The root of a mount has the extended attribute user.zvm.mount, which is not listed: copying a mount with its
 * attributes does not copy it. Its value is the facts, encoded like everything else (bytes.h).
 *
 *   r = zvm_facts_encode(&facts, &bytes);            // the daemon: what to answer
 *   r = zvm_facts_ask("/mnt/zvm", &facts);           // a command
 *   zvm_facts_free(facts);
 */
#ifndef ZVM_FS_FACTS_H
#define ZVM_FS_FACTS_H

#include <stdbool.h>
#include <zvm/box.h>
#include <zvm/bytes.h>

#define ZVM_FACTS_ATTRIBUTE "user.zvm.mount"

struct zvm_facts {
	char *store, *inputs, *mountpoint; /* absolute */
	char **scripts;                    /* NULL-terminated, absolute */
	bool follow, any_exit;
	struct zvm_limits limits; /* as given: 0 is the default */
};

int zvm_facts_encode(const struct zvm_facts *facts, struct zvm_bytes *out);
/* -EBADMSG: not what zvm_facts_encode of this version writes. */
int zvm_facts_decode(const void *data, size_t size, struct zvm_facts **ret);
/* `mountpoint` is known to be a zvm mount. -ENODATA: of a version without facts; -ENOTCONN: dead. */
int zvm_facts_ask(const char *mountpoint, struct zvm_facts **ret);
/* Only those from zvm_facts_decode and zvm_facts_ask; NULL is none. */
void zvm_facts_free(struct zvm_facts *facts);

#endif
