/*
 * The launcher's side of templates: boxes that are forked from one that has stopped, ahead of those who will want them.
 *
 * A template is trusted as little as any box: guest code has run in it. It is asked to fork, and what it answers is
 * believed only if it is a process of its own group; it is waited for only so long; and what is copied of its arena is
 * bounded. One that fails in any of this is killed, and the daemon sees the end of the feed.
 */
#include "launch_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "packet.h"
#include "protocol.h"

#define ANSWER_MS 200
#define PAGE 4096u
#define COPY_MAX (16u << 20)

static void drop(struct zvm_template_slot *t)
{
	if (t->box->group == t->group)
		kill(-t->group, SIGKILL);
	if (t->memory)
		munmap((void *)(uintptr_t)t->memory, t->arena_size);
	zvm_close_pointer(&t->socket);
	zvm_close_pointer(&t->arena);
	zvm_close_pointer(&t->feed);
	*t = (struct zvm_template_slot){.socket = -1, .arena = -1, .feed = -1};
}

void zvm_launch_templates_tidy(struct zvm_launcher_process *l)
{
	for (unsigned i = 0; i < ZVM_TEMPLATES_MAX; i++)
		if (l->templates[i].group && l->templates[i].box->group != l->templates[i].group)
			drop(&l->templates[i]);
}

static int map_arena(struct zvm_template_slot *t)
{
	struct stat st;
	int seals = fcntl(t->arena, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(t->arena, &st) < 0)
		return -EINVAL;
	t->arena_size = (uint64_t)st.st_size;
	void *memory = mmap(NULL, t->arena_size, PROT_READ, MAP_SHARED | MAP_NORESERVE, t->arena, 0);
	if (memory == MAP_FAILED)
		return -errno;
	t->memory = memory;
	return 0;
}

void zvm_launch_template_start(struct zvm_launcher_process *l, struct zvm_box_slot *box, const int fds[3])
{
	struct zvm_template_slot *t = NULL;
	for (unsigned i = 0; i < ZVM_TEMPLATES_MAX && !t; i++)
		t = l->templates[i].group ? NULL : &l->templates[i];
	if (!t || !box->group || box->status < 0) {
		for (unsigned i = 0; i < 3; i++)
			close(fds[i]);
		return;
	}
	*t = (struct zvm_template_slot){
	        .group = box->group, .box = box, .socket = fds[0], .arena = fds[1], .feed = fds[2]};
	if (map_arena(t))
		drop(t);
}

void zvm_launch_template_serve(struct zvm_template_slot *t)
{
	char taken[64];
	ssize_t got = recv(t->feed, taken, sizeof taken, MSG_DONTWAIT);
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (got <= 0)
		drop(t);
	else
		t->ahead -= t->ahead < (unsigned)got ? t->ahead : (unsigned)got;
}

struct zvm_template_slot *zvm_launch_template_hungry(struct zvm_launcher_process *l)
{
	for (unsigned i = 0; i < ZVM_TEMPLATES_MAX; i++)
		if (l->templates[i].group && l->templates[i].ahead < l->pool)
			return &l->templates[i];
	return NULL;
}

static bool is_zero(const unsigned char *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

/* Pages that are there and not zero. */
static int copy_pages(const struct zvm_template_slot *t, int to)
{
	off_t end = 0;
	uint64_t copied = 0;
	for (off_t at; (at = lseek(t->arena, end, SEEK_DATA)) >= 0;) {
		end = lseek(t->arena, at, SEEK_HOLE);
		if (end < at)
			return -errno;
		copied += (uint64_t)(end - at);
		if (copied > COPY_MAX)
			return -E2BIG;
		for (; at < end; at += PAGE)
			if (!is_zero(t->memory + at) && pwrite(to, t->memory + at, PAGE, at) != PAGE)
				return -EIO;
	}
	return errno == ENXIO ? 0 : -errno;
}

static int copy_arena(const struct zvm_template_slot *t)
{
	zvm_autofd int fd = memfd_create("zvm arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)t->arena_size) < 0)
		return -errno;
	int r = copy_pages(t, fd);
	if (r == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		r = -errno;
	return r ? r : zvm_steal_fd(&fd);
}

/* The new process; -errno. Its number is what the template says: it must be one of the template's own group. */
static pid_t order_fork(const struct zvm_template_slot *t, uint32_t number, const int fds[2])
{
	struct zvm_fork_order order = {.magic = ZVM_ORDER_MAGIC, .arena_size = ZVM_ARENA_MAPPED, .box = number};
	struct zvm_fork_done done;
	struct pollfd answer = {.fd = t->socket, .events = POLLIN};
	int r = zvm_packet_send_now(t->socket, &order, sizeof order, NULL, 0, fds, 2);
	if (r)
		return r;
	if (poll(&answer, 1, ANSWER_MS) <= 0 || recv(t->socket, &done, sizeof done, MSG_DONTWAIT) != sizeof done)
		return -EIO;
	if (done.pid <= 0)
		return done.pid ? done.pid : -EIO;
	if (done.pid == t->group || getpgid(done.pid) != t->group || setpgid(done.pid, done.pid) < 0)
		return -EPERM;
	return done.pid;
}

static int fork_copy(struct zvm_launcher_process *l, struct zvm_template_slot *t)
{
	int socket[2] = {-1, -1}, status[2] = {-1, -1};
	struct zvm_box_slot *slot = zvm_launch_free_slot(l);
	zvm_autofd int arena = slot ? copy_arena(t) : -EAGAIN;
	if (arena < 0)
		return arena;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socket) < 0)
		return -errno;
	pid_t pid = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, status) < 0 ? -errno : 0;
	pid = pid ? pid : order_fork(t, (uint32_t)(slot - l->boxes), (const int[2]){socket[1], arena});
	close(socket[1]);
	int r = pid < 0 ? pid : 0;
	if (r == 0) {
		uint32_t number = (uint32_t)(slot - l->boxes);
		zvm_launch_occupy(l, slot,
		                  &(struct zvm_box_slot){.group = pid, .status = status[0], .socket = -1, .arena = -1});
		status[0] = -1;
		r = zvm_packet_send_now(t->feed, &number, sizeof number, NULL, 0,
		                        (const int[3]){socket[0], status[1], arena}, 3);
	}
	close(socket[0]);
	zvm_close_pointer(&status[0]);
	zvm_close_pointer(&status[1]);
	return r;
}

void zvm_launch_template_feed(struct zvm_launcher_process *l, struct zvm_template_slot *t)
{
	if (fork_copy(l, t) == 0)
		t->ahead++;
	else
		drop(t);
}
