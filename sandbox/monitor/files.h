/*
 * Files as the monitor sees them.
 *
 * A guest path leads into one of three worlds. *Nodes* are kept in the arena: the private tree (/tmp, /home/zvm,
 * /dev/shm) and what is made up once (/dev, parts of /etc and /sys). *Host* places (/usr ... /script) are asked of the
 * broker. /proc is made up at each look, because it shows the guest to itself.
 *
 * An open file is a *description*, shared by the descriptors that dup and fork make of it, with its own offset: native
 * descriptors only ever serve pread at offsets of ours, so their own offsets never matter.
 */
#ifndef MONITOR_FILES_H
#define MONITOR_FILES_H

#include "internal.h"

/* As in <fcntl.h>; the uapi header has the others. */
#define ACCESS_MODE 3u
#define LINKS_MAX 40
#define NAME_LENGTH_MAX 255

/* --- nodes (node.c, data.c, directory.c) --- */
struct node {
	u32 mode;              /* 0: free */
	u32 links, references; /* names; open descriptions */
	u32 parent;            /* the directory that holds name_entry; a directory keeps a reference to it */
	u32 owner;             /* uid: 0 for what is made up, 1000 for the guest's own */
	u32 device;            /* character devices: enum device */
	u64 size;
	u64 changed, modified, accessed; /* virtual ns */
	u32 root, levels; /* files: page, or table of pages (data.c); symbolic links: block of the target */
	u32 first, last;  /* directories: entries in order of creation */
	u32 buckets, bucket_count, count;
	u32 charged_pages;
	u32 seals;
	u32 name_entry;   /* the entry that named it last, for its path; 0: that name is gone */
	bool never_named; /* O_TMPFILE: may still be given a name */
	bool mapped;      /* it has been: memory.c hears of its size */
	bool orphan;      /* only mappings hold it: freed by nodes_sweep */
	u32 next_orphan;
	u32 ring; /* FIFOs: while somebody has it open, else NO_INDEX */
};

enum device {
	DEVICE_NULL = 0x103,
	DEVICE_ZERO = 0x105,
	DEVICE_FULL = 0x107,
	DEVICE_RANDOM = 0x108,
	DEVICE_URANDOM = 0x109,
	DEVICE_TTY = 0x500,
	DEVICE_INPUT = 1
};

struct entry {
	u32 next_in_bucket, next, previous; /* blocks */
	u32 node, hash;
	u16 length, size; /* of the name; of the block */
	char name[];
};

struct node *node_at(u32 node);
u32 node_new(u32 mode, u32 owner); /* NO_INDEX: no memory */
void node_release(u32 node);       /* frees it if it has neither names nor references nor mappings */
bool node_mapped(u32 node, u32 area_flags, u32 protection); /* by an area that has all of these */
void nodes_sweep(void);                             /* frees what only mappings that are gone by now have held */
bool node_may(const struct node *node, u32 wanted); /* 4 read, 2 write, 1 execute, as uid 1000 */
u32 directory_find(u32 directory, const char *name, size_t length); /* node, or NO_INDEX */
int directory_add(u32 directory, const char *name, size_t length, u32 node);
void directory_remove(u32 directory, const char *name, size_t length);
void directory_replace(u32 directory, const char *name, size_t length, u32 node); /* the name is there: cannot fail */
int node_path(u32 node, char path[ZVM_PATH_MAX]);                                 /* -ENOENT: it has no name any more */
struct entry *entry_at(u32 block);

s64 data_read(u32 node, u64 offset, u64 to, u64 n);
s64 data_write(u32 node, u64 offset, u64 from, u64 n);
s64 data_write_kernel(u32 node, u64 offset, const void *from, u64 n);
int data_resize(u32 node, u64 size);
void data_set_size(u32 node, u64 size); /* without emptying what is cut off */
u64 data_seek(u32 node, u64 offset,
              bool hole); /* the next byte that is (or is not) backed by a page; at most the size */
void data_free(u32 node);
void data_punch(u32 node, u64 offset, u64 n); /* zeros, pages given back */

