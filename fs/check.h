/*
 * Does a dependency still hold? Asking the view again proves it; most of the time a stat does, too (check.c).
 * Thread-safe.
 */
#ifndef ZVM_FS_CHECK_H
#define ZVM_FS_CHECK_H

#include <zvm/blob.h>
#include <zvm/box.h>

struct zvm_checks;

int zvm_checks_open(struct zvm_blobs *blobs, struct zvm_checks **ret);
void zvm_checks_close(struct zvm_checks *checks);

/* 1 it holds, 0 not, -EAGAIN (quick only) telling would need to read contents, -errno trouble of ours. */
int zvm_check_dependency(struct zvm_checks *checks, const struct zvm_view *view,
                         const struct zvm_dependency *dependency, bool quick);

#endif
