/*
 * Programs that a guest has written itself (compilers do). They live in the box, but the load plan and the prepared
 * image are the host's work: so the box sends the bytes, and gets them back as a file that nobody can change any more.
 *
 * They are no dependencies: the run made them, and will make them again. What one run may have of them is limited by
 * its own memory limit, sent twice is kept once.
 */
#ifndef ZVM_WRITTEN_H
#define ZVM_WRITTEN_H

#include "prepare.h"

/* Kept open for a second sending. Beyond, the oldest one is forgotten: what is mapped of it stays. */
#define ZVM_WRITTEN_MAX 32
/* Larger ones are mapped as they are, `unread`: looking into them would keep the host from minding the time limit. */
#define ZVM_WRITTEN_READ_MAX (64ull << 20)

struct zvm_written_file {
	int fd; /* sealed, read-only */
	uint64_t size;
	struct zvm_prepared prepared;
};

/* All zero but `fd`, which is -1, to begin with. */
struct zvm_written {
	int fd; /* what is being sent; -1: nothing yet */
	int error;
	uint64_t size, total; /* of that; of everything so far */
	struct zvm_written_file files[ZVM_WRITTEN_MAX];
	unsigned count;
};

/* The next bytes of a file. What goes wrong is told by zvm_written_end. */
void zvm_written_add(struct zvm_written *written, const void *data, size_t size, uint64_t limit);
/*
 * That was the whole file. 0 and the file, which stays ours and is there until the next end; -EFBIG: all of them
 * together are too much for the limit, which is the guest's own doing; another -errno: trouble. In any case the next
 * file begins.
 */
int zvm_written_end(struct zvm_written *written, const struct zvm_written_file **ret);
void zvm_written_free(struct zvm_written *written);

#endif
