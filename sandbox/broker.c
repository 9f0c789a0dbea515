/*
 * The broker answers one box's questions about files, in the thread that runs the box, and writes down each question
 * with its answer: the run's dependencies, recorded by someone the guest cannot lie to.
 *
 * Nothing in a packet is trusted: lengths are checked against what was received, paths are NUL-free and bounded,
 * descriptors that a box sends are dropped by the kernel because we receive without room for them. A box that asks
 * without taking its answers is cut off: waiting for it would put the time limit into its hands. A question asked
 * twice gets the first answer, descriptor included, so that a run sees one snapshot of the world even while it changes.
 * What a box executes is planned here, from a content that it was given before, or from bytes of its own (written.h).
 * A box has one question open at a time, so its replies always fit its socket; one that asks on without reading them
 * would make us wait, beyond every limit, and is cut off instead.
 */
#include "broker.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>
#include <zvm/bytes.h>
#include <zvm/cleanup.h>
#include "packet.h"
#include "written.h"

/* How many different questions a run may ask: each is kept for the record. Beyond, the guest is told ENFILE. */
#define QUESTIONS_MAX 200000
/* And how long they and their answers may be all together: a box costs the daemon no more memory than this. */
#define TEXTS_MAX (64u << 20)
/* Longer than any line that the monitor writes. */
#define TRACE_MAX 512
/* Descriptors of answers kept open for a second asking. Beyond, an answer's descriptor is closed once it is sent, and
 * the monitor, which remembers answers itself, gets the content by a new question; the digest proves it the same. */
#define OPEN_MAX 256

struct asked {
	UT_hash_handle hh;
	struct zvm_dependency dependency;
	int fd;                    /* of the content; -1 */
	struct zvm_prepared image; /* of the content, once it has been wanted */
	bool has_image;
	uint64_t content_size;
	uint32_t content; /* its number for the box; 0: it has none, or is no file */
	bool pinned;      /* part of the action, no dependency */
	size_t missing;   /* so much of the path names a directory that is missing; 0: only the last component is */
	size_t key_size;
	char key[]; /* kind, flags, path */
};

struct zvm_broker {
	const struct zvm_box_request *request;
	int socket;
	struct asked *asked;
	struct asked **contents; /* by number - 1: what this box may have as an image */
	unsigned count, open_count, content_count;
	int trouble;     /* -errno: a question has not been answered as another time it would be */
	char **unproven; /* "PATH: N" */
	unsigned unproven_count;
	size_t texts;
	struct zvm_written written;
	char packet[ZVM_PACKET_MAX];
};

int zvm_broker_new(const struct zvm_box_request *request, struct zvm_broker **ret)
{
	struct zvm_broker *broker = calloc(1, sizeof *broker);
	if (!broker)
		return -ENOMEM;
	broker->request = request;
	broker->socket = broker->written.fd = -1;
	*ret = broker;
	return 0;
}

