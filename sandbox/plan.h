/*
 * The load plan: an ELF file, checked, as the list of things the monitor has to map. The file is hostile.
 */
#ifndef ZVM_PLAN_H
#define ZVM_PLAN_H

#include <zvm/view.h>
#include "protocol.h"

/*
 * 0; or -ENOEXEC with a reason (a static sentence without the file's name) in *ret_reason: not ELF, for another
 * machine, damaged. interpreter: the PT_INTERP path, or "" for a static program.
 */
int zvm_plan_image(int fd, struct zvm_image *ret, char interpreter[ZVM_PATH_MAX], const char **ret_reason);
/* The same for a file that others load and that need not start anywhere. */
int zvm_plan_library(int fd, struct zvm_image *ret, char interpreter[ZVM_PATH_MAX], const char **ret_reason);

/* Everything that running a path takes: the images, and the argument vector as the kernel would build it. */
struct zvm_program {
	struct zvm_image image, interpreter;
	bool has_interpreter;
	int fd, interpreter_fd;                       /* owned */
	struct zvm_digest digest, interpreter_digest; /* zero: the content was given open, or has none */
	char *executable;                             /* guest path of the ELF file: /proc/self/exe */
	char *interpreter_path;                       /* as the ELF file names it; NULL: static */
	char **arguments;                             /* NULL-terminated, owned */
	char *message;                                /* why not, for err/; owned */
};

/* How program.c asks for files: as the broker does, so that every question becomes a dependency. 0 or -errno (ours). */
typedef int zvm_asker(void *context, const struct zvm_question *question, bool want_fd, struct zvm_answer *ret);

/*
 * `path` is run with `arguments` (without argv[0]); `name` is argv[0], NULL: the bare name for host programs, the path
 * for scripts. `fd`: its content if already open (duplicated), else -1. 0; or an -errno, for which
 * zvm_program_is_refusal says whether the guest or reader gets it. *ret must be freed in any case. `environment`: whose
 * PATH `#!/usr/bin/env NAME` means; NULL: the one that every box has.
 */
int zvm_program_resolve(zvm_asker *asker, void *context, const char *path, int fd, const char *name,
                        const char *const *arguments, const char *const *environment, struct zvm_program *ret);
/* The guest path of a program, without the links that lead to it: for /proc/self/exe. 0 or -errno. */
int zvm_program_own_name(zvm_asker *asker, void *context, char path[ZVM_PATH_MAX]);
/* Is it the program that cannot be run (and so it will be the next time), or has zvm itself failed? */
bool zvm_program_is_refusal(int error);
void zvm_program_free(struct zvm_program *program);

#endif
