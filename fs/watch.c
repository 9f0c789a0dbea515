/*
 * Guards over places of the host.
 *
 * A warm open has to know that some hundred files are as they were. A stat for each costs more than all the rest, and
 * nearly always says the same. So each place that is asked about repeatedly gets a guard: inotify watches on every
 * directory that the path leads through and on the file at its end. What the kernel reports breaks the guards it
 * concerns, and a broken guard means no more than that a stat is asked again. Reports are queued before the call that
 * made the change returns; so after zvm_watch_refresh nothing is missed that was over when it was called.
 *
 * What is watched of a path, and why that is enough. It is walked one component at a time. In each directory the name
 * that is looked for there is watched (made, deleted, moved here or away), and the directory itself (moved, deleted,
 * its permissions). Links are followed by walking their text; they cannot be changed, only replaced, which their
 * directory reports. A missing component ends the walk: its directory will report its coming. The file is watched for
 * writing, truncation, permissions and times. A directory at the end is watched whole: its listing is what was asked
 * for. Mounts come and go unreported, so the table of mounts is polled along, and any change in it breaks every guard.
 *
 * What inotify does not report: stores through a shared mapping. Where a stranger may do that (the owner of a scripts
 * directory), whoever opens the file breaks the guard too, and a guard is only raised while nobody has it open for
 * writing, which a read lease can tell. Files on filesystems that others can change behind the kernel's back (a
 * network's, another FUSE) are never guarded. A queue that overflows breaks everything.
 *
 * Order: the watches are in place first, then the owner asks a stat, and only then the guard stands (RAISED becomes
 * STANDING, unless something has broken it in between, or somebody else has raised it anew since: the stat was none of
 * that raising). Lock: watch->lock is around nodes, links and the reading of reports, so
 * that nobody passes a report that another thread has read and not yet acted upon.
 */
#include "watch.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>
#include <xxhash.h>
#include <zvm/cleanup.h>

#define DOWN 0u
#define RAISED 1u
#define STANDING 2u
#define STATE(raising, phase) ((raising) << 2 | (phase))
#define PHASE(state) ((state)&3u)

#define NODES_MAX 8192u
#define LINKS_MAX 48u /* components of one path, those of links on the way included */
#define SYMLINKS_MAX 16u
#define TRY_EVERY_MS 20 /* a place that changes all the time is asked by stat */
#define ANY_NAME 0u

#define DIRECTORY_EVENTS \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_MASK_ADD)
#define FILE_EVENTS (IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF | IN_MASK_ADD)

struct node { /* an inode that is watched */
	UT_hash_handle hh;
	int descriptor;
	struct zvm_guard_link *links;
};

struct zvm_guard_link {
	struct zvm_guard_link *prev, *next; /* in the node's list */
	struct node *node;                  /* NULL: the kernel has dropped it */
	struct zvm_guard *guard;
	uint64_t name; /* hash of the name that matters in a directory; ANY_NAME: all, or it is a file */
};

struct zvm_watch {
	atomic_uint references; /* its owner and each guard that has links */
	pthread_mutex_t lock;
	int inotify, mounts;
	struct node *nodes;
};

/* One path on its way, and what it has led through. */
struct walk {
	struct zvm_watch *watch;
	unsigned flags, symlinks;
	struct found {
		struct node *node;
		uint64_t name;
	} found[LINKS_MAX];
	unsigned count;
	int directory; /* owned */
	char rest[PATH_MAX];
};

int zvm_watch_open(struct zvm_watch **ret)
{
	struct zvm_watch *watch = calloc(1, sizeof *watch);
	if (!watch)
		return -ENOMEM;
	atomic_init(&watch->references, 1);
	pthread_mutex_init(&watch->lock, NULL);
	watch->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	watch->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (watch->inotify < 0 || watch->mounts < 0) {
		int error = -errno;
		zvm_watch_close(watch);
		return error;
	}
	/* Who wants to write to a file while we hold its lease, for the moment of asking, makes the kernel send this.
	 */
	signal(SIGIO, SIG_IGN);
	*ret = watch;
	return 0;
}

