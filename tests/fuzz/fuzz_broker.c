/*
 * Any packets, in any sequence, from a box that the guest has taken over. Each input is a list of packets:
 *
 *     how (1 byte), length (2 bytes, little-endian), that many bytes
 *
 * how & 7: 0 the bytes are the whole packet; else they are the text of an ask of that kind, with a true length.
 * how & 8: flags are ZVM_ASK_NOFOLLOW; how & 16: a descriptor comes along; how & 32: replies are not read until later;
 * how & 64: the store is full, so that no file can be kept.
 *
 * Whatever is sent, the host lives on, opens nothing but regular files and directories of the view, gives them out
 * read-only, answers each ask once, never waits for the box, and has no descriptor more afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker.h"
#include "packet.h"
#include "world.h"

/* Of one box's answers and programs, the sockets and what is in flight included. */
#define DESCRIPTORS_MAX 380

static struct zvm_view *view;
static int full, was_full;

/* --- the world: a few files, links out of it, and a secret beside it --- */

static int keep_bytes(void *context, const void *bytes, size_t size, struct zvm_digest *ret, int *ret_fd)
{
	(void)context, (void)bytes;
	was_full |= full;
	if (full)
		return -ENOSPC;
	*ret = (struct zvm_digest){.low = size};
	if (ret_fd)
		*ret_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return 0;
}

static int is_in_view(const char *path)
{
	static const char *const places[] = {"/usr/", "/etc/", "/bin/", "/sbin/", "/lib/", "/lib64/"};
	size_t n = strlen(home);
	if (!strncmp(path, home, n))
		return !strncmp(path + n, "/s/", 3);
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
		if (!strncmp(path, places[i], strlen(places[i])))
			return 1;
	return 0;
}

static int keep_file(void *context, int fd, const struct stat *st, struct zvm_digest *ret, uint64_t *ret_size,
                     int *ret_fd)
{
	char link[64], path[4096];
	(void)context;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	require(n > 0 && S_ISREG(st->st_mode));
	path[n] = 0;
	require(is_in_view(path));
	was_full |= full;
	if (full)
		return -ENOSPC;
	*ret_size = (uint64_t)st->st_size;
	*ret = (struct zvm_digest){.low = (uint64_t)st->st_ino};
	if (ret_fd)
		*ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

/* Images of the host's programs are made once; their descriptors are high, out of the way of those that are counted. */
static struct derived {
	uint64_t source;
	unsigned char note[ZVM_NOTE_SIZE];
	int fd;
} derived[16];
static unsigned derived_count;

static int find_derived(void *context, const char *name, const struct zvm_digest *source,
                        unsigned char note[ZVM_NOTE_SIZE], int *ret_fd)
{
	(void)context, (void)name;
	*ret_fd = -1;
	for (unsigned i = 0; i < derived_count; i++) {
		if (derived[i].source != source->low)
			continue;
		memcpy(note, derived[i].note, ZVM_NOTE_SIZE);
		if (derived[i].fd >= 0)
			*ret_fd = fcntl(derived[i].fd, F_DUPFD_CLOEXEC, 0);
		return 0;
	}
	return -ENOENT;
}

static int keep_derived(void *context, const char *name, const struct zvm_digest *source,
                        const unsigned char note[ZVM_NOTE_SIZE], int fd, int *ret_fd)
{
	(void)context, (void)name;
	*ret_fd = -1;
	if (derived_count == sizeof derived / sizeof derived[0])
		return -ENOSPC;
	struct derived *d = &derived[derived_count++];
	d->source = source->low;
	memcpy(d->note, note, ZVM_NOTE_SIZE);
	d->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 1000) : -1;
	if (d->fd >= 0)
		*ret_fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

static const struct zvm_contents contents = {
        .keep_file = keep_file, .keep_bytes = keep_bytes, .find_derived = find_derived, .keep_derived = keep_derived};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	begin_world();
	put("s/a", "#!/script/b x\n", 0755);
	put("s/b", "#!/script/a y\n", 0755);
	put("s/c", "#!/usr/bin/env cat\n", 0755);
	put("s/e", "#!/bin/cat\n", 0755);
	put("s/n", "neither\n", 0755);
	put_link("s/o", "../x");
	put_link("s/l", "c");
	put_link("s/t", "/tmp/x");
	put_link("s/r", "/etc/passwd");
	return zvm_view_open(in_home("s"), &view);
}

/* --- the box's end --- */

static int lowest_free(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0)
		close(fd);
	return fd;
}

struct conversation {
	struct zvm_broker *broker;
	int host, box;
	unsigned expected, replies;
};

