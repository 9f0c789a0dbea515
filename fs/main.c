/* zvm: finds the subcommand and gets out of its way. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zvm/command.h>

static const struct zvm_command commands[] = {
        {"mount", "mount a filesystem that computes", zvm_command_mount},
        {"umount", "unmount it", zvm_command_umount},
        {"run", "run one spec without a mount", zvm_command_run},
        {"warm", "compute many results, several at a time", zvm_command_warm},
        {"explain", "is a result stored, and if not, what has changed", zvm_command_explain},
        {"verify", "run stored results again and compare", zvm_command_verify},
        {"fsck", "look for damage in a store, and repair it", zvm_command_fsck},
        {"gc", "make a store smaller", zvm_command_gc},
        {"stats", "counters of a mount, or the size of a store", zvm_command_stats},
        {"top", "what is running now, and for whom", zvm_command_top},
        {"vet", "what a program is and what it would need", zvm_command_vet},
        {"doctor", "what this machine offers, and how to get the rest", zvm_command_doctor},
};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_help(FILE *to)
{
	fprintf(to, "zvm: a filesystem that computes\n\n"
	            "    zvm mount /mnt/zvm                       reading a file below it runs a program\n"
	            "    cat \"/mnt/zvm/run/SPEC/INPUT\"            SPEC: \"wc -l\", \"sort | uniq -c\", your own "
	            "script\n\n"
	            "commands:\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(to, "    %-8s %s\n", commands[i].name, commands[i].summary);
	fprintf(to, "\n`zvm COMMAND --help` tells more; zvm(1), zvm(5) and zvm-box(7) tell all.\n");
}

static const struct zvm_command *find(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* mount(8) calls us as mount.fuse.zvm, or through mount.fuse as `zvm SOURCE DIR -o ...`. */
static int is_mount_helper(const char *program)
{
	const char *slash = strrchr(program, '/');
	return !strncmp(slash ? slash + 1 : program, "mount.", 6);
}

static int help(int argc, char **argv)
{
	const struct zvm_command *command = argc > 2 ? find(argv[2]) : NULL;
	char *arguments[] = {argc > 2 ? argv[2] : NULL, (char[]){"--help"}, NULL};
	if (command)
		return command->run(2, arguments);
	print_help(stdout);
	return 0;
}

/* A descriptor that we open must not become our standard input or output: those may have been closed. */
static int open_standard(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	return fd < 0 ? -errno : close(fd);
}

/* Boxes ask for many files at once, and every waiting reader costs a descriptor; the usual soft limit is made for
 * select(). */
static void allow_descriptors(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	allow_descriptors();
	if (open_standard() < 0)
		return 125;
	if (is_mount_helper(argv[0]))
		return zvm_command_mount(argc, argv);
	if (argc < 2) {
		print_help(stderr);
		return 2;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		puts("zvm " ZVM_VERSION);
		return 0;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return help(argc, argv);
	const struct zvm_command *command = find(argv[1]);
	if (!command) {
		fprintf(stderr, "zvm: there is no command %s; `zvm --help` lists them\n", argv[1]);
		return 2;
	}
	char name[32];
	snprintf(name, sizeof name, "zvm %s", command->name);
	argv[1] = name;
	return command->run(argc - 1, argv + 1);
}