extern const u32 ROOT_NODE;
u32 node_tree_start(void);

/* --- paths (path.c) --- */
enum place_kind { PLACE_NODE, PLACE_HOST, PLACE_PROC, PLACE_DESCRIPTION };

struct place {
	enum place_kind kind;
	u32 node;      /* NODE; NO_INDEX: it does not exist, but its directory does */
	u32 directory; /* NODE: where the name is or would be */
	char name[NAME_LENGTH_MAX + 1];
	bool trailing_slash;
	u32 description;      /* DESCRIPTION: an open file named through /proc/self/fd or AT_EMPTY_PATH */
	struct answer answer; /* HOST */
	bool opened;          /* HOST: asked with OPENING, so native_fd is the content (or -1) */
	int native_fd;
	char path[ZVM_PATH_MAX]; /* HOST, PROC: absolute */
};

#define FOLLOW 1u
#define EMPTY_OK 2u    /* "" names the directory descriptor itself */
#define OPENING 8u     /* a host file will be opened for reading: ask for its content at once, which saves a question */
#define WANT_PARENT 4u /* a missing last component is no error if its directory exists */
#define RESOLVE(how) ((u32)(how) << 8) /* openat2's RESOLVE_* */

/* Resolve a guest string relative to a directory descriptor (AT_FDCWD). 0 or -errno. */
int place_find(s64 directory_fd, u64 guest_path, u32 flags, struct place *ret);
int place_find_path(const char *path, u32 flags, struct place *ret); /* absolute, ours */
/* A node under a name that must be free (change.c): 0, -EEXIST, -EACCES, -ENOSPC. */
s64 place_create(const struct place *place, u32 mode, u32 *node);
/* The absolute path of an open directory or file. */
int description_path(u32 description, char path[ZVM_PATH_MAX]);

/* --- /proc and /sys (proc.c, proc_own.c) --- */
bool proc_makes(const char *path); /* it lies in one of them */
/* What is at an absolute path below /proc: its mode (0: nothing), and for links the target. */
u32 proc_mode(const char *path, char target[ZVM_PATH_MAX]);
int proc_open(const char *path, u32 *page, u32 *page_count, u64 *size); /* content of a file, in arena pages */
int proc_list(const char *path, struct text *out);                      /* "type name\n" lines */
void proc_list_names(const char *const *names, u32 count, char type, struct text *out);
/* "/proc/12/rest" -> process 12 and "rest" (or ""); NULL: not of this form, or nobody's. */
struct process *proc_split(const char *path, const char **rest);
u32 proc_own_mode(const struct process *p, const char *rest, char target[ZVM_PATH_MAX]);
void proc_own_text(struct process *p, const char *name, struct text *out);
void proc_own_list(const struct process *p, const char *rest, struct text *out);
/* /proc/self/fd/N, /dev/fd/N: the description behind it, or NO_INDEX. */
u32 proc_descriptor(const char *path);

/* --- open files (file.c) --- */
enum kind {
	KIND_FREE,
	KIND_INPUT,
	KIND_OUTPUT,
	KIND_HOST,
	KIND_DIRECTORY,
	KIND_NODE,
	KIND_MADE,
	KIND_DEVICE,
	KIND_PIPE,
	KIND_EVENT,
	KIND_TIMER,
	KIND_SIGNAL,
	KIND_EPOLL,
	KIND_SOCKET,
	KIND_PROCESS,
	KIND_PATH,
};

/*
 * Bytes to and from a caller's buffer. It is the guest's, checked by guest_range where the call comes in, or the
 * monitor's own, which lies above everything a guest can name.
 */
int put_bytes(u64 to, const void *from, size_t n);
int put_zeros(u64 to, size_t n);
int get_bytes(void *to, u64 from, size_t n);

