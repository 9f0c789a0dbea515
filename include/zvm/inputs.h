/*
 * Inputs: the directory whose files are what programs read. Paths are relative, "" is the directory itself.
 *
 * Symbolic links are followed only while they stay beneath it (unless `follow`), only regular files and directories
 * exist, and our own mount, if it lies below, is invisible: no call here ever walks into it, which would be a daemon
 * waiting for itself. Thread-safe. 0 or -errno; -ENOENT for whatever may not be seen.
 */
#ifndef ZVM_INPUTS_H
#define ZVM_INPUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct zvm_inputs;

/* mountpoint: absolute, resolved; NULL if there is none to hide. */
int zvm_inputs_open(const char *directory, const char *mountpoint, bool follow, struct zvm_inputs **ret);
void zvm_inputs_close(struct zvm_inputs *inputs);

/* A regular file or a directory, and its stat. */
int zvm_inputs_stat(struct zvm_inputs *inputs, const char *path, struct stat *ret);
/* A regular file, opened for reading. */
int zvm_inputs_open_file(struct zvm_inputs *inputs, const char *path, int *ret_fd);

struct zvm_input_name {
	char *name;
	bool is_directory;
};
/* What may be seen of a directory, in the order it has it. Free with zvm_inputs_free_names. */
int zvm_inputs_list(struct zvm_inputs *inputs, const char *path, struct zvm_input_name **ret, size_t *ret_count);
void zvm_inputs_free_names(struct zvm_input_name *names, size_t count);

#endif
