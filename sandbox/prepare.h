/*
 * Prepared images: an ELF file as guests map it executable, without the instructions that tell one machine or moment
 * from another, and with jumps in place of system calls.
 *
 * At each proven site (sites.h) the byte 0f is f4 instead: `hlt`, which raises a general protection fault. The monitor
 * answers it, told by the bytes that remain which instruction it was. A true hlt that would look like such a site is
 * made a `cli`, which faults in just the same way. System calls with room for it are jumps (jumps.h), whose trampolines
 * follow the file's own bytes from the next page on. Nothing else differs, and a guest that reads the file gets the
 * file.
 *
 * An image depends on the content alone, so it is kept by content and shared (zvm_contents). Where there is nothing to
 * rewrite there is no image: the file itself is mapped.
 */
#ifndef ZVM_PREPARE_H
#define ZVM_PREPARE_H

#include <zvm/view.h>
#include "protocol.h"

/* Under which name images are kept. Change it whenever the same content would be prepared differently. */
#define ZVM_PREPARED_NAME "prepared 2"

struct zvm_prepared {
	int fd;            /* of the image, owned; -1: map the file itself */
	uint32_t sites;    /* taken away */
	uint32_t unproven; /* left as they are */
	bool unread;       /* no ELF file, or too large a one: nothing is known of it */
	struct zvm_jumps jumps;
};

/* Makes the image of an open file. 0; a file that cannot be read as code is `unread`, not an error. -errno: trouble. */
int zvm_prepare(int fd, struct zvm_prepared *ret);

/* A memfd, which must be sealable, as a descriptor to read: it goes to a box, perhaps to many, so it must not change,
 * whoever owns the monitor there. 0 or -errno. */
int zvm_image_seal(int fd, int *ret);

/* What was kept for a content: 0, or -ENOENT. The file itself is not needed. */
int zvm_prepared_find(const struct zvm_contents *contents, const struct zvm_digest *source, struct zvm_prepared *ret);
/* Makes it from the content's descriptor, and keeps it if somebody keeps such things. */
int zvm_prepared_make(const struct zvm_contents *contents, const struct zvm_digest *source, int fd,
                      struct zvm_prepared *ret);

#endif
