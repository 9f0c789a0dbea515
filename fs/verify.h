/*
 * zvm run --verify: the same run several times, each under other circumstances, and compared.
 *
 * Each run is a `zvm run` of its own, started anew: so it has another address space, another pid and another time as
 * well, and whatever else a process inherits is made different on purpose.
 */
#ifndef ZVM_FS_VERIFY_H
#define ZVM_FS_VERIFY_H

#define ZVM_VERIFY_MAX 1000

struct zvm_store;

struct zvm_verify {
	unsigned runs;
	struct zvm_store *store;
	const char *const *scripts; /* NULL-terminated; may be relative */
	const char *spec;
	int input_fd; /* regular file */
};

/*
 * Prints what the program printed, once, if all runs agree, and returns its exit status as `zvm run` would. Otherwise
 * prints nothing but where they part, to stderr, and returns 125.
 */
int zvm_verify_run(const struct zvm_verify *verify);

#endif
