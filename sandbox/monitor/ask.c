/*
 * Questions to the host. The broker resolves paths, records what was asked and answered, and hands over read-only
 * descriptors; here a question becomes a packet and the answer is kept, because a run sees one snapshot: asking again
 * must give the same, and giving it from the arena saves the round trip (two context switches, some 10 us).
 */
#include "internal.h"

/* As in <bits/socket.h>; the uapi headers do not have them. */
struct io_vector {
	void *base;
	u64 size;
};
struct message {
	void *name;
	u32 name_size, unused;
	struct io_vector *vectors;
	u64 vector_count;
	void *control;
	u64 control_size;
	u32 flags, unused_too;
};
struct control_descriptors {
	u64 size;
	s32 level, type;
	s32 fds[8];
};
#define SCM_RIGHTS 1
#define SOL_SOCKET_LEVEL 1

struct remembered {
	u64 hash;
	u32 path, text;
	u16 path_length, text_length;
	u8 follow, elsewhere, unused[2];
	s32 error;
	u32 mode;
	u64 size, inode;
	s64 mtime;
};

/* Entries in the order of asking, found through a small table: a hash table of entries would touch a page for each. */
#define SLOTS 8192u
#define REMEMBERED_MAX 6000u

#define MISSING_MAX 32u

struct missing {
	u32 path, length; /* block and length of a directory's name */
};

struct memory {
	u32 count, missing_count;
	struct missing missing[MISSING_MAX]; /* nothing is below these, nor are they there */
	u32 slots[SLOTS];                    /* number of an entry plus 1; 0: free */
	struct remembered entries[REMEMBERED_MAX];
};

_Static_assert(sizeof(struct memory) <= sizeof(((arena_layout *)0)->asks), "what is remembered fits");

static struct memory *memory(void)
{
	return (struct memory *)arena->asks;
}

static void host_lost(void)
{
	native_exit(125); /* the daemon is gone: nobody wants the result */
}

void host_send(u32 kind, u32 flags, const void *text, u32 length)
{
	struct zvm_ask ask = {.kind = kind, .flags = flags, .text_length = length};
	struct io_vector vectors[2] = {{&ask, sizeof ask}, {(void *)(uintptr_t)text, length}};
	s64 sent;
	do /* one packet; SIGPIPE is ignored */
		sent = native_call(__NR_writev, (u64)(u32)arena->socket, (u64)vectors, 2, 0, 0, 0);
	while (sent == -EINTR);
	if (sent < 0)
		host_lost();
}

/* One packet into two places; descriptors, if any, into fds[]. Returns its size, 0 at the end of the conversation. */
static s64 receive(int socket, struct io_vector *vectors, u64 vector_count, int *fds, u32 fds_max, u32 *fd_count)
{
	struct control_descriptors control;
	struct message message = {
	        .vectors = vectors, .vector_count = vector_count, .control = &control, .control_size = sizeof control};
	s64 got;
	do
		got = native_call(__NR_recvmsg, (u64)(u32)socket, (u64)&message, 0x40000000 /* MSG_CMSG_CLOEXEC */, 0,
		                  0, 0);
	while (got == -EINTR);
	*fd_count = 0;
	if (got > 0 && message.control_size >= 16 + sizeof(s32) && control.level == SOL_SOCKET_LEVEL &&
	    control.type == SCM_RIGHTS) {
		u32 count = (u32)((control.size - 16) / sizeof(s32));
		for (u32 i = 0; i < count; i++) {
			if (*fd_count < fds_max)
				fds[(*fd_count)++] = control.fds[i];
			else
				native_close(control.fds[i]);
		}
	}
	return got;
}

s64 host_receive(int socket, void *to, size_t room, int *fds, u32 fds_max, u32 *fd_count)
{
	struct io_vector vector = {to, room};
	return receive(socket, &vector, 1, fds, fds_max, fd_count);
}

/* The kernel leaves out what does not fit under our limit of descriptors. */
static void expect_descriptor(const struct zvm_reply *reply, u32 fd_count)
{
	if ((reply->flags & ZVM_REPLY_CONTENT) && !fd_count)
		host_failed("the host has no room for another descriptor", -EMFILE);
}

