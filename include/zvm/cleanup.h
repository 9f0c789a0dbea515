/*
 * Cleanup attributes: a descriptor or an allocation that leaves its scope is given back.
 *
 *     zvm_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
 *     if (fd < 0)
 *         return -errno;
 *     ...
 *     *ret_fd = zvm_steal_fd(&fd);          // hand it to the caller: no longer ours to close
 *
 * Functions return 0 or -errno. A `goto fail` only undoes effects on disk.
 */
#ifndef ZVM_CLEANUP_H
#define ZVM_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void zvm_free_pointer(void *pointer)
{
	free(*(void **)pointer);
}

static inline void zvm_close_pointer(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
	}
}

static inline int zvm_steal_fd(int *fd)
{
	int stolen = *fd;
	*fd = -1;
	return stolen;
}

static inline void *zvm_steal_pointer(void *pointer)
{
	void *stolen = *(void **)pointer;
	*(void **)pointer = NULL;
	return stolen;
}

#define zvm_autofd __attribute__((cleanup(zvm_close_pointer)))
#define zvm_autofree __attribute__((cleanup(zvm_free_pointer)))

#endif
