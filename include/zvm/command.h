/*
 * The subcommands: each parses its own arguments (getopt_long), prints its own --help, and returns the process's exit
 * status: 0 success, 1 the answer is no (fsck found damage, verify found a difference, ...), 2 usage, 125 zvm itself
 * failed, and for `run` what DESIGN section 1 says. argv[0] is "zvm COMMAND", which getopt_long puts before what it
 * says. Messages go to stderr as "zvm COMMAND: sentence that says what to do".
 */
#ifndef ZVM_COMMAND_H
#define ZVM_COMMAND_H

#define ZVM_VERSION "0.1"

struct zvm_command {
	const char *name;
	const char *summary; /* one line for `zvm --help` */
	int (*run)(int argc, char **argv);
};

int zvm_command_mount(int argc, char **argv);
int zvm_command_umount(int argc, char **argv);
int zvm_command_run(int argc, char **argv);
int zvm_command_warm(int argc, char **argv);
int zvm_command_explain(int argc, char **argv);
int zvm_command_verify(int argc, char **argv);
int zvm_command_fsck(int argc, char **argv);
int zvm_command_gc(int argc, char **argv);
int zvm_command_stats(int argc, char **argv);
int zvm_command_top(int argc, char **argv);
int zvm_command_vet(int argc, char **argv);
int zvm_command_doctor(int argc, char **argv);

/* stderr, prefixed "zvm NAME: "; the one place that commands complain through. Returns `status`, so `return
 * zvm_complain(...)`. */
int zvm_complain(int status, const char *command, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same behind what getopt_long has said of an option. */
int zvm_complain_of_options(int status, const char *command);

/* That zvm_launcher_start failed with `error`, and what helps. */
int zvm_complain_of_boxes(int status, const char *command, int error);

/* "64K", "4G", "1000" -> bytes; -EINVAL. */
int zvm_parse_size(const char *text, unsigned long long *ret);

#endif
