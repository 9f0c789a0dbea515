/*
 * Answers about host files: what the walk (walk.c) came to, in canonical terms.
 *
 * A content is opened through the descriptor that was examined, after it proved to be a regular file; devices, FIFOs
 * and sockets are never opened. What a file shows of itself is its type, permission bits, size and a number made from
 * its name.
 *
 * Times: a compiled Python module (.pyc) names the time of its source, and without a match every module is compiled at
 * every start. So for *.py below /usr and /etc the true time is part of the answer (and of the dependency); all others
 * show ZVM_EPOCH.
 *
 * Who reads: an ordinary user's daemon is held to what that user may read. A daemon that is root could read everything,
 * but its guests are nobody; so below /usr and /etc it shows only what everybody may read. /script is the mounting
 * user's own and shown as it is.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include <zvm/bytes.h>
#include <zvm/cleanup.h>
#include <zvm/view.h>
#include "protocol.h"
#include "roots.h"
#include "walk.h"

struct pin {
	char *name; /* below /script; NULL: nothing is pinned */
	uint32_t mode;
	uint64_t size;
	struct zvm_digest digest;
	int fd;
};

struct zvm_view {
	int root;   /* of the host, O_PATH */
	int script; /* O_PATH, as it was when a script was pinned; -1: /script is empty, or opened for each question */
	bool privileged;
	char *script_dir;
	struct pin pin;
};

