/* See top.h. */
#include "top.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include <zvm/mount.h>
#include "mountpoint.h"

#define REPLY_MAX (64u << 20)

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- the process that asks --- */

/* It may stay for ever. Whoever waits for the end of a pipe that this process writes to would wait for that. */
static bool keep_only(int fd)
{
	return dup2(fd, 0) == 0 && syscall(SYS_close_range, 1u, ~0u, 0u) == 0;
}

/* An error number, 0 if it could be opened, and then what is in it. */
static void tell(const char *at, int to)
{
	char path[4200], buffer[16384];
	ssize_t n = sizeof path;
	int error = zvm_mountpoint_look(at) == ZVM_OUR_MOUNT ? 0 : ENODEV;
	if (snprintf(path, sizeof path, "%s/%s", at, ZVM_RUNNING_NAME) >= (int)sizeof path)
		error = ENAMETOOLONG;
	int fd = error ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	if (!error && fd < 0)
		error = errno;
	if (write(to, &error, sizeof error) != sizeof error)
		return;
	while (fd >= 0 && (n = read(fd, buffer, sizeof buffer)) > 0)
		if (write(to, buffer, (size_t)n) != n)
			return;
}

static int start_asking(struct zvm_top_mount *mount)
{
	int pair[2];
	pid_t parent = getpid();
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent && keep_only(pair[1]))
			tell(mount->at, 0);
		_exit(0);
	}
	int r = pid < 0 ? -errno : 0;
	close(pair[1]);
	if (r) {
		close(pair[0]);
		return r;
	}
	mount->fd = pair[0];
	mount->asked_ns = now_ns();
	return 0;
}

/* --- answers --- */

static void stop_asking(struct zvm_top_mount *mount)
{
	zvm_close_pointer(&mount->fd); /* its next write ends it */
	mount->fd = -1;
	zvm_bytes_free(&mount->reply);
}

static void forget_answers(struct zvm_top_mount *mount)
{
	json_decref(mount->now);
	json_decref(mount->before);
	mount->now = mount->before = NULL;
}

static void say_trouble(struct zvm_top_mount *mount, int error)
{
	forget_answers(mount);
	mount->error = error;
}

static int parse_reply(const struct zvm_bytes *reply, json_t **ret)
{
	int error;
	if (reply->error)
		return reply->error;
	if (reply->size < sizeof error)
		return -EBADMSG;
	memcpy(&error, reply->data, sizeof error);
	if (error)
		return -error;
	*ret = json_loadb((const char *)reply->data + sizeof error, reply->size - sizeof error, 0, NULL);
	if (json_is_object(*ret))
		return 0;
	json_decref(*ret);
	return -EBADMSG;
}

static void take_answer(struct zvm_top_mount *mount)
{
	json_t *answer = NULL;
	int r = parse_reply(&mount->reply, &answer);
	if (r) {
		say_trouble(mount, r);
	} else {
		mount->error = 0;
		json_decref(mount->before);
		mount->before = mount->now;
		mount->before_ns = mount->now_ns;
		mount->now = answer;
		mount->now_ns = mount->asked_ns;
	}
	stop_asking(mount);
}

static void take_part(struct zvm_top_mount *mount)
{
	unsigned char *to = zvm_bytes_reserve(&mount->reply, 65536);
	ssize_t n = to ? read(mount->fd, to, 65536) : 0;
	if (n < 0 && errno == EINTR)
		return;
	if (n > 0 && mount->reply.size < REPLY_MAX) {
		mount->reply.size += (size_t)n;
		return;
	}
	if (n > 0)
		mount->reply.error = -EFBIG;
	take_answer(mount);
}

/* --- which mounts --- */

static void free_mount(struct zvm_top_mount *mount)
{
	stop_asking(mount);
	forget_answers(mount);
	free(mount->at);
}

static bool is_listed(char **paths, const char *path)
{
	for (; *paths; paths++)
		if (!strcmp(*paths, path))
			return true;
	return false;
}

static int add_mount(struct zvm_top *top, const char *path)
{
	for (size_t i = 0; i < top->count; i++)
		if (!strcmp(top->mounts[i].at, path))
			return 0;
	struct zvm_top_mount *more = realloc(top->mounts, (top->count + 1) * sizeof *more);
	if (!more)
		return -ENOMEM;
	top->mounts = more;
	more[top->count] = (struct zvm_top_mount){.at = strdup(path), .fd = -1, .error = -ETIMEDOUT};
	return more[top->count].at ? (top->count++, 0) : -ENOMEM;
}

