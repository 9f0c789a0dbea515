/* For gc and fsck: reading a record file without knowing its action. */
#ifndef ZVM_FS_RECORD_INTERNAL_H
#define ZVM_FS_RECORD_INTERNAL_H

#include <zvm/record.h>

/* 0; -ENOENT: of another action than `action` (NULL: any will do); -EBADMSG: damaged; other -errno. */
int zvm_record_read_file(int directory, const char *name, const struct zvm_bytes *action, struct zvm_record **ret);

#endif