static void unref(struct zvm_watch *watch)
{
	struct node *n, *next;
	if (atomic_fetch_sub(&watch->references, 1) != 1)
		return;
	HASH_ITER(hh, watch->nodes, n, next)
	{
		HASH_DEL(watch->nodes, n);
		free(n);
	}
	zvm_close_pointer(&watch->inotify);
	zvm_close_pointer(&watch->mounts);
	pthread_mutex_destroy(&watch->lock);
	free(watch);
}

void zvm_watch_close(struct zvm_watch *watch)
{
	if (watch)
		unref(watch);
}

/* --- nodes and links: with the lock held --- */

static uint64_t hash_name(const char *name)
{
	uint64_t hash = XXH3_64bits(name, strlen(name));
	return hash == ANY_NAME ? 1 : hash;
}

static void drop_node(struct zvm_watch *watch, struct node *node)
{
	for (struct zvm_guard_link *l = node->links; l; l = l->next)
		l->node = NULL;
	HASH_DEL(watch->nodes, node);
	free(node);
}

static void drop_links(struct zvm_guard *guard)
{
	for (unsigned i = 0; i < guard->count; i++) {
		struct node *node = guard->links[i].node;
		if (!node)
			continue;
		DL_DELETE(node->links, &guard->links[i]);
		if (!node->links) {
			inotify_rm_watch(guard->watch->inotify, node->descriptor);
			drop_node(guard->watch, node);
		}
	}
	free(guard->links);
	guard->links = NULL;
	guard->count = 0;
}

/* Can only this kernel change what is on it? */
static bool is_local(int fd)
{
	static const unsigned long kinds[] = {EXT4_SUPER_MAGIC,      XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
	                                      F2FS_SUPER_MAGIC,      TMPFS_MAGIC,     RAMFS_MAGIC,
	                                      OVERLAYFS_SUPER_MAGIC, 0x2fc12fc1 /* ZFS */};
	struct statfs fs;
	if (fstatfs(fd, &fs) < 0)
		return false;
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if ((unsigned long)fs.f_type == kinds[i])
			return true;
	return false;
}

static struct node *node_of(struct zvm_watch *watch, int descriptor, int fd)
{
	struct node *node;
	HASH_FIND_INT(watch->nodes, &descriptor, node);
	if (node)
		return node;
	node = is_local(fd) && HASH_COUNT(watch->nodes) < NODES_MAX ? calloc(1, sizeof *node) : NULL;
	if (!node) {
		inotify_rm_watch(watch->inotify, descriptor);
		return NULL;
	}
	node->descriptor = descriptor;
	HASH_ADD_INT(watch->nodes, descriptor, node);
	return node;
}

static int note(struct walk *w, int fd, uint32_t events, uint64_t name)
{
	char path[48];
	if (w->count == LINKS_MAX)
		return -ELOOP;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int descriptor = inotify_add_watch(w->watch->inotify, path, events);
	if (descriptor < 0)
		return -errno;
	struct node *node = node_of(w->watch, descriptor, fd);
	if (!node)
		return -EAGAIN;
	w->found[w->count++] = (struct found){node, name};
	return 0;
}

/* All of them become the guard's. */
static int link_found(const struct walk *w, struct zvm_guard *guard)
{
	guard->links = calloc(w->count, sizeof *guard->links);
	if (!guard->links)
		return -ENOMEM;
	guard->count = w->count;
	for (unsigned i = 0; i < w->count; i++) {
		struct zvm_guard_link *l = &guard->links[i];
		*l = (struct zvm_guard_link){.node = w->found[i].node, .guard = guard, .name = w->found[i].name};
		DL_APPEND(l->node->links, l);
	}
	return 0;
}