static int follow_mounts(struct zvm_top *top)
{
	char **paths;
	size_t kept = 0;
	int r = zvm_mountpoint_list(&paths);
	if (r)
		return r;
	for (size_t i = 0; i < top->count; i++) {
		if (is_listed(paths, top->mounts[i].at))
			top->mounts[kept++] = top->mounts[i];
		else
			free_mount(&top->mounts[i]);
	}
	top->count = kept;
	for (char **path = paths; r == 0 && *path; path++)
		r = add_mount(top, *path);
	zvm_mountpoint_list_free(paths);
	return r;
}

int zvm_top_begin(struct zvm_top *top)
{
	int r = top->named ? add_mount(top, top->named) : follow_mounts(top);
	signal(SIGCHLD, SIG_IGN); /* who has asked is buried by the kernel */
	for (size_t i = 0; r == 0 && i < top->count; i++) {
		/* What cannot be done now (one process more) can be later, and is no reason to go. */
		int failed = top->mounts[i].fd < 0 ? start_asking(&top->mounts[i]) : 0;
		if (failed)
			say_trouble(&top->mounts[i], failed);
	}
	return r;
}

void zvm_top_free(struct zvm_top *top)
{
	for (size_t i = 0; i < top->count; i++)
		free_mount(&top->mounts[i]);
	free(top->mounts);
	*top = (struct zvm_top){.named = top->named};
}

/* --- waiting --- */

bool zvm_top_is_asking(const struct zvm_top *top)
{
	for (size_t i = 0; i < top->count; i++)
		if (top->mounts[i].fd >= 0)
			return true;
	return false;
}

static void give_up(struct zvm_top *top)
{
	for (size_t i = 0; i < top->count; i++)
		if (top->mounts[i].fd >= 0)
			say_trouble(&top->mounts[i], -ETIMEDOUT);
}

/* As poll(2): the mounts that are asked, behind `wake`. */
static int poll_all(struct zvm_top *top, struct pollfd *set, struct pollfd *wake, unsigned wake_count, int timeout_ms)
{
	for (unsigned i = 0; i < wake_count; i++)
		set[i] = wake[i];
	for (size_t i = 0; i < top->count; i++)
		set[wake_count + i] = (struct pollfd){.fd = top->mounts[i].fd, .events = POLLIN};
	int ready = poll(set, wake_count + top->count, timeout_ms);
	if (ready < 0)
		return errno == EINTR ? 0 : -errno;
	for (unsigned i = 0; i < wake_count; i++)
		wake[i] = set[i];
	for (size_t i = 0; ready > 0 && i < top->count; i++)
		if (set[wake_count + i].revents)
			take_part(&top->mounts[i]);
	return 0;
}

static bool has_woken(const struct pollfd *wake, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (wake[i].revents)
			return true;
	return false;
}

int zvm_top_await(struct zvm_top *top, struct pollfd *wake, unsigned wake_count, int patience_ms)
{
	int64_t until = now_ns() + patience_ms * 1000000ll;
	bool asking = zvm_top_is_asking(top);
	zvm_autofree struct pollfd *set = calloc(wake_count + top->count + 1, sizeof *set);
	int r = set ? 0 : -ENOMEM;
	while (r == 0) {
		int64_t left_ms = (until - now_ns() + 999999) / 1000000;
		r = poll_all(top, set, wake, wake_count, left_ms > 0 ? (int)left_ms : 0);
		if (r == 0 && has_woken(wake, wake_count))
			return 1;
		if (asking && !zvm_top_is_asking(top))
			break;
		if (now_ns() >= until) {
			give_up(top);
			break;
		}
	}
	return r;
}

/* --- troubles --- */

bool zvm_top_is_hidden(const struct zvm_top *top, const struct zvm_top_mount *mount)
{
	return !top->named && mount->error == -EACCES;
}

const char *zvm_top_trouble(const struct zvm_top_mount *mount)
{
	switch (mount->error) {
	case -EACCES: return "it is another user's, who has not let others use it";
	case -EBADMSG: return "what it says is not understood";
	case -ECONNABORTED:
	case -ENOTCONN: return "its zvm has died; `zvm umount` removes what is left";
	case -ENODEV: return "it is not mounted any more";
	case -ENOENT: return "it is mounted by another version of zvm, which cannot tell";
	case -ETIMEDOUT: return "it does not answer";
	default: return strerror(-mount->error);
	}
}