int zvm_view_open(const char *script_dir, struct zvm_view **ret)
{
	struct zvm_view *view = calloc(1, sizeof *view);
	if (!view)
		return -ENOMEM;
	view->script = view->pin.fd = -1;
	view->privileged = geteuid() == 0;
	view->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = view->root < 0 ? -errno : 0;
	if (r == 0 && script_dir) {
		zvm_autofd int fd = open(script_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
		view->script_dir = strdup(script_dir);
		if (!view->script_dir)
			r = -ENOMEM;
	}
	if (r) {
		zvm_view_close(view);
		return r;
	}
	*ret = view;
	return 0;
}

void zvm_view_close(struct zvm_view *view)
{
	if (!view)
		return;
	zvm_close_pointer(&view->root);
	zvm_close_pointer(&view->script);
	zvm_close_pointer(&view->pin.fd);
	free(view->script_dir);
	free(view->pin.name);
	free(view);
}

/* What the name of the directory means now: it may have been replaced by another. -1: it is gone. */
static int open_script(const struct zvm_view *view)
{
	return view->script_dir ? open(view->script_dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
}

int zvm_view_pin(struct zvm_view *view, const char *name, uint32_t mode, uint64_t size, const struct zvm_digest *digest,
                 int fd)
{
	zvm_autofd int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return -errno;
	zvm_autofd int directory = open_script(view);
	char *own = strdup(name);
	if (!own)
		return -ENOMEM;
	zvm_close_pointer(&view->script);
	view->script = zvm_steal_fd(&directory);
	zvm_close_pointer(&view->pin.fd);
	free(view->pin.name);
	view->pin = (struct pin){.name = own, .mode = mode, .size = size, .digest = *digest, .fd = zvm_steal_fd(&copy)};
	return 0;
}

/* --- attributes --- */

uint64_t zvm_canonical_inode(const char *guest)
{
	uint64_t hash = XXH3_64bits(guest, strlen(guest)) >> 2; /* room for those who count inodes in signed numbers */
	return hash > 1024 ? hash : hash + 1024;
}

static bool is_below(const char *guest, const char *directory)
{
	size_t n = strlen(directory);
	return !strncmp(guest, directory, n) && guest[n] == '/';
}

static bool is_python_source(const char *guest)
{
	size_t n = strlen(guest);
	return n > 3 && !strcmp(guest + n - 3, ".py") && (is_below(guest, "/usr") || is_below(guest, "/etc"));
}

static void describe(const struct zvm_walk *w, struct zvm_answer *a)
{
	a->mode = (w->st.st_mode & S_IFMT) | (w->st.st_mode & 0777);
	a->inode = zvm_canonical_inode(w->guest);
	a->mtime = S_ISREG(w->st.st_mode) && is_python_source(w->guest) ? w->st.st_mtim.tv_sec : ZVM_EPOCH;
	a->size = S_ISREG(w->st.st_mode) ? (uint64_t)w->st.st_size : S_ISLNK(w->st.st_mode) ? strlen(w->target) : 4096;
}

/* --- contents --- */

/* For a root daemon: could anybody read this? The whole path is asked, because a file may be open to all in a closed
 * directory. */
static bool open_to_all(const struct zvm_view *view, const struct zvm_walk *w)
{
	char path[ZVM_PATH_MAX];
	struct stat st;
	if (!view->privileged || !strcmp(w->guest, "/script") || is_below(w->guest, "/script"))
		return true;
	if (!(w->st.st_mode & S_IROTH) || (S_ISDIR(w->st.st_mode) && !(w->st.st_mode & S_IXOTH)))
		return false;
	memcpy(path, w->guest, strlen(w->guest) + 1);
	for (char *slash = strrchr(path, '/'); slash && slash != path; slash = strrchr(path, '/')) {
		*slash = 0;
		if (fstatat(view->root, path + 1, &st, AT_SYMLINK_NOFOLLOW) < 0 || !(st.st_mode & S_IXOTH))
			return false;
	}
	return true;
}

/* The descriptor to read a file or list a directory by; -1 for the empty
 * /script. 0, -EACCES for the guest, or trouble. */
static int open_content(const struct zvm_view *view, const struct zvm_walk *w, int *ret)
{
	char path[48];
	*ret = -1;
	if (w->fd < 0)
		return 0;
	if (!open_to_all(view, w))
		return -EACCES;
	snprintf(path, sizeof path, "/proc/self/fd/%d", w->fd);
	*ret = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return *ret >= 0 ? 0 : errno == EPERM ? -EACCES : -errno;
}

static int keep_file(int fd, const struct zvm_contents *contents, bool want_fd, struct zvm_answer *a)
{
	struct stat st;
	uint64_t size;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EIO;
	int r = contents->keep_file(contents->context, fd, &st, &a->digest, &size, want_fd ? &a->fd : NULL);
	if (r)
		return r;
	a->size = size; /* of the snapshot, which is what will be read */
	a->has_content = true;
	return 0;
}

/* --- listings --- */

struct entry {
	unsigned char type;
	char *name;
};

static int compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static void free_entries(struct entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(entries[i].name);
	free(entries);
}

static unsigned char entry_type(int directory, const struct dirent *d)
{
	struct stat st;
	if (d->d_type != DT_UNKNOWN)
		return d->d_type;
	if (fstatat(directory, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return DT_UNKNOWN;
	return S_ISREG(st.st_mode) ? DT_REG : S_ISDIR(st.st_mode) ? DT_DIR : S_ISLNK(st.st_mode) ? DT_LNK : DT_UNKNOWN;
}

static bool entry_shown(const struct zvm_walk *w, const char *name, unsigned char type)
{
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	if (type != DT_REG && type != DT_DIR && type != DT_LNK)
		return false;
	if (strcmp(w->guest, "/etc") && !is_below(w->guest, "/etc"))
		return true;
	char path[ZVM_PATH_MAX + 256];
	snprintf(path, sizeof path, "%s/%s", w->guest, name);
	return zvm_root_etc_shown(path + strlen("/etc/"));
}

static int collect(const struct zvm_walk *w, DIR *dir, struct entry **ret, size_t *ret_count)
{
	struct entry *entries = NULL;
	size_t count = 0, room = 0;
	for (;;) {
		errno = 0;
		struct dirent *d = readdir(dir);
		if (!d)
			break;
		unsigned char type = entry_type(dirfd(dir), d);
		if (!entry_shown(w, d->d_name, type))
			continue;
		if (count == room) {
			room = room ? room * 2 : 64;
			struct entry *more = realloc(entries, room * sizeof *entries);
			if (!more)
				break;
			entries = more;
		}
		entries[count] = (struct entry){type, strdup(d->d_name)};
		if (!entries[count].name)
			break;
		count++;
	}
	if (errno) {
		int r = -errno;
		free_entries(entries, count);
		return r;
	}
	*ret = entries;
	*ret_count = count;
	return 0;
}

static void encode_entry(const struct zvm_walk *w, const struct entry *e, struct zvm_bytes *out)
{
	char path[ZVM_PATH_MAX + 256];
	snprintf(path, sizeof path, "%s/%s", w->guest, e->name);
	size_t n = strlen(e->name);
	unsigned char length[2] = {(unsigned char)n, (unsigned char)(n >> 8)};
	zvm_bytes_append(out, &e->type, 1);
	zvm_bytes_number(out, zvm_canonical_inode(path));
	zvm_bytes_append(out, length, 2);
	zvm_bytes_append(out, e->name, n);
}

static int list_directory(const struct zvm_walk *w, int fd, struct zvm_bytes *out)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return -errno;
	DIR *dir = fdopendir(copy);
	if (!dir) {
		close(copy);
		return -ENOMEM;
	}
	struct entry *entries = NULL;
	size_t count = 0;
	int r = collect(w, dir, &entries, &count);
	closedir(dir);
	if (r)
		return r;
	if (count)
		qsort(entries, count, sizeof *entries, compare_entries);
	for (size_t i = 0; i < count; i++)
		encode_entry(w, &entries[i], out);
	free_entries(entries, count);
	return out->error;
}

static int keep_listing(const struct zvm_walk *w, int fd, const struct zvm_contents *contents, bool want_fd,
                        struct zvm_answer *a)
{
	zvm_autobytes struct zvm_bytes listing = {0};
	int r = fd < 0 ? 0 : list_directory(w, fd, &listing);
	if (r)
		return r;
	r = contents->keep_bytes(contents->context, listing.data ? listing.data : (const void *)"", listing.size,
	                         &a->digest, want_fd ? &a->fd : NULL);
	a->has_content = r == 0;
	return r;
}

/* --- answers --- */

static int answer_pinned(const struct zvm_view *view, const char *guest, enum zvm_ask_kind kind, bool want_fd,
                         struct zvm_answer *a)
{
	a->mode = S_IFREG | (view->pin.mode & 0777);
	a->size = view->pin.size;
	a->inode = zvm_canonical_inode(guest);
	a->mtime = ZVM_EPOCH;
	if (kind != ZVM_ASK_OPEN)
		return 0;
	a->has_content = true;
	a->digest = view->pin.digest;
	if (want_fd)
		a->fd = fcntl(view->pin.fd, F_DUPFD_CLOEXEC, 0);
	return want_fd && a->fd < 0 ? -errno : 0;
}

static int answer_place(const struct zvm_view *view, const struct zvm_walk *w, const struct zvm_contents *contents,
                        enum zvm_ask_kind kind, bool want_fd, struct zvm_answer *a)
{
	int r;
	describe(w, a);
	if (S_ISLNK(w->st.st_mode)) {
		a->text = strdup(w->target);
		return a->text ? 0 : -ENOMEM;
	}
	if (kind != ZVM_ASK_OPEN)
		return 0;
	zvm_autofd int fd = -1;
	r = open_content(view, w, &fd);
	if (r == -EACCES) {
		*a = (struct zvm_answer){.error = r, .fd = -1};
		return 0;
	}
	if (r)
		return r;
	return S_ISREG(w->st.st_mode) ? keep_file(fd, contents, want_fd, a) : keep_listing(w, fd, contents, want_fd, a);
}

static int answer_walk(const struct zvm_view *view, const struct zvm_walk *w, const struct zvm_contents *contents,
                       enum zvm_ask_kind kind, bool want_fd, struct zvm_answer *a)
{
	switch (w->outcome) {
	case ZVM_WALK_ERROR: a->error = w->error; return 0;
	case ZVM_WALK_ELSEWHERE:
		a->elsewhere = true;
		a->text = strdup(w->target);
		return a->text ? 0 : -ENOMEM;
	case ZVM_WALK_PINNED: return answer_pinned(view, w->guest, kind, want_fd, a);
	case ZVM_WALK_PLACE: return answer_place(view, w, contents, kind, want_fd, a);
	}
	return -EIO;
}

int zvm_view_ask(const struct zvm_view *view, const struct zvm_contents *contents, const struct zvm_question *question,
                 bool want_fd, struct zvm_answer *ret, bool *pinned)
{
	/* Three paths long: not cleared, but for the members that count. */
	struct zvm_walk w;
	zvm_autofd int script = view->script < 0 ? open_script(view) : -1;
	w.root = view->root;
	w.script = view->script < 0 ? script : view->script;
	w.pinned_name = view->pin.name;
	w.fd = -1;
	w.outcome = ZVM_WALK_ERROR;
	w.error = -ENOENT;
	w.guest[0] = w.rest[0] = w.target[0] = 0;
	w.links = 0;
	w.moved = w.directory_wanted = w.whole = false;
	*ret = (struct zvm_answer){.fd = -1};
	int r = zvm_walk(&w, question->path, !(question->flags & ZVM_ASK_NOFOLLOW));
	if (r == 0)
		r = answer_walk(view, &w, contents, question->kind, want_fd, ret);
	if (pinned)
		*pinned = w.outcome == ZVM_WALK_PINNED && !w.moved;
	zvm_walk_close(&w);
	if (r)
		zvm_answer_free(ret);
	return r;
}

void zvm_answer_free(struct zvm_answer *answer)
{
	free(answer->text);
	zvm_close_pointer(&answer->fd);
	*answer = (struct zvm_answer){.fd = -1};
}

bool zvm_answer_equal(const struct zvm_answer *a, const struct zvm_answer *b)
{
	if (a->error != b->error || a->elsewhere != b->elsewhere || a->has_content != b->has_content ||
	    !a->text != !b->text)
		return false;
	if (a->text && strcmp(a->text, b->text))
		return false;
	if (a->error || a->elsewhere)
		return true;
	if (a->has_content && !zvm_digest_equal(&a->digest, &b->digest))
		return false;
	return a->mode == b->mode && a->size == b->size && a->inode == b->inode && a->mtime == b->mtime;
}

static bool climbs(const char *path)
{
	for (const char *at = path; (at = strstr(at, "/..")); at += 3)
		if (!at[3] || at[3] == '/')
			return true;
	return false;
}

int zvm_view_host_path(const struct zvm_view *view, const char *path, char **ret)
{
	char *host = NULL;
	if (*path != '/' || climbs(path) || !zvm_root_is_host(path + 1, strcspn(path + 1, "/")))
		return -ENOENT;
	if (strcmp(path, "/script") && !is_below(path, "/script"))
		host = strdup(path);
	else if (!view->script_dir)
		return -ENOENT;
	else if (asprintf(&host, "%s%s", view->script_dir, path + strlen("/script")) < 0)
		return -ENOMEM;
	*ret = host;
	return host ? 0 : -ENOMEM;
}

int zvm_view_next_entry(const unsigned char **at, size_t *left, struct zvm_view_entry *ret)
{
	struct zvm_reader r = {.data = *at, .left = *left};
	if (!*left)
		return 0;
	const unsigned char *type = zvm_read_raw(&r, 1);
	ret->inode = zvm_read_number(&r);
	const unsigned char *length = zvm_read_raw(&r, 2);
	if (r.error)
		return -EBADMSG;
	ret->type = *type;
	ret->name_length = length[0] | (size_t)length[1] << 8;
	ret->name = zvm_read_raw(&r, ret->name_length);
	if (r.error)
		return -EBADMSG;
	*at = r.data;
	*left = r.left;
	return 1;
}