/* What no guard needs is not watched. A node may have been found twice. */
static void let_go_found(struct walk *w)
{
	for (unsigned i = 0; i < w->count; i++) {
		struct node *node = w->found[i].node;
		if (!node || node->links)
			continue;
		for (unsigned k = i + 1; k < w->count; k++)
			if (w->found[k].node == node)
				w->found[k].node = NULL;
		inotify_rm_watch(w->watch->inotify, node->descriptor);
		drop_node(w->watch, node);
	}
}

/* --- reports --- */

static void break_links(struct node *node, uint64_t name)
{
	for (struct zvm_guard_link *l = node->links; l; l = l->next)
		if (name == ANY_NAME || l->name == ANY_NAME || l->name == name)
			atomic_fetch_and_explicit(&l->guard->state, ~3u, memory_order_release);
}

static void break_all(struct zvm_watch *watch)
{
	for (struct node *n = watch->nodes; n; n = n->hh.next)
		break_links(n, ANY_NAME);
}

static void take_report(struct zvm_watch *watch, const struct inotify_event *event)
{
	struct node *node;
	if (event->mask & IN_Q_OVERFLOW) {
		break_all(watch);
		return;
	}
	HASH_FIND_INT(watch->nodes, &event->wd, node);
	if (!node)
		return;
	break_links(node, event->len ? hash_name(event->name) : ANY_NAME);
	if (event->mask & IN_IGNORED)
		drop_node(watch, node);
}