struct description {
	u32 kind, references;
	u32 flags; /* O_ACCMODE, O_APPEND, O_NONBLOCK, ... */
	s32 native_fd;
	u32 content; /* HOST: the host's number for it */
	u64 offset, size;
	u32 node; /* NODE, DIRECTORY of nodes; else NO_INDEX */
	u32 path; /* string_keep'd; NO_INDEX */
	u32 mode, device;
	u64 inode;
	s64 mtime;
	u32 page, page_count; /* MADE, DIRECTORY: content or listing in arena pages */
	bool listed;
	u32 ring_in, ring_out;         /* PIPE, SOCKET: rings read from and written to */
	u64 value, deadline, interval; /* EVENT counter; TIMER; SIGNAL mask; PROCESS pid */
	u32 wall_clock;
	u32 watches, watch_count, watch_room; /* EPOLL: block of struct watch */
	u32 serial;   /* 0 once it is closed: after a wait, the same serial is the same description */
	u64 activity; /* counts what could wake an edge-triggered watch */
	u32 socket;   /* SOCKET: its record's number, plus 1 */
};

struct description *description_at(u32 description);
u32 description_new(u32 kind, u32 flags); /* one reference; NO_INDEX: none left */
void description_release(u32 description);
bool description_is_here(u32 description); /* this native process can read it */
/* Of a descriptor of the current process; NULL if it is closed. */
struct description *descriptor_get(u64 fd, u32 *index);
struct description *
descriptor_open(u64 fd);    /* the same, and NULL for O_PATH: that is good for no reading, writing or changing */
bool descriptor_room(void); /* there is a number for another */
s64 descriptor_put(u32 description, bool close_on_exec, u32 lowest); /* the new fd; releases on failure */
s64 place_open(struct place *place, u32 flags, u32 mode, u32 *description);
s64 description_read(struct description *d, u64 to, u64 n, u64 *offset); /* offset NULL: its own */
s64 description_write(struct description *d, u64 from, u64 n, u64 *offset);
u64 description_size(const struct description *d);
bool seekable(const struct description *d);
/* Who is called with an iovec: copied and checked whole before a byte moves, as the kernel does. */
struct vector {
	u64 base, size;
};
#define VECTORS_MAX 1024u
s64 vectors_check(u64 vectors, u64 count); /* the sum of their sizes, or -errno */

/* --- locks (lock.c) --- */
void locks_drop_process(u32 description, s32 pid); /* a descriptor of it is closed */
void locks_drop_description(u32 description);      /* it is being freed */
s64 lock_record(u64 fd, u32 command, u64 address); /* fcntl's; fd is open */
struct file_lock {
	u64 key; /* which file */
	u64 start, end;
	u32 owner;              /* pid; or OWNER_DESCRIPTION and the description */
	u8 in_use, type, whole; /* whole: flock's, which sees none but its own */
};
#define LOCKS_MAX 512

/* --- rings (pipe.c) --- */
#define RING_SIZE 65536u
struct ring {
	u32 in_use, readers, writers;
	u32 page;
	u64 read, written;
	u32 serial;                     /* tells a ring from a later one in the same slot, after a wait */
	u32 reader_opens, writer_opens; /* FIFO: who waits to open looks whether somebody came */
	bool messages;                  /* each is preceded by its length (message.c) */
	bool deaf;                      /* the reader is there, and wants no more (shutdown) */
	u32 node;                       /* FIFO: the node it belongs to, else NO_INDEX */
	u32 parcels;                    /* what comes along with its bytes: the first one's block (rights.c) */
};
struct ring *ring_at(u32 ring);
u32 ring_new(void);
void ring_reader_gone(u32 ring);
void ring_writer_gone(u32 ring);
s64 put_pair(u32 first, u32 second, bool close_on_exec, u64 address);
s64 ring_read(u32 ring, u64 to, u64 n, bool nonblocking, bool peek);
s64 ring_write(u32 ring, u64 from, u64 n, bool nonblocking, bool atomic);
s64 ring_wait_data(u32 ring, bool nonblocking);           /* how many bytes there are; 0: and there will be none */
s64 ring_wait_room(u32 ring, u64 room, bool nonblocking); /* 0, or -errno */
s64 ring_copy(u32 ring, u64 skip, u64 to, u64 n);         /* without waiting; takes nothing out */
void ring_drop(u32 ring, u64 n);                          /* takes out what has been copied */
s64 ring_append(u32 ring, u64 from, u64 n);               /* there is room */
u64 ring_used(u32 ring);
s64 fifo_open(u32 node, u32 flags, u32 *description);

