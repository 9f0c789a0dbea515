/* Mounts of zvm, each with a store of its own. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

/* The daemon is a child of this process, which has said that it takes orphans. Its command line names the mount. */
struct search {
	const char *path;
	pid_t found;
};

static void look_at(pid_t pid, void *context)
{
	struct search *search = context;
	char name[64], line[8192];
	snprintf(name, sizeof name, "/proc/%d/cmdline", (int)pid);
	ssize_t size = file_read(name, line, sizeof line);
	if (size > 0 && memmem(line, (size_t)size, search->path, strlen(search->path) + 1))
		search->found = pid;
}

static pid_t find_daemon(const struct mount *m)
{
	struct search search = {.path = m->path};
	process_children(getpid(), look_at, &search);
	return search.found;
}

static int run_zvm(const char *const *argv)
{
	pid_t pid = fork();
	int status, r;
	if (pid == 0) {
		char *arguments[20] = {NULL};
		size_t n = 0;
		while (argv[n])
			n++;
		memcpy(arguments, argv, n * sizeof *arguments);
		execv(argv[0], arguments);
		_exit(127);
	}
	if (pid < 0)
		return -errno;
	while ((r = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	return r != pid ? -errno : status ? -EIO : 0;
}

int mount_start(struct bench *b, const char *name, unsigned jobs, struct mount *ret)
{
	char option[32];
	struct mount m = {0};
	snprintf(m.directory, sizeof m.directory, "%s/%s", b->directory, name);
	snprintf(m.path, sizeof m.path, "%s/mnt", m.directory);
	snprintf(m.store, sizeof m.store, "%s/store", m.directory);
	int r = file_make_directory(m.directory);
	r = r ? r : file_make_directory(m.path);
	if (r)
		return r;
	snprintf(option, sizeof option, "max_jobs=%u", jobs);
	const char *argv[] = {b->zvm,      "mount",      "--store",   m.store,    "--inputs", b->inputs,
	                      "--scripts", b->workloads, "--scripts", b->scripts, m.path,     jobs ? "-o" : NULL,
	                      option,      NULL};
	r = run_zvm(argv);
	m.daemon = find_daemon(&m);
	*ret = m;
	if (r || stopped())
		return complain(stopped() ? -EINTR : r, b->zvm, "cannot mount");
	return m.daemon ? 0 : complain(-ESRCH, m.path, "its daemon is not to be found");
}

static bool is_mounted(const struct mount *m)
{
	struct stat here, above;
	/* A mount whose daemon is dead cannot even be looked at. */
	return stat(m->path, &here) < 0 ? errno == ENOTCONN
	                                : stat(m->directory, &above) == 0 && here.st_dev != above.st_dev;
}

void mount_end(const struct bench *b, struct mount *m)
{
	if (!*m->directory)
		return;
	if (m->daemon)
		process_end(m->daemon);
	const char *argv[] = {b->zvm, "umount", m->path, NULL};
	if (is_mounted(m))
		run_zvm(argv);
	file_remove_tree(m->directory, true);
	*m = (struct mount){0};
}