static void check_reply(const char *packet, size_t size, unsigned fd_count, const int *fds)
{
	struct zvm_reply reply;
	require(size >= sizeof reply && size <= ZVM_PACKET_MAX);
	memcpy(&reply, packet, sizeof reply);
	require(reply.text_length == size - sizeof reply && reply.error <= 0 && reply.error > -4096);
	if (reply.flags == ZVM_REPLY_MISSING) {
		require(reply.error == -ENOENT && reply.text_length && packet[sizeof reply] == '/' && !fd_count);
		return;
	}
	require(!(reply.flags & ~(ZVM_REPLY_ELSEWHERE | ZVM_REPLY_CONTENT | ZVM_REPLY_UNVETTED)));
	require(!(reply.flags & ZVM_REPLY_CONTENT) == !fd_count);
	require(!reply.error || (!reply.flags && !reply.text_length && !reply.mode));
	for (unsigned i = 0; i < fd_count; i++)
		require((fcntl(fds[i], F_GETFL) & O_ACCMODE) == O_RDONLY && !(fcntl(fds[i], F_GETFL) & O_PATH));
}

static void read_replies(struct conversation *c)
{
	static char packet[ZVM_PACKET_MAX + 1];
	for (;;) {
		int fds[ZVM_PACKET_FDS_MAX];
		unsigned fd_count;
		ssize_t got = zvm_packet_receive(c->box, packet, sizeof packet, fds, ZVM_PACKET_FDS_MAX, &fd_count);
		if (got <= 0)
			break;
		check_reply(packet, (size_t)got, fd_count, fds);
		for (unsigned i = 0; i < fd_count; i++)
			close(fds[i]);
		c->replies++;
	}
	require(c->replies == c->expected);
}

static int send_ask(struct conversation *c, unsigned how, const uint8_t *bytes, size_t size)
{
	struct zvm_ask ask = {.kind = how & 7, .flags = how >> 3 & 1, .text_length = (uint32_t)size};
	unsigned fd_count = how >> 4 & 1;
	return how & 7 ? zvm_packet_send_now(c->box, &ask, sizeof ask, bytes, size, &c->box, fd_count)
	               : zvm_packet_send_now(c->box, bytes, size, NULL, 0, &c->box, fd_count);
}

/* 0: the conversation is over. */
static int exchange(struct conversation *c, unsigned how, const uint8_t *bytes, size_t size)
{
	struct zvm_report report;
	uint32_t kind = how & 7;
	if (!kind && size >= sizeof kind)
		memcpy(&kind, bytes, sizeof kind);
	if (send_ask(c, how, bytes, size))
		return 0;
	full = how >> 6 & 1;
	int r = zvm_broker_serve(c->broker, &report);
	require(r == 1 || r == 0 || r == ZVM_BROKER_STOPPED || r == -EPIPE || r == -EPROTO);
	require(r != ZVM_BROKER_STOPPED || kind == ZVM_ASK_KIND_STOPPED);
	require(r != 1 || (kind >= ZVM_ASK_KIND_LOOKUP && kind <= ZVM_ASK_KIND_BYTES && kind != ZVM_ASK_KIND_REPORT));
	require(r != 0 || kind == ZVM_ASK_KIND_REPORT);
	c->expected += r == 1 && kind != ZVM_ASK_KIND_TRACE && kind != ZVM_ASK_KIND_BYTES;
	if (!(how & 32) || r != 1)
		read_replies(c);
	return r == 1;
}

static void trace(void *context, const char *line, size_t length)
{
	(void)context;
	require(length <= 512);
	for (size_t i = 0; i < length; i++)
		require(line[i] >= ' ' && line[i] <= '~');
}

static void check_dependencies(struct zvm_broker *broker)
{
	struct zvm_dependency *list;
	unsigned count;
	require(zvm_broker_take_dependencies(broker, &list, &count) == 0);
	for (unsigned i = 0; i < count; i++) {
		const struct zvm_question *q = &list[i].question;
		require(*q->path == '/' && strlen(q->path) < ZVM_PATH_MAX && !(q->flags & ~ZVM_ASK_NOFOLLOW));
		require(q->kind == ZVM_ASK_LOOKUP || q->kind == ZVM_ASK_OPEN);
		require(list[i].answer.fd == -1);
		free(q->path);
		zvm_answer_free(&list[i].answer);
	}
	free(list);
	require(zvm_broker_trouble(broker) == (was_full ? -ENOSPC : 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct zvm_box_request request = {
	        .view = view, .contents = &contents, .trace = trace, .limits.memory_bytes = 1 << 20};
	struct conversation c = {0};
	int ends[2], before = lowest_free();
	full = was_full = 0;
	require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	c.host = ends[0];
	c.box = ends[1];
	require(fcntl(c.box, F_SETFL, O_NONBLOCK) == 0);
	require(zvm_broker_new(&request, &c.broker) == 0);
	zvm_broker_attach(c.broker, c.host);
	for (int more = 1; more && size >= 3;) {
		size_t length = data[1] | (size_t)data[2] << 8;
		length = length < size - 3 ? length : size - 3;
		more = exchange(&c, data[0], data + 3, length);
		require(lowest_free() < before + DESCRIPTORS_MAX);
		data += 3 + length;
		size -= 3 + length;
	}
	close(c.box);
	require(zvm_broker_serve(c.broker, &(struct zvm_report){0}) < 0);
	check_dependencies(c.broker);
	zvm_broker_free(c.broker);
	close(c.host);
	require(lowest_free() == before);
	return 0;
}
