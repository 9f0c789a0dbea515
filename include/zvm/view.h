/*
 * The view: which files of the host a guest may know of, and under which names.
 *
 * A guest's file tree has four kinds of places. Private ones (/tmp, /home/zvm, /dev/shm) and made-up
 * ones (/proc, /dev, parts of /etc) live in the monitor and never come here. Host ones are /usr, /bin,
 * /sbin, /lib, /lib64 and what /etc holds for starting programs, read-only; and /script, the directory
 * that the script was found in. The view answers questions about host places, and only regular files,
 * directories and symbolic links exist in it: devices, FIFOs and sockets are absent and never opened.
 *
 * A *question* is a path and how it is meant; its *answer* is everything the guest learns. The two
 * together are a *dependency*: asking again later and getting the same answer proves that a stored
 * run would see the same. Answers are canonical: they contain no inode number, time, link count, owner
 * or order of the host, so that touching, copying or restoring identical files changes none of them.
 *
 *   struct zvm_view *view;
 *   int r = zvm_view_open("/home/me/scripts", &view);            // NULL: a host program, /script is empty
 *   struct zvm_question q = {.kind = ZVM_ASK_OPEN, .path = "/script/helper.py"};
 *   struct zvm_answer a;
 *   bool pinned;
 *   r = zvm_view_ask(view, &contents, &q, true, &a, &pinned);    // r < 0: zvm's own trouble (ENOMEM, EIO)
 *   if (a.error == 0) use(a.fd);                                 // a.error is what the guest is told
 *   zvm_answer_free(&a);
 *
 * Paths are resolved here, one component at a time, in the guest's view: a link to /etc/shadow leads to
 * the guest's /etc/shadow, which does not exist. A path that leaves the host places (through `..` or a
 * link into /tmp, /proc, ...) is answered with `elsewhere`, the absolute guest path to go on with; the
 * monitor restarts there. That too is part of the answer.
 *
 * A view is immutable and may be used by many threads at once.
 */
#ifndef ZVM_VIEW_H
#define ZVM_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <zvm/digest.h>

enum zvm_ask_kind {
	ZVM_ASK_LOOKUP = 1, /* attributes, as stat and lstat and readlink need them */
	ZVM_ASK_OPEN = 2,   /* attributes and content: of a file its bytes, of a directory its listing */
};

/* The path's last component is not followed if it is a symbolic link. */
#define ZVM_ASK_NOFOLLOW 1u

struct zvm_question {
	enum zvm_ask_kind kind;
	unsigned flags;
	char *path; /* absolute, in the guest's view; owned by whoever holds the question */
};

struct zvm_answer {
	int error;        /* 0, or the -errno the guest is told: -ENOENT, -ENOTDIR, -EACCES, -ELOOP, -ENAMETOOLONG */
	uint32_t mode;    /* st_mode: type and the permission bits, without setuid, setgid and sticky */
	uint64_t size;    /* of a file its bytes; of a link the length of its target; of a directory 4096 */
	uint64_t inode;   /* canonical: a hash of the resolved guest path */
	int64_t mtime;    /* canonical: ZVM_EPOCH, except for *.py below /usr (see view.c: compiled modules name it) */
	char *text;       /* target of a link; or, when `elsewhere`, the guest path to restart with; else NULL */
	bool elsewhere;   /* the path led out of the host places; `text` says where; nothing else is set */
	bool has_content; /* `digest` is set: the question was OPEN and a file or directory answered it */
	struct zvm_digest digest;
	int fd; /* OPEN: read-only descriptor of the stored content, owned by the answer; else -1 */
};

/* 2000-01-01T00:00:00Z: the start of every box's clock and the time of every file in it. */
#define ZVM_EPOCH 946684800

/* What is noted of something derived from a content. */
#define ZVM_NOTE_SIZE 32

