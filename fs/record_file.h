/*
 * One run as a file: magic, the checksum of the rest, the whole encoded action, the encoded record.
 *
 *   r = zvm_record_file_encode(&action_bytes, record, &file);              // what to write
 *   r = zvm_record_file_read(directory, "3", &action_bytes, &record);      // -ENOENT: another action's run
 *   r = zvm_record_file_read_any(directory, "3", &action, &record);        // whose run is it?
 *
 * Nothing in a file is believed: a damaged one is -EBADMSG. Thread-safe.
 */
#ifndef ZVM_FS_RECORD_FILE_H
#define ZVM_FS_RECORD_FILE_H

#include <zvm/record.h>

/* Names of runs are decimal numbers, as they are printed; anything else is not ours. */
bool zvm_record_file_number(const char *name, unsigned long *ret);

int zvm_record_file_encode(const struct zvm_bytes *action, const struct zvm_record *record, struct zvm_bytes *out);

/*
 * `directory`: of the action. 0 with the caller's reference; -ENOENT: not there, or of another action than the encoded
 * one given; -EBADMSG: damaged; other -errno: it could not be read.
 */
int zvm_record_file_read(int directory, const char *name, const struct zvm_bytes *action, struct zvm_record **ret);
/* The same of whatever action; both are the caller's (zvm_action_free, zvm_record_free). */
int zvm_record_file_read_any(int directory, const char *name, struct zvm_action **ret_action, struct zvm_record **ret);

#endif