static void note_missing(const char *directory, size_t length)
{
	struct memory *m = memory();
	u32 block = m->missing_count < MISSING_MAX ? block_take(length) : 0;
	if (!block)
		return;
	memcpy(block_at(block), directory, length);
	m->missing[m->missing_count++] = (struct missing){block, (u32)length};
}

static bool is_missing(const char *path, size_t length)
{
	const struct memory *m = memory();
	for (u32 i = 0; i < m->missing_count; i++) {
		u32 n = m->missing[i].length;
		if (length > n && path[n] == '/' && !memcmp(block_at(m->missing[i].path), path, n))
			return true;
	}
	return false;
}

static void nothing_there(struct answer *ret)
{
	ret->error = -ENOENT;
	ret->elsewhere = false;
	ret->text[0] = 0;
}

static void ask_host(u32 kind, const char *path, u32 length, bool follow, struct answer *ret, int *fd)
{
	struct zvm_reply reply;
	struct io_vector vectors[2] = {{&reply, sizeof reply}, {ret->text, sizeof ret->text - 1}};
	u32 fd_count = 0;
	int received = -1;
	host_send(kind, follow ? 0 : 1, path, length);
	s64 got = receive(arena->socket, vectors, 2, &received, 1, &fd_count);
	if (got < (s64)sizeof reply)
		host_lost();
	size_t text_length = (size_t)got - sizeof reply;
	ret->text[text_length] = 0;
	if (reply.flags & ZVM_REPLY_MISSING) {
		note_missing(ret->text, text_length);
		ret->text[0] = 0;
	}
	ret->error = reply.error;
	ret->elsewhere = reply.flags & ZVM_REPLY_ELSEWHERE;
	ret->mode = reply.mode;
	ret->size = reply.size;
	ret->inode = reply.inode;
	ret->content_size = reply.content_size;
	ret->mtime = reply.mtime;
	expect_descriptor(&reply, fd_count);
	ret->content = reply.content;
	if (fd)
		*fd = fd_count ? received : -1;
	else if (fd_count)
		native_close(received);
}

static u64 hash_path(const char *path, size_t length, bool follow)
{
	u64 hash = 0xcbf29ce484222325ull + follow;
	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (u8)path[i]) * 0x100000001b3ull;
	hash ^= hash >> 29;
	return hash ? hash : 1;
}

/* The slot of this question: free, or naming its entry. */
static u32 *find(const char *path, size_t length, bool follow, u64 hash)
{
	for (u64 i = hash % SLOTS;; i = (i + 1) % SLOTS) {
		u32 *slot = &memory()->slots[i];
		const struct remembered *r = &memory()->entries[*slot - 1];
		if (!*slot)
			return slot;
		if (r->hash == hash && r->path_length == length && r->follow == follow &&
		    !memcmp(block_at(r->path), path, length))
			return slot;
	}
}

static void remember(u32 *slot, u64 hash, const char *path, size_t length, bool follow, const struct answer *answer)
{
	size_t text_length = strlen(answer->text);
	if (memory()->count >= REMEMBERED_MAX)
		return;
	u32 path_block = block_take(length);
	u32 text_block = text_length ? block_take(text_length) : 0;
	if (!path_block || (text_length && !text_block)) {
		block_give(path_block, length);
		return;
	}
	memcpy(block_at(path_block), path, length);
	if (text_length)
		memcpy(block_at(text_block), answer->text, text_length);
	memory()->entries[memory()->count] = (struct remembered){
	        .hash = hash,
	        .path = path_block,
	        .text = text_block,
	        .path_length = (u16)length,
	        .text_length = (u16)text_length,
	        .follow = follow,
	        .elsewhere = answer->elsewhere,
	        .error = answer->error,
	        .mode = answer->mode,
	        .size = answer->size,
	        .inode = answer->inode,
	        .mtime = answer->mtime,
	};
	*slot = ++memory()->count;
}

