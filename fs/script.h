/*
 * Scripts: which file a name in a spec means, and what it declares about itself.
 *
 *   struct zvm_script *script;
 *   r = zvm_script_find(scripts, "count.py", true, &script);   // -ENOENT, -EACCES; with `quick` also -EAGAIN
 *   zvm_script_unref(script);
 *
 * Looked up in each scripts directory, then in /usr/local/bin, /usr/bin, /bin. What was learned of a file is kept in
 * memory and good for as long as its stat identity stays. Thread-safe; a script is immutable.
 */
#ifndef ZVM_FS_SCRIPT_H
#define ZVM_FS_SCRIPT_H

#include <sys/stat.h>
#include <zvm/blob.h>
#include <zvm/name.h>
#include <zvm/view.h>
#include "watch.h"

struct zvm_script {
	char *name;                  /* as in the spec */
	char *guest_path;            /* "/script/NAME" or "/usr/bin/NAME" */
	const char *directory;       /* the scripts directory; NULL: a host program */
	const struct zvm_view *view; /* of that directory, nothing pinned; for checks */
	struct stat st;
	struct zvm_digest digest;
	uint64_t size;
	int error; /* -ENOEXEC or -EINVAL: it cannot be run, because: */
	char *reason;
	struct zvm_directives directives;
	unsigned references;
	/* script.c's own: over each place that was looked in, the last of which has it */
	struct zvm_guard *guards;
	unsigned guard_count;
};

struct zvm_scripts;

int zvm_scripts_open(const char *const *directories, struct zvm_blobs *blobs, struct zvm_scripts **ret);
void zvm_scripts_close(struct zvm_scripts *scripts);

/* quick: never stores anything and never reads much; -EAGAIN if that is not enough. */
int zvm_script_find(struct zvm_scripts *scripts, const char *name, bool quick, struct zvm_script **ret);
/* Only where it is: 0 and its stat; -ENOENT; -EACCES if it is no regular, executable file (the stat is filled then,
 * too). */
int zvm_script_stat(struct zvm_scripts *scripts, const char *name, struct stat *ret);
/* Would finding it again give the very same? Cheap; the caller has refreshed the blobs' watch. false: perhaps not. */
bool zvm_script_stands(struct zvm_scripts *scripts, struct zvm_script *script);
struct zvm_script *zvm_script_ref(struct zvm_script *script);
void zvm_script_unref(struct zvm_script *script);
/* What is remembered of unchanged files is not believed any more: each is read, and stored where it has to be, again.
 */
void zvm_scripts_forget(struct zvm_scripts *scripts);

#endif
