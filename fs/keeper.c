/*
 * When to collect. How much the store takes is known at any time (the page of accord.h, which everybody adds to), so
 * looking costs nothing: a commit that comes near a limit wakes the keeper, and so does a full disk. What other
 * processes write, and what else fills the filesystem, he sees when he looks by himself, once a minute.
 *
 * He begins a tenth below the limit, for runs go on meanwhile. A gc is a process of its own: it needs memory for all
 * that the store holds, and the daemon must not. One that found nothing to remove is not started again soon, unless
 * much is written meanwhile.
 */
#include "keeper.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <zvm/cleanup.h>
#include "accord.h"
#include "store_internal.h"

#define LOOK_MS 60000
#define SOON_MS 10000ll
#define LATE_MS 3600000ll
#define GIVE_BACK_MS 20
#define LOOK_FOR_END_MS 200
#define NICENESS 10
#define INODE_FLOOR 20   /* of so many inodes one is to be free */
#define LEAST_BYTES 4096 /* that an inode is expected to come with */

struct zvm_keeper {
	struct zvm_keeper_options options;
	pthread_t thread;
	int wake_fd, stop_fd;
	/* After a gc that removed nothing: ms, and what the store must take for another one to be worth it before. */
	int64_t not_before, pause;
	uint64_t worth_bytes;
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t beginning(const struct zvm_keeper_options *options)
{
	return options->max_bytes - options->max_bytes / 10;
}

static uint64_t used_bytes(const struct zvm_store *store)
{
	int64_t bytes = atomic_load(&store->page->bytes);
	return bytes > 0 ? (uint64_t)bytes : 0;
}

enum need { NOTHING, LIMITS, FULL };

/* A filesystem may have room and yet no inode for another file. Where it has no number of them, they do not end. */
static uint64_t inodes_above_floor(const struct statvfs *st)
{
	uint64_t floor = st->f_files / INODE_FLOOR;
	if (st->f_files == 0)
		return UINT64_MAX / LEAST_BYTES;
	return st->f_favail > floor ? st->f_favail - floor : 0;
}

/* If not, says when to look again: at the limit, or when half of what is free above the floor has been written. */
static enum need look(const struct zvm_keeper *keeper)
{
	struct zvm_store *store = keeper->options.store;
	uint64_t limit = beginning(&keeper->options), room = UINT64_MAX / 4;
	struct statvfs st;
	uint64_t bytes = used_bytes(store);
	if (!atomic_load(&store->page->measured) || bytes > limit)
		return LIMITS;
	if (keeper->options.min_free && fstatvfs(store->directory, &st) == 0) {
		uint64_t left = (uint64_t)st.f_bavail * st.f_frsize, inodes = inodes_above_floor(&st);
		if (left < keeper->options.min_free)
			return LIMITS;
		if (!inodes)
			return FULL;
		left -= keeper->options.min_free;
		room = (left < inodes * LEAST_BYTES ? left : inodes * LEAST_BYTES) / 2;
	}
	atomic_store(&store->watched_bytes, 1 + (room < limit - bytes ? bytes + room : limit));
	return NOTHING;
}

/* --- a gc --- */

static int spawn(const struct zvm_keeper *keeper, uint64_t max_bytes, pid_t *ret)
{
	char size[32], least[32];
	char *store = keeper->options.store->path;
	char *arguments[] = {(char[]){"zvm"},
	                     (char[]){"gc"},
	                     (char[]){"--max-size"},
	                     size,
	                     (char[]){"--min-free"},
	                     least,
	                     (char[]){"--store"},
	                     store,
	                     NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, ignored;
	snprintf(size, sizeof size, "%llu", (unsigned long long)max_bytes);
	snprintf(least, sizeof least, "%llu", (unsigned long long)keeper->options.min_free);
	sigemptyset(&none);
	sigemptyset(&ignored);
	sigaddset(&ignored, SIGPIPE);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &ignored);
	int r = posix_spawn(ret, "/proc/self/exe", &files, &attributes, arguments, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return -r;
}

/* It may be killed at any moment. Where no descriptor is free to tell of its end, that is looked for. */
static void wait_or_stop(const struct zvm_keeper *keeper, pid_t pid)
{
	int status = 0;
	zvm_autofd int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd set[] = {{.fd = fd, .events = POLLIN}, {.fd = keeper->stop_fd, .events = POLLIN}};
	while (waitpid(pid, &status, WNOHANG) == 0) {
		poll(set, 2, fd < 0 ? LOOK_FOR_END_MS : -1);
		if (set[1].revents) {
			kill(pid, SIGTERM);
			while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
				;
			return;
		}
	}
	if (status)
		syslog(LOG_WARNING, "gc of %s ended with status %d; `zvm gc --store` says why",
		       keeper->options.store->path, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* Where the disk is full within all limits, the store makes room by a tenth of what it takes itself. */
static uint64_t wanted_size(const struct zvm_keeper *keeper, enum need need)
{
	uint64_t limit = beginning(&keeper->options);
	uint64_t bytes = used_bytes(keeper->options.store);
	return need == FULL && bytes <= limit ? bytes - bytes / 10 : limit;
}

/* What has come since it looked may be why, so that waiting ends when much has come. */
static void wait_longer(struct zvm_keeper *keeper)
{
	keeper->pause = !keeper->pause ? SOON_MS : keeper->pause * 2 < LATE_MS ? keeper->pause * 2 : LATE_MS;
	keeper->worth_bytes = used_bytes(keeper->options.store) + beginning(&keeper->options) / 100;
	atomic_store(&keeper->options.store->watched_bytes, keeper->worth_bytes);
}

static void collect(struct zvm_keeper *keeper, enum need need)
{
	pid_t pid;
	const struct zvm_page *page = keeper->options.store->page;
	uint64_t before = atomic_load(&page->freed);
	int r = spawn(keeper, wanted_size(keeper, need), &pid);
	if (r) {
		syslog(LOG_WARNING, "gc cannot be started: %s", strerror(-r));
	} else {
		setpriority(PRIO_PROCESS, (id_t)pid, NICENESS);
		wait_or_stop(keeper, pid);
	}
	if (atomic_load(&page->freed) != before || (need == LIMITS && look(keeper) == NOTHING))
		keeper->pause = 0;
	else
		wait_longer(keeper);
	keeper->not_before = now_ms() + keeper->pause;
}

/* Who has met the end of the disk gives back what he had written there, so that it looks better than it is. */
static enum need look_again(const struct zvm_keeper *keeper)
{
	struct pollfd stop = {.fd = keeper->stop_fd, .events = POLLIN};
	if (!keeper->options.min_free || !atomic_exchange(&keeper->options.store->full, false))
		return look(keeper);
	poll(&stop, 1, GIVE_BACK_MS);
	enum need need = look(keeper);
	return need ? need : FULL;
}

/* --- life --- */

static void *keep(void *context)
{
	struct zvm_keeper *keeper = context;
	struct pollfd set[] = {{.fd = keeper->stop_fd, .events = POLLIN}, {.fd = keeper->wake_fd, .events = POLLIN}};
	uint64_t count;
	while (!set[0].revents) {
		int64_t now = now_ms();
		bool waiting = now < keeper->not_before && used_bytes(keeper->options.store) <= keeper->worth_bytes;
		enum need need = waiting ? NOTHING : look_again(keeper);
		if (need) {
			collect(keeper, need);
			poll(set, 1, 0);
			continue;
		}
		int n = poll(set, 2, waiting ? (int)(keeper->not_before - now) : LOOK_MS);
		if (n > 0 && set[1].revents && read(keeper->wake_fd, &count, sizeof count) < 0)
			break;
	}
	return NULL;
}

int zvm_keeper_start(const struct zvm_keeper_options *options, struct zvm_keeper **ret)
{
	*ret = NULL;
	if (!options->store->gc_may_come || !options->store->page) /* gc would refuse */
		return 0;
	struct zvm_keeper *keeper = calloc(1, sizeof *keeper);
	if (!keeper)
		return -ENOMEM;
	keeper->options = *options;
	keeper->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	keeper->stop_fd = eventfd(0, EFD_CLOEXEC);
	int r = keeper->wake_fd < 0 || keeper->stop_fd < 0 ? -errno : 0;
	r = r ? r : -pthread_create(&keeper->thread, NULL, keep, keeper);
	if (r) {
		zvm_close_pointer(&keeper->wake_fd);
		zvm_close_pointer(&keeper->stop_fd);
		free(keeper);
		return r;
	}
	atomic_store(&options->store->watcher, keeper->wake_fd);
	*ret = keeper;
	return 0;
}

void zvm_keeper_stop(struct zvm_keeper *keeper)
{
	uint64_t one = 1;
	if (!keeper)
		return;
	atomic_store(&keeper->options.store->watcher, -1);
	if (write(keeper->stop_fd, &one, sizeof one) == sizeof one)
		pthread_join(keeper->thread, NULL);
	zvm_close_pointer(&keeper->wake_fd);
	zvm_close_pointer(&keeper->stop_fd);
	free(keeper);
}
