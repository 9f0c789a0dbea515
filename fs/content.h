/*
 * What is done with the bytes of an open file as a whole: hash, compare, copy.
 *
 * Everything reads with pread: a mapping would turn an I/O error or a truncation into SIGBUS.
 * None of them moves the position of a descriptor that the caller reads through.
 */
#ifndef ZVM_FS_CONTENT_H
#define ZVM_FS_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zvm/digest.h>
#include "secret.h"

/* The first `size` bytes of fd; twin is 0. -ENODATA if the file is shorter. */
int zvm_content_hash(int fd, uint64_t size, struct zvm_digest *ret);
void zvm_memory_hash(const void *data, size_t size, struct zvm_digest *ret);
/* The same with the print that a store's secret makes of it, in the same pass; NULL: there is no secret. */
int zvm_content_identify(int fd, uint64_t size, const struct zvm_secret *secret, struct zvm_digest *ret);
void zvm_memory_identify(const void *data, size_t size, const struct zvm_secret *secret, struct zvm_digest *ret);

/* 1 equal, 0 not, or -errno. Both must have `size` bytes; a shorter one is not equal. */
int zvm_content_equal(int a, int b, uint64_t size);
int zvm_content_equals_memory(int fd, const void *data, size_t size);

/* `to` is empty. Reflinks where the filesystem can; else copies `size`
 * bytes, or fewer if the file has become shorter. */
int zvm_content_copy(int from, int to, uint64_t size);

/*
 * A copy and what it is, in one pass where it is small. *size: how much of it is wanted, and then, how much it is: what
 * zvm_content_copy says.
 */
int zvm_content_snapshot(int from, int to, uint64_t *size, const struct zvm_secret *secret, struct zvm_digest *ret);

int zvm_write_all(int fd, const void *data, size_t size);
/* The number of bytes read: less than `size` only at the end of the file; or -errno. */
long zvm_read_at(int fd, void *data, size_t size, uint64_t offset);

#endif