static void read_reports(struct zvm_watch *watch)
{
	char buffer[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;
	while ((n = read(watch->inotify, buffer, sizeof buffer)) > 0)
		for (const char *at = buffer; at < buffer + n;) {
			const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
			take_report(watch, event);
			at += sizeof *event + event->len;
		}
}

static void refresh_locked(struct zvm_watch *watch)
{
	struct pollfd set[2] = {{.fd = watch->inotify, .events = POLLIN}, {.fd = watch->mounts, .events = POLLPRI}};
	if (poll(set, 2, 0) == 0)
		return;
	if (set[1].revents)
		break_all(watch);
	if (set[0].revents)
		read_reports(watch);
}

void zvm_watch_refresh(struct zvm_watch *watch)
{
	if (!watch)
		return;
	pthread_mutex_lock(&watch->lock);
	refresh_locked(watch);
	pthread_mutex_unlock(&watch->lock);
}

/* --- walking a path --- */

/* Cuts the next component off the rest; NULL at the end. */
static const char *next_component(struct walk *w, char name[NAME_MAX + 1], bool *ret_last)
{
	const char *at = w->rest + strspn(w->rest, "/");
	size_t n = strcspn(at, "/");
	if (!n || n > NAME_MAX)
		return NULL;
	memcpy(name, at, n);
	name[n] = 0;
	const char *behind = at + n + strspn(at + n, "/");
	*ret_last = !*behind;
	memmove(w->rest, behind, strlen(behind) + 1);
	return name;
}

static int enter(struct walk *w, int *fd)
{
	close(w->directory);
	w->directory = zvm_steal_fd(fd);
	return 1;
}

static int follow(struct walk *w, int link)
{
	char text[PATH_MAX], whole[PATH_MAX];
	ssize_t n = readlinkat(link, "", text, sizeof text - 1);
	if (n <= 0 || ++w->symlinks > SYMLINKS_MAX)
		return n < 0 ? -errno : -ELOOP;
	text[n] = 0;
	if (snprintf(whole, sizeof whole, "%s/%s", text, w->rest) >= (int)sizeof whole)
		return -ENAMETOOLONG;
	strcpy(w->rest, whole);
	if (*text != '/')
		return 1;
	zvm_autofd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return root < 0 ? -errno : enter(w, &root);
}

/* Has nobody the file open for writing? A mapping of it would be silent. 0, or -EAGAIN. */
static int watch_unwritten(struct walk *w, int fd)
{
	char path[48];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	/* Opened before it is watched, or we would report ourselves. */
	zvm_autofd int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (file < 0)
		return -errno;
	int r = note(w, fd, FILE_EVENTS | IN_OPEN, ANY_NAME);
	if (r)
		return r;
	if (fcntl(file, F_SETLEASE, F_RDLCK) < 0)
		return errno == EACCES ? 0 : -EAGAIN; /* EACCES: another user's, whom we have to trust anyway */
	fcntl(file, F_SETLEASE, F_UNLCK);
	return 0;
}

static int watch_last(struct walk *w, int fd, mode_t mode)
{
	if (S_ISDIR(mode))
		return note(w, fd, DIRECTORY_EVENTS, ANY_NAME);
	if (!S_ISREG(mode))
		return -EAGAIN;
	return w->flags & ZVM_GUARD_OPENS ? watch_unwritten(w, fd) : note(w, fd, FILE_EVENTS, ANY_NAME);
}

/* One component: 1 there is more, 0 the path ends here, -errno. */
static int step(struct walk *w)
{
	char name[NAME_MAX + 1];
	struct stat st;
	bool last;
	if (!next_component(w, name, &last))
		return *w->rest ? -ENAMETOOLONG : 0;
	int r = note(w, w->directory, DIRECTORY_EVENTS, hash_name(name));
	if (r)
		return r;
	zvm_autofd int fd = openat(w->directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return last && w->flags & ZVM_GUARD_NOFOLLOW ? 0 : follow(w, fd);
	if (last)
		return watch_last(w, fd, st.st_mode);
	return S_ISDIR(st.st_mode) ? enter(w, &fd) : 0;
}

static int walk(struct walk *w, int base, const char *path)
{
	if (strlen(path) >= sizeof w->rest)
		return -ENAMETOOLONG;
	strcpy(w->rest, path);
	w->directory = *path == '/' ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : fcntl(base, F_DUPFD_CLOEXEC, 0);
	if (w->directory < 0)
		return -errno;
	int r;
	while ((r = step(w)) > 0)
		;
	close(w->directory);
	return r;
}

/* --- guards --- */

static int64_t coarse_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* With the lock held, and no links. */
static int raise_locked(struct zvm_watch *watch, struct zvm_guard *guard, int base, const char *path, unsigned flags)
{
	struct walk w = {.watch = watch, .flags = flags};
	int r = walk(&w, base, path);
	r = r ? r : link_found(&w, guard);
	if (r) {
		let_go_found(&w);
		return r;
	}
	if (!guard->watch) {
		guard->watch = watch;
		atomic_fetch_add(&watch->references, 1);
	}
	return 0;
}

int zvm_guard_raise(struct zvm_watch *watch, struct zvm_guard *guard, int base, const char *path, unsigned flags,
                    unsigned *ret_raising)
{
	int64_t now = coarse_ms();
	if (!watch)
		return -EAGAIN;
	pthread_mutex_lock(&watch->lock);
	unsigned state = atomic_load(&guard->state), raising = (state >> 2) + 1;
	int r = PHASE(state) != DOWN || now < guard->next_try ? -EAGAIN : 0;
	if (r == 0) {
		guard->next_try = now + TRY_EVERY_MS;
		drop_links(guard);
		r = raise_locked(watch, guard, base, path, flags);
	}
	if (r == 0) {
		atomic_store(&guard->state, STATE(raising, RAISED));
		*ret_raising = raising;
	}
	pthread_mutex_unlock(&watch->lock);
	return r;
}

void zvm_guard_settle(struct zvm_guard *guard, unsigned raising, bool same)
{
	unsigned raised = STATE(raising, RAISED);
	atomic_compare_exchange_strong(&guard->state, &raised, STATE(raising, same ? STANDING : DOWN));
}

void zvm_guard_drop(struct zvm_guard *guard)
{
	struct zvm_watch *watch = guard->watch;
	if (!watch)
		return;
	pthread_mutex_lock(&watch->lock);
	drop_links(guard);
	atomic_store(&guard->state, DOWN);
	guard->watch = NULL;
	pthread_mutex_unlock(&watch->lock);
	unref(watch);
}