int zvm_broker_attach(struct zvm_broker *broker, int socket)
{
	broker->socket = socket;
	return fcntl(socket, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static void forget(struct asked *a)
{
	zvm_close_pointer(&a->fd);
	zvm_close_pointer(&a->image.fd);
	free(a->dependency.question.path);
	zvm_answer_free(&a->dependency.answer);
	free(a);
}

void zvm_broker_free(struct zvm_broker *broker)
{
	struct asked *a, *next;
	if (!broker)
		return;
	HASH_ITER(hh, broker->asked, a, next)
	{
		HASH_DEL(broker->asked, a);
		forget(a);
	}
	for (unsigned i = 0; i < broker->unproven_count; i++)
		free(broker->unproven[i]);
	free(broker->unproven);
	free(broker->contents);
	zvm_written_free(&broker->written);
	free(broker);
}

static struct asked *new_asked(const struct zvm_question *q)
{
	size_t length = strlen(q->path);
	struct asked *a = calloc(1, sizeof *a + 2 + length);
	if (!a)
		return NULL;
	a->fd = a->image.fd = -1;
	a->key_size = 2 + length;
	a->key[0] = (char)q->kind;
	a->key[1] = (char)q->flags;
	memcpy(a->key + 2, q->path, length);
	a->dependency.question = (struct zvm_question){q->kind, q->flags, strdup(q->path)};
	a->dependency.answer.fd = -1;
	if (!a->dependency.question.path) {
		free(a);
		return NULL;
	}
	return a;
}

static struct asked *find_asked(struct zvm_broker *broker, const struct zvm_question *q)
{
	struct asked *found;
	char key[2 + ZVM_PATH_MAX];
	size_t length = strlen(q->path);
	key[0] = (char)q->kind;
	key[1] = (char)q->flags;
	memcpy(key + 2, q->path, length);
	HASH_FIND(hh, broker->asked, key, 2 + length, found);
	return found;
}

static uint64_t content_size(int fd)
{
	struct stat st;
	return fd >= 0 && fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static int ask_view(const struct zvm_broker *broker, const struct zvm_question *q, struct zvm_answer *ret, bool *pinned)
{
	const struct zvm_box_request *request = broker->request;
	if (request->asker.ask)
		return request->asker.ask(request->asker.context, request->view, q, true, ret, pinned);
	return zvm_view_ask(request->view, request->contents, q, true, ret, pinned);
}

/* The content of an earlier answer whose descriptor was closed meanwhile. It must still be the same. */
static int reopen(struct zvm_broker *broker, struct asked *a)
{
	struct zvm_answer again;
	int r = ask_view(broker, &a->dependency.question, &again, NULL);
	if (r)
		return r;
	if (zvm_answer_equal(&again, &a->dependency.answer)) {
		a->fd = zvm_steal_fd(&again.fd);
		broker->open_count++;
	}
	zvm_answer_free(&again);
	return a->fd >= 0 ? 0 : -ESTALE;
}

/* Files that were passed get a number, by which the box may ask for their images. */
static int number_content(struct zvm_broker *broker, struct asked *a)
{
	const struct zvm_answer *answer = &a->dependency.answer;
	if (!answer->has_content || !S_ISREG(answer->mode))
		return 0;
	if ((broker->content_count & (broker->content_count - 1)) == 0) { /* full at each power of two */
		size_t room = broker->content_count ? broker->content_count * 2 : 1;
		struct asked **more = realloc(broker->contents, room * sizeof *more);
		if (!more)
			return -ENOMEM;
		broker->contents = more;
	}
	broker->contents[broker->content_count++] = a;
	a->content = broker->content_count;
	return 0;
}

/* The first answer to this question, now or earlier. 0 or -errno. */
static int find_or_ask(struct zvm_broker *broker, const struct zvm_question *q, struct asked **ret)
{
	struct asked *a = find_asked(broker, q);
	if (!a) {
		if (broker->count >= QUESTIONS_MAX || broker->texts >= TEXTS_MAX)
			return -ENFILE;
		a = new_asked(q);
		if (!a)
			return -ENOMEM;
		int r = ask_view(broker, q, &a->dependency.answer, &a->pinned);
		r = r ? r : number_content(broker, a);
		if (r) {
			forget(a);
			return r;
		}
		a->fd = zvm_steal_fd(&a->dependency.answer.fd);
		a->content_size = content_size(a->fd);
		HASH_ADD(hh, broker->asked, key, a->key_size, a);
		broker->count++;
		broker->texts += 2 * a->key_size;
		broker->texts += a->dependency.answer.text ? strlen(a->dependency.answer.text) : 0;
		broker->open_count += a->fd >= 0;
	} else if (a->fd < 0 && a->dependency.answer.has_content) {
		int r = reopen(broker, a);
		if (r)
			return r;
	}
	*ret = a;
	return 0;
}

/* Is nothing there, whoever asks and however? 1, 0, or -errno. No dependency: the box is not told. */
static int is_missing(const struct zvm_broker *broker, char *path)
{
	struct zvm_question q = {.kind = ZVM_ASK_LOOKUP, .path = path};
	struct zvm_answer answer;
	int r = ask_view(broker, &q, &answer, NULL);
	if (r)
		return r;
	r = answer.error == -ENOENT;
	zvm_answer_free(&answer);
	return r;
}

/*
 * A program that looks for its locale asks a dozen times below a directory that is not there. The box is told the
 * highest missing one with the first answer, and need not ask again. It is a dependency then: not only what was asked
 * for must stay absent, but the directory.
 */
static int find_missing(struct zvm_broker *broker, struct asked *a)
{
	char path[ZVM_PATH_MAX];
	size_t length = 0;
	snprintf(path, sizeof path, "%s", a->dependency.question.path);
	for (char *slash; (slash = strrchr(path, '/')) && slash != path;) {
		*slash = 0;
		int r = is_missing(broker, path);
		if (r < 0)
			return r;
		if (!r)
			break;
		length = (size_t)(slash - path);
	}
	if (!length)
		return 0;
	struct asked *directory;
	snprintf(path, sizeof path, "%.*s", (int)length, a->dependency.question.path);
	int r = find_or_ask(broker, &(struct zvm_question){.kind = ZVM_ASK_LOOKUP, .path = path}, &directory);
	/* If it was there when the box asked earlier, the run's first answer stands. */
	if (r == 0 && directory->dependency.answer.error == -ENOENT)
		a->missing = length;
	return r;
}

static int trouble(struct zvm_broker *broker, int error)
{
	if (!broker->trouble)
		broker->trouble = error;
	return error;
}

/* That a run asks too much is its own doing, and the same every time; all else that goes wrong here is ours. */
static int look_up(struct zvm_broker *broker, const struct zvm_question *q, struct asked **ret)
{
	unsigned before = broker->count;
	int r = find_or_ask(broker, q, ret);
	if (r == 0 && broker->count > before && (*ret)->dependency.answer.error == -ENOENT)
		r = find_missing(broker, *ret);
	return r && r != -ENFILE ? trouble(broker, r) : r;
}

int zvm_broker_trouble(const struct zvm_broker *broker)
{
	return broker->trouble;
}

static void put_fd(struct zvm_broker *broker, int *fd)
{
	if (*fd < 0 || broker->open_count < OPEN_MAX)
		return;
	zvm_close_pointer(fd);
	*fd = -1;
	broker->open_count--;
}

/* An answer has been given: its descriptors are kept for a second asking, if there are not too many. */
static void put_back(struct zvm_broker *broker, struct asked *a)
{
	bool had_image = a->image.fd >= 0;
	put_fd(broker, &a->fd);
	put_fd(broker, &a->image.fd);
	a->has_image &= a->image.fd >= 0 || !had_image;
}

int zvm_broker_ask(void *context, const struct zvm_question *question, bool want_fd, struct zvm_answer *ret)
{
	struct zvm_broker *broker = context;
	struct asked *a;
	int r = look_up(broker, question, &a);
	if (r)
		return r;
	*ret = a->dependency.answer;
	ret->text = a->dependency.answer.text ? strdup(a->dependency.answer.text) : NULL;
	if (a->dependency.answer.text && !ret->text)
		return trouble(broker, -ENOMEM);
	if (want_fd && a->fd >= 0) {
		ret->fd = fcntl(a->fd, F_DUPFD_CLOEXEC, 0);
		r = ret->fd < 0 ? trouble(broker, -errno) : 0;
	}
	put_back(broker, a);
	if (r)
		zvm_answer_free(ret);
	return r;
}

static int send_answer(struct zvm_broker *broker, struct asked *a)
{
	const struct zvm_answer *answer = &a->dependency.answer;
	const char *text = a->missing ? a->dependency.question.path : answer->text ? answer->text : "";
	struct zvm_reply reply = {
	        .error = answer->error,
	        .flags = (answer->elsewhere ? ZVM_REPLY_ELSEWHERE : 0u) | (a->fd >= 0 ? ZVM_REPLY_CONTENT : 0u) |
	                 (a->missing ? ZVM_REPLY_MISSING : 0u),
	        .mode = answer->mode,
	        .text_length = (uint32_t)(a->missing ? a->missing : strlen(text)),
	        .size = answer->size,
	        .inode = answer->inode,
	        .content_size = a->content_size,
	        .mtime = answer->mtime,
	        .content = a->content,
	};
	int r = zvm_packet_send_now(broker->socket, &reply, sizeof reply, text, reply.text_length, &a->fd, a->fd >= 0);
	put_back(broker, a);
	return r;
}

static int send_error(struct zvm_broker *broker, int error)
{
	struct zvm_reply reply = {.error = error};
	return zvm_packet_send_now(broker->socket, &reply, sizeof reply, NULL, 0, NULL, 0);
}

static int serve_path(struct zvm_broker *broker, const struct zvm_ask *ask, const char *path)
{
	struct asked *a;
	struct zvm_question question = {.kind = (enum zvm_ask_kind)ask->kind,
	                                .flags = ask->flags & ZVM_ASK_NOFOLLOW,
	                                .path = (char *)(size_t)path};
	if (strlen(path) != ask->text_length || *path != '/' || ask->text_length >= ZVM_PATH_MAX)
		return -EPROTO;
	int r = look_up(broker, &question, &a);
	/* Trouble of ours must not look like an answer: the guest is told something, but the run will have no result.
	 */
	return r ? send_error(broker, r == -ENFILE ? r : -EIO) : send_answer(broker, a);
}

/* --- prepared images --- */

/* Takes the line. */
static int keep_unproven(struct zvm_broker *broker, char *line)
{
	if (!line)
		return -ENOMEM;
	for (unsigned i = 0; i < broker->unproven_count; i++) {
		if (!strcmp(broker->unproven[i], line)) {
			free(line);
			return 0;
		}
	}
	char **more = realloc(broker->unproven, (broker->unproven_count + 1) * sizeof *more);
	if (!more) {
		free(line);
		return -ENOMEM;
	}
	broker->unproven = more;
	more[broker->unproven_count++] = line;
	return 0;
}

static int note_unproven(struct zvm_broker *broker, const char *path, uint32_t places)
{
	char *line;
	return keep_unproven(broker, asprintf(&line, "%s: %u", path, places) < 0 ? NULL : line);
}

static bool is_known(const struct zvm_digest *digest)
{
	return digest->high || digest->low;
}

static int prepare_fd(struct zvm_broker *broker, const struct zvm_digest *digest, const char *path,
                      struct zvm_image *image, int *fd)
{
	const struct zvm_contents *contents = broker->request->contents;
	struct zvm_prepared prepared;
	int r = !is_known(digest) ? zvm_prepare(*fd, &prepared)
	        : zvm_prepared_find(contents, digest, &prepared) == 0
	                ? 0
	                : zvm_prepared_make(contents, digest, *fd, &prepared);
	if (r)
		return r;
	image->prepared = prepared.fd >= 0;
	image->unvetted = prepared.unread;
	image->jumps = prepared.jumps;
	if (prepared.fd >= 0) {
		zvm_close_pointer(fd);
		*fd = prepared.fd;
	}
	return prepared.unproven ? note_unproven(broker, path, prepared.unproven) : 0;
}

int zvm_broker_prepare(struct zvm_broker *broker, struct zvm_program *program)
{
	bool given = !is_known(&program->digest);
	int r = prepare_fd(broker, given ? &broker->request->script_digest : &program->digest, program->executable,
	                   &program->image, &program->fd);
	if (r || !program->has_interpreter)
		return r;
	return prepare_fd(broker, &program->interpreter_digest, program->interpreter_path, &program->interpreter,
	                  &program->interpreter_fd);
}

/* The image of an answer's content, as found or made the first time. */
static int prepare_asked(struct zvm_broker *broker, struct asked *a)
{
	const struct zvm_contents *contents = broker->request->contents;
	const struct zvm_digest *digest = &a->dependency.answer.digest;
	if (a->has_image)
		return 0;
	int r = 0;
	if (zvm_prepared_find(contents, digest, &a->image)) {
		r = a->fd >= 0 ? 0 : reopen(broker, a);
		r = r ? r : zvm_prepared_make(contents, digest, a->fd, &a->image);
	}
	a->has_image = r == 0;
	if (a->image.fd >= 0)
		broker->open_count++;
	return r;
}

/* Only what this box has been given already, by number: so no box learns anything of a content by asking for it. */
static int find_content(const struct zvm_broker *broker, const struct zvm_ask *ask, const char *text,
                        struct asked **ret)
{
	uint32_t number;
	if (ask->text_length != sizeof number)
		return -EPROTO;
	memcpy(&number, text, sizeof number);
	if (number > broker->content_count)
		return -EPROTO;
	*ret = number ? broker->contents[number - 1] : NULL;
	return 0;
}

static int serve_image(struct zvm_broker *broker, const struct zvm_ask *ask, const char *text)
{
	struct asked *a;
	if (find_content(broker, ask, text, &a) || !a)
		return -EPROTO;
	int r = prepare_asked(broker, a);
	if (r) { /* the guest goes on with the file as it is, and so not as it would another time */
		put_back(broker, a);
		trouble(broker, r);
		return send_error(broker, -EIO);
	}
	const struct zvm_prepared *image = &a->image;
	if (image->unproven)
		r = note_unproven(broker, a->dependency.question.path, image->unproven);
	struct zvm_reply reply = {.flags = (image->fd >= 0 ? ZVM_REPLY_CONTENT : 0u) |
	                                   (image->unread ? ZVM_REPLY_UNVETTED : 0u),
	                          .text_length = image->fd >= 0 ? sizeof image->jumps : 0};
	r = r ? r
	      : zvm_packet_send_now(broker->socket, &reply, sizeof reply, &image->jumps, reply.text_length, &image->fd,
	                            image->fd >= 0);
	put_back(broker, a);
	return r;
}

/* --- programs --- */

/* What the guest is told where we have failed. */
static int blame(struct zvm_broker *broker, int error)
{
	trouble(broker, error);
	return -EIO;
}

/* What a box maps of a program, and how. */
struct program_file {
	int fd; /* borrowed; of the image if there is one */
	const struct zvm_prepared *prepared;
	char name[ZVM_PATH_MAX]; /* for info, and /proc/self/exe; "": it has none */
};

static int send_plan(struct zvm_broker *broker, const struct program_file *file, const struct zvm_image *plan,
                     const char *interpreter)
{
	zvm_autobytes struct zvm_bytes strings = {0};
	struct {
		struct zvm_reply reply;
		struct zvm_image plan;
	} head = {{.flags = ZVM_REPLY_CONTENT}, *plan};
	int fd = file->prepared->fd >= 0 ? file->prepared->fd : file->fd;
	head.plan.prepared = file->prepared->fd >= 0;
	head.plan.unvetted = file->prepared->unread;
	head.plan.jumps = file->prepared->jumps;
	zvm_bytes_append(&strings, file->name, strlen(file->name) + 1);
	zvm_bytes_append(&strings, interpreter, strlen(interpreter) + 1);
	if (strings.error)
		return strings.error;
	head.reply.text_length = (uint32_t)(sizeof head.plan + strings.size);
	return zvm_packet_send_now(broker->socket, &head, sizeof head, strings.data, strings.size, &fd, 1);
}

static int plan_file(struct zvm_broker *broker, const struct program_file *file)
{
	struct zvm_image plan;
	char interpreter[ZVM_PATH_MAX];
	const char *reason;
	int r = zvm_plan_image(file->fd, &plan, interpreter, &reason);
	if (r)
		return send_error(broker, r == -ENOEXEC ? r : blame(broker, r));
	if (file->prepared->unproven)
		r = note_unproven(broker, *file->name ? file->name : "(written by the run)", file->prepared->unproven);
	return r ? r : send_plan(broker, file, &plan, interpreter);
}

static int plan_content(struct zvm_broker *broker, struct asked *a)
{
	struct program_file file = {.prepared = &a->image};
	snprintf(file.name, sizeof file.name, "%s", a->dependency.question.path);
	int r = zvm_program_own_name(zvm_broker_ask, broker, file.name);
	r = r ? r : prepare_asked(broker, a);
	r = r || a->fd >= 0 ? r : reopen(broker, a);
	if (r) {
		r = send_error(broker, r == -ENFILE ? r : blame(broker, r));
	} else {
		file.fd = a->fd;
		r = plan_file(broker, &file);
	}
	put_back(broker, a);
	return r;
}

static int plan_written(struct zvm_broker *broker)
{
	const struct zvm_written_file *written;
	int r = zvm_written_end(&broker->written, &written);
	if (r)
		return send_error(broker, r == -EFBIG ? -ENOMEM : blame(broker, r));
	return plan_file(broker, &(struct program_file){.fd = written->fd, .prepared = &written->prepared});
}

static int serve_plan(struct zvm_broker *broker, const struct zvm_ask *ask, const char *text)
{
	struct asked *a;
	int r = find_content(broker, ask, text, &a);
	return r ? r : a ? plan_content(broker, a) : plan_written(broker);
}

/* --- the rest --- */

/* It may end on somebody's terminal: a line, and nothing but text. */
static void serve_trace(const struct zvm_broker *broker, char *text, size_t length)
{
	if (length > TRACE_MAX)
		length = TRACE_MAX;
	for (size_t i = 0; i < length; i++)
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '?';
	if (broker->request->trace)
		broker->request->trace(broker->request->trace_context, text, length);
}

int zvm_broker_serve(struct zvm_broker *broker, struct zvm_report *ret_report)
{
	struct zvm_ask ask;
	ssize_t got = zvm_packet_receive(broker->socket, broker->packet, sizeof broker->packet - 1, NULL, 0, NULL);
	if (got == -EAGAIN)
		return 1;
	if (got == 0 || got == -ECONNRESET)
		return -EPIPE;
	if (got < (ssize_t)sizeof ask)
		return -EPROTO;
	memcpy(&ask, broker->packet, sizeof ask);
	char *text = broker->packet + sizeof ask;
	if (ask.text_length != (size_t)got - sizeof ask)
		return -EPROTO;
	text[ask.text_length] = 0;
	int r;
	switch (ask.kind) {
	case ZVM_ASK_KIND_LOOKUP:
	case ZVM_ASK_KIND_OPEN: r = serve_path(broker, &ask, text); break;
	case ZVM_ASK_KIND_PLAN: r = serve_plan(broker, &ask, text); break;
	case ZVM_ASK_KIND_IMAGE: r = serve_image(broker, &ask, text); break;
	case ZVM_ASK_KIND_BYTES:
		zvm_written_add(&broker->written, text, ask.text_length, broker->request->limits.memory_bytes);
		r = 0;
		break;
	case ZVM_ASK_KIND_TRACE:
		serve_trace(broker, text, ask.text_length);
		r = 0;
		break;
	case ZVM_ASK_KIND_STOPPED: return ask.text_length ? -EPROTO : ZVM_BROKER_STOPPED;
	case ZVM_ASK_KIND_REPORT:
		if (ask.text_length != sizeof *ret_report)
			return -EPROTO;
		memcpy(ret_report, text, sizeof *ret_report);
		return 0;
	default: return -EPROTO;
	}
	return r == 0 ? 1 : r == -EPROTO || r == -EAGAIN ? -EPROTO : -EPIPE;
}

void zvm_broker_take_unproven(struct zvm_broker *broker, char ***ret, unsigned *ret_count)
{
	*ret = broker->unproven;
	*ret_count = broker->unproven_count;
	broker->unproven = NULL;
	broker->unproven_count = 0;
}

int zvm_broker_content(struct zvm_broker *broker, const char *path)
{
	struct asked *a = NULL;
	if (!strcmp(path, broker->request->script))
		return fcntl(broker->request->script_fd, F_DUPFD_CLOEXEC, 0);
	for (unsigned flags = 0; !a && flags <= ZVM_ASK_NOFOLLOW; flags += ZVM_ASK_NOFOLLOW)
		a = find_asked(broker, &(struct zvm_question){ZVM_ASK_OPEN, flags, (char *)(uintptr_t)path});
	if (!a || (a->fd < 0 && (!a->dependency.answer.has_content || reopen(broker, a))))
		return -1;
	int fd = fcntl(a->fd, F_DUPFD_CLOEXEC, 0);
	put_back(broker, a);
	return fd;
}

int zvm_given_take(int *fd, struct zvm_given *ret)
{
	struct stat st;
	if (fstat(*fd, &st) < 0)
		return -errno;
	*ret = (struct zvm_given){zvm_steal_fd(fd), (uint64_t)st.st_size, st.st_mtim};
	return 0;
}

/* A name that it gets or loses changes nothing: the bytes count. */
bool zvm_given_stands(const struct zvm_given *given)
{
	struct stat st;
	return fstat(given->fd, &st) == 0 && (uint64_t)st.st_size == given->size &&
	       st.st_mtim.tv_sec == given->modified.tv_sec && st.st_mtim.tv_nsec == given->modified.tv_nsec;
}

void zvm_given_free(struct zvm_given *list, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close(list[i].fd);
	free(list);
}

int zvm_broker_take_given(struct zvm_broker *broker, struct zvm_given **ret, unsigned *ret_count)
{
	unsigned n = 0;
	int r = 0;
	struct zvm_given *list = calloc(2 * broker->count + 1, sizeof *list);
	if (!list)
		return -ENOMEM;
	for (struct asked *a = broker->asked; a && r == 0; a = a->hh.next) {
		if (a->dependency.answer.has_content && a->fd < 0)
			r = -EMFILE;
		if (r == 0 && a->fd >= 0 && (r = zvm_given_take(&a->fd, &list[n])) == 0)
			n++;
		if (r == 0 && a->image.fd >= 0 && (r = zvm_given_take(&a->image.fd, &list[n])) == 0)
			n++;
		a->has_image = false;
	}
	broker->open_count = 0;
	if (r) {
		zvm_given_free(list, n);
		return r;
	}
	*ret = list;
	*ret_count = n;
	return 0;
}

static int copy_answer(const struct zvm_answer *from, struct zvm_answer *to)
{
	*to = *from;
	to->fd = -1;
	to->text = from->text ? strdup(from->text) : NULL;
	return from->text && !to->text ? -ENOMEM : 0;
}

static int inherit_asked(struct zvm_broker *broker, const struct asked *from)
{
	struct asked *a = new_asked(&from->dependency.question);
	int r = a ? copy_answer(&from->dependency.answer, &a->dependency.answer) : -ENOMEM;
	if (r == 0) {
		a->content_size = from->content_size;
		a->pinned = from->pinned;
		a->missing = from->missing;
		r = number_content(broker, a);
	}
	if (r) {
		if (a)
			forget(a);
		return r;
	}
	HASH_ADD(hh, broker->asked, key, a->key_size, a);
	return 0;
}

int zvm_broker_inherit(struct zvm_broker *broker, const struct zvm_broker *from)
{
	int r = 0;
	for (const struct asked *a = from->asked; a && r == 0; a = a->hh.next)
		r = inherit_asked(broker, a);
	broker->count = from->count;
	broker->texts = from->texts;
	for (unsigned i = 0; i < from->unproven_count && r == 0; i++)
		r = keep_unproven(broker, strdup(from->unproven[i]));
	return r;
}

void zvm_dependencies_free(struct zvm_dependency *list, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		free(list[i].question.path);
		zvm_answer_free(&list[i].answer);
	}
	free(list);
}

int zvm_broker_copy_dependencies(const struct zvm_broker *broker, struct zvm_dependency **ret, unsigned *ret_count)
{
	struct zvm_dependency *list = calloc(broker->count + 1, sizeof *list);
	unsigned n = 0;
	int r = list ? 0 : -ENOMEM;
	for (const struct asked *a = broker->asked; a && r == 0; a = a->hh.next) {
		if (a->pinned)
			continue;
		list[n].question = a->dependency.question;
		list[n].question.path = strdup(a->dependency.question.path);
		r = copy_answer(&a->dependency.answer, &list[n].answer);
		r = list[n++].question.path ? r : -ENOMEM;
	}
	if (r) {
		zvm_dependencies_free(list, n);
		return r;
	}
	*ret = list;
	*ret_count = n;
	return 0;
}

int zvm_broker_take_dependencies(struct zvm_broker *broker, struct zvm_dependency **ret, unsigned *ret_count)
{
	struct asked *a, *next;
	unsigned n = 0;
	struct zvm_dependency *list = calloc(broker->count + 1, sizeof *list);
	*ret = list;
	*ret_count = 0;
	if (!list)
		return -ENOMEM;
	HASH_ITER(hh, broker->asked, a, next)
	{
		if (a->pinned)
			continue;
		list[n++] = a->dependency;
		a->dependency.question.path = NULL;
		a->dependency.answer = (struct zvm_answer){.fd = -1};
	}
	*ret_count = n;
	return 0;
}
