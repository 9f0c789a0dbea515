/* The same program without zvm: by posix_spawn, and in bubblewrap with a root like the box's. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "bench.h"

#define BWRAP "/usr/bin/bwrap"

static int wait_for_success(pid_t pid)
{
	int status;
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return status ? -EIO : 0;
}

static int read_output(int fd, struct spawn *s)
{
	ssize_t n = 1;
	s->size = 0;
	while (s->size < OUTPUT_MAX && (n = read(fd, s->buffer + s->size, OUTPUT_MAX - s->size)) > 0)
		s->size += (size_t)n;
	return n < 0 ? -errno : 0;
}

static int add_actions(posix_spawn_file_actions_t *actions, const struct spawn *s, int pipe_end)
{
	int r = posix_spawn_file_actions_addopen(actions, 0, s->input ? s->input : "/dev/null", O_RDONLY, 0);
	if (r == 0 && s->output) /* appending, as several may write to it */
		r = posix_spawn_file_actions_addopen(actions, 1, s->output, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND,
		                                     0644);
	else if (r == 0)
		r = posix_spawn_file_actions_adddup2(actions, pipe_end, 1);
	if (r == 0 && s->quiet)
		r = posix_spawn_file_actions_addopen(actions, 2, "/dev/null", O_WRONLY, 0);
	return -r;
}

/* With the environment that the box gives. */
static int start(const struct spawn *s, int pipe_end, pid_t *ret)
{
	char tmp[PATH_ROOM], *environment[] = {(char[]){"PATH=/usr/local/bin:/usr/bin:/bin"},
	                                       (char[]){"HOME=/home/zvm"},
	                                       tmp,
	                                       (char[]){"LANG=C.UTF-8"},
	                                       (char[]){"TZ=UTC"},
	                                       (char[]){"USER=zvm"},
	                                       NULL};
	char *arguments[BWRAP_ARGUMENTS_MAX];
	size_t n = 0;
	posix_spawn_file_actions_t actions;
	snprintf(tmp, sizeof tmp, "TMPDIR=%s", s->tmp ? s->tmp : "/tmp");
	/* posix_spawn takes its strings as non-const, and changes none of them. */
	while (n < BWRAP_ARGUMENTS_MAX - 1 && s->argv[n])
		n++;
	memcpy(arguments, s->argv, n * sizeof *arguments);
	arguments[n] = NULL;
	posix_spawn_file_actions_init(&actions);
	int r = add_actions(&actions, s, pipe_end);
	if (r == 0)
		r = -posix_spawn(ret, arguments[0], &actions, NULL, arguments, environment);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

int spawn_run(struct spawn *s)
{
	int ends[2] = {-1, -1};
	pid_t pid;
	double begin = now();
	if (!s->output && pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	int r = start(s, ends[1], &pid);
	zvm_close_pointer(&ends[1]);
	if (r == 0 && !s->output)
		r = read_output(ends[0], s);
	zvm_close_pointer(&ends[0]);
	if (r == 0)
		r = wait_for_success(pid);
	s->us = now() - begin;
	return r;
}

void spawn_bwrap(const struct bench *b, const char *const *argv, const char *ret[BWRAP_ARGUMENTS_MAX])
{
	const char *const begin[] = {BWRAP,
	                             "--unshare-all",
	                             "--die-with-parent",
	                             "--new-session",
	                             "--cap-drop",
	                             "ALL",
	                             "--ro-bind",
	                             "/usr",
	                             "/usr",
	                             "--symlink",
	                             "usr/bin",
	                             "/bin",
	                             "--symlink",
	                             "usr/lib",
	                             "/lib",
	                             "--symlink",
	                             "usr/lib64",
	                             "/lib64",
	                             "--ro-bind",
	                             "/etc",
	                             "/etc",
	                             "--proc",
	                             "/proc",
	                             "--dev",
	                             "/dev",
	                             "--tmpfs",
	                             "/tmp",
	                             "--dir",
	                             "/home/zvm",
	                             "--chdir",
	                             "/home/zvm",
	                             "--ro-bind",
	                             b->workloads,
	                             "/script",
	                             "--"};
	size_t n = sizeof begin / sizeof *begin;
	memcpy(ret, begin, sizeof begin);
	for (; n < BWRAP_ARGUMENTS_MAX - 1 && *argv; argv++)
		ret[n++] = *argv;
	ret[n] = NULL;
}

void spawn_look_for_bwrap(struct bench *b)
{
	static char output[OUTPUT_MAX];
	static const char *const argv[] = {"/usr/bin/true", NULL};
	const char *all[BWRAP_ARGUMENTS_MAX];
	spawn_bwrap(b, argv, all);
	if (access(BWRAP, X_OK) < 0)
		snprintf(b->no_bwrap, sizeof b->no_bwrap, "bwrap is not installed");
	else if (spawn_run(&(struct spawn){.argv = all, .buffer = output, .quiet = true}))
		snprintf(b->no_bwrap, sizeof b->no_bwrap, "bwrap does not work on this machine");
}