/* --- sockets (sockets.h) --- */
#define RIGHTS_MAX 253u /* descriptors that one message brings along, as Linux has it */
struct socket_name {
	u32 size;      /* of the address, its family included; 0: none */
	u8 bytes[112]; /* the family, then a path with its NUL, or a NUL and an abstract name */
};

enum socket_state { SOCKET_FREE, SOCKET_NEW, SOCKET_LISTENING, SOCKET_CONNECTED };

struct socket {
	u32 state; /* enum socket_state */
	u32 type, description;
	u32 peer;  /* NO_INDEX: none, or one that has gone */
	u32 error; /* to be told once */
	u32 shut;  /* SHUT_*, by itself */
	bool bound, peer_gone;
	u32 node;                         /* the name's, in the private tree */
	u32 backlog, queued, first, last; /* LISTENING: who has connected and was not accepted */
	u32 next;                         /* in such a queue */
	s32 owner_pid, peer_pid, peer_id; /* owner: who called listen; peer: SO_PEERCRED */
	struct socket_name name, peer_name;
};
#define SOCKETS_MAX 2048
s64 socket_read(struct description *d, u64 to, u64 n, u32 flags);
s64 socket_write(struct description *d, u64 from, u64 n, u32 flags);
u32 socket_ready(const struct description *d);
s64 socket_unread(const struct description *d); /* what FIONREAD tells */
void socket_close(struct description *d);       /* it is being freed; its rings are not yet */
void parcels_drop(u32 ring);                    /* nobody will read it any more */
void parcels_sweep(void);                       /* releases what was dropped */
void sockets_collect(void);                     /* a socket that is on its way has been closed */

/* --- process descriptors (pidfd.c) --- */
s32 pidfd_pid(const struct description *d); /* 0: it is no such thing */
u32 pidfd_ready(const struct description *d);

/* --- readiness (poll.c, event.c) --- */
u32 description_ready(const struct description *d); /* POLL* bits */
void readiness_changed(void);                       /* after anything that could make a description ready */
u64 description_activity(
        const struct description *d); /* changes whenever an edge-triggered watch is to be told again */
s64 event_read(struct description *d, u64 to, u64 n);
s64 event_write(struct description *d, u64 from, u64 n);
void epoll_forget(u32 description); /* it is being freed */
void epoll_free(struct description *d);

/* --- the tables, in arena->files --- */
#define RINGS_MAX 2048
#define LOCK_CHANNEL channel_description(NO_INDEX)
#define NODE_CHUNKS_MAX 65536u
struct files_state {
	struct description descriptions[DESCRIPTIONS_MAX];
	u32 description_count; /* slots ever used */
	u32 epoll_count;
	struct ring rings[RINGS_MAX];
	u32 node_chunks[NODE_CHUNKS_MAX]; /* pages of nodes */
	u32 node_count, node_free;
	u32 strings, string_buckets[1024];
	u32 home, tmp;
	u32 orphans; /* first of a chain of nodes */
	u32 serial;
	u32 lock_count; /* locks held: 0 saves looking */
	struct file_lock locks[LOCKS_MAX];
	struct socket sockets[SOCKETS_MAX];
	u32 socket_count; /* slots ever used */
	u32 names_given;  /* to sockets that asked for any */
	u32 rights_count; /* descriptors on their way in messages */
	u32 dropped;      /* parcels that nobody will get, while they are being emptied */
	bool dropping;
};
static inline struct files_state *files(void)
{
	return (struct files_state *)arena->files;
}

/* status.c */
struct attributes {
	u64 device, inode, size, blocks, rdevice;
	u32 mode, links, uid, gid;
	u64 accessed, modified, changed; /* ns since 1970 */
};
void description_attributes(const struct description *d, struct attributes *ret);
int place_attributes(const struct place *place, struct attributes *ret);

#endif