static void recall(const struct remembered *r, struct answer *ret)
{
	ret->error = r->error;
	ret->elsewhere = r->elsewhere;
	ret->mode = r->mode;
	ret->size = r->size;
	ret->inode = r->inode;
	ret->mtime = r->mtime;
	ret->content_size = 0;
	ret->content = 0;
	if (r->text_length)
		memcpy(ret->text, block_at(r->text), r->text_length);
	ret->text[r->text_length] = 0;
}

void ask_lookup(const char *path, bool follow, struct answer *ret)
{
	size_t length = strlen(path);
	u64 hash = hash_path(path, length, follow);
	u32 *slot = find(path, length, follow, hash);
	if (*slot) {
		recall(&memory()->entries[*slot - 1], ret);
		return;
	}
	if (is_missing(path, length)) {
		nothing_there(ret);
		return;
	}
	ask_host(ZVM_ASK_KIND_LOOKUP, path, (u32)length, follow, ret, NULL);
	remember(slot, hash, path, length, follow, ret);
}

/* A failed or redirected open is as good as a lookup; a good one must bring its descriptor. */
void ask_open(const char *path, bool follow, struct answer *ret, int *fd)
{
	size_t length = strlen(path);
	u64 hash = hash_path(path, length, follow);
	u32 *slot = find(path, length, follow, hash);
	const struct remembered *r = &memory()->entries[*slot - 1];
	*fd = -1;
	if (*slot && (r->error || r->elsewhere)) {
		recall(r, ret);
		return;
	}
	if (is_missing(path, length)) {
		nothing_there(ret);
		return;
	}
	ask_host(ZVM_ASK_KIND_OPEN, path, (u32)length, follow, ret, fd);
	if (!*slot)
		remember(slot, hash, path, length, follow, ret);
	if (!ret->error && !ret->elsewhere && *fd < 0 && (ret->mode & S_IFMT) != S_IFLNK)
		ret->error = -EIO;
}

void ask_warm(void)
{
	touch_ahead(memory(), offsetof(struct memory, entries) + PAGE_SIZE);
}

int ask_image(u32 content, bool *vetted, struct zvm_jumps *jumps)
{
	struct {
		struct zvm_reply head;
		struct zvm_jumps jumps;
	} reply = {.jumps = {0}};
	u32 fd_count = 0;
	int fd = -1;
	host_send(ZVM_ASK_KIND_IMAGE, 0, &content, sizeof content);
	if (host_receive(arena->socket, &reply, sizeof reply, &fd, 1, &fd_count) < (s64)sizeof reply.head)
		host_lost();
	expect_descriptor(&reply.head, fd_count);
	*vetted = !reply.head.error && !(reply.head.flags & ZVM_REPLY_UNVETTED);
	*jumps = reply.jumps;
	return fd_count ? fd : -1;
}

void ask_bytes(const void *bytes, u32 size)
{
	host_send(ZVM_ASK_KIND_BYTES, 0, bytes, size);
}

static void copy_path(char to[ZVM_PATH_MAX], const char *from)
{
	format(to, ZVM_PATH_MAX, "%s", from);
}

int ask_plan(u32 content, struct zvm_image *plan, char own[ZVM_PATH_MAX], char interpreter[ZVM_PATH_MAX], int *fd)
{
	static char paths[2 * ZVM_PATH_MAX + 2];
	struct zvm_reply reply;
	struct io_vector vectors[3] = {{&reply, sizeof reply}, {plan, sizeof *plan}, {paths, sizeof paths - 2}};
	u32 fd_count = 0;
	host_send(ZVM_ASK_KIND_PLAN, 0, &content, sizeof content);
	s64 got = receive(arena->socket, vectors, 3, fd, 1, &fd_count);
	if (got < (s64)sizeof reply)
		host_lost();
	if (reply.error)
		return reply.error;
	if (got < (s64)(sizeof reply + sizeof *plan))
		host_lost();
	expect_descriptor(&reply, fd_count);
	size_t size = (size_t)got - sizeof reply - sizeof *plan;
	paths[size] = paths[size + 1] = 0;
	copy_path(own, paths);
	copy_path(interpreter, paths + strlen(paths) + 1);
	return 0;
}