/*
 * What the view asks of whoever keeps contents (fs/ gives this; tests may give their own).
 * All functions may be called by many threads at once, return 0 or -errno, and hand over *ret_fd
 * (read-only, positioned anywhere) to the caller. With ret_fd NULL only the digest is wanted.
 */
struct zvm_contents {
	void *context;
	/* The content of an open regular file of the host, taken as one snapshot. `fd` stays the caller's. */
	int (*keep_file)(void *context, int fd, const struct stat *st, struct zvm_digest *ret, uint64_t *ret_size,
	                 int *ret_fd);
	/* The same for bytes made up by the view: the listing of a directory. */
	int (*keep_bytes)(void *context, const void *bytes, size_t size, struct zvm_digest *ret, int *ret_fd);
	/*
	 * What a stored content was once turned into (prepared images); both NULL where nobody keeps such things.
	 * `name` says what it is and by which version of the code. find: 0 with the note, and the bytes in *ret_fd (-1:
	 * only the note was kept); -ENOENT. keep: `fd` stays the caller's (-1: only the note); *ret_fd as find would
	 * give it.
	 */
	int (*find_derived)(void *context, const char *name, const struct zvm_digest *source,
	                    unsigned char note[ZVM_NOTE_SIZE], int *ret_fd);
	int (*keep_derived)(void *context, const char *name, const struct zvm_digest *source,
	                    const unsigned char note[ZVM_NOTE_SIZE], int fd, int *ret_fd);
};

struct zvm_view;

/*
 * `script_dir`: host path of the directory shown as /script; NULL shows an empty one. -errno if it can't be opened.
 * Each question is about what has that path at the time; from the pinning of a script on, about what had it then.
 */
int zvm_view_open(const char *script_dir, struct zvm_view **ret);
void zvm_view_close(struct zvm_view *view);

/*
 * Pin /script/NAME to an already stored content: the run's own script, so that what the interpreter
 * opens is the very snapshot the action names. Questions about it are answered without looking at the host
 * and are no dependencies (`*pinned` of zvm_view_ask says so), but for those that a link or `..` led there: those may
 * lead elsewhere another time. Called before the view is shared.
 */
int zvm_view_pin(struct zvm_view *view, const char *name, uint32_t mode, uint64_t size, const struct zvm_digest *digest,
                 int fd /* duplicated */);

/* 0 with *ret filled, or -errno for trouble of ours. `want_fd` false: OPEN leaves ret->fd at -1 (for checks). */
int zvm_view_ask(const struct zvm_view *view, const struct zvm_contents *contents, const struct zvm_question *question,
                 bool want_fd, struct zvm_answer *ret, bool *pinned);
void zvm_answer_free(struct zvm_answer *answer);

/* What a box asks instead, if there is a memory of answers (fs/check.c): the same contract, the same answers. */
struct zvm_asker {
	void *context;
	int (*ask)(void *context, const struct zvm_view *view, const struct zvm_question *question, bool want_fd,
	           struct zvm_answer *ret, bool *pinned);
};

/* Same answer, as far as a guest can tell (everything but fd). */
bool zvm_answer_equal(const struct zvm_answer *a, const struct zvm_answer *b);

/*
 * The host path that a question's path would be looked up at, if it is textually below a host place
 * ("/script/a.py" -> "/home/me/scripts/a.py"); -ENOENT otherwise. For cheap stat checks and for messages.
 */
int zvm_view_host_path(const struct zvm_view *view, const char *path, char **ret);

/*
 * A directory's listing is, per entry in byte order of names ("." and ".." not among them):
 * 1 byte type (DT_REG, DT_DIR, DT_LNK), 8 bytes canonical inode (little-endian), 2 bytes length, the name.
 */
struct zvm_view_entry {
	unsigned char type;
	uint64_t inode;
	const char *name; /* not NUL-terminated */
	size_t name_length;
};

/* 1 and the next entry, 0 at the end, -EBADMSG if the listing is damaged. */
int zvm_view_next_entry(const unsigned char **at, size_t *left, struct zvm_view_entry *ret);

#endif
