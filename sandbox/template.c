/*
 * Which templates there are. What all runs of a kind have in common (zvm_box_request.kind) is the key, and compared
 * whole. A kind is worth a template when it has been seen twice; one that could not be made is tried again only when
 * the kind has been seen many times more. Those that have not been used for longest go, and with a template its box.
 *
 * A template has read files. Before it serves a run, whoever wants the run is asked whether all of it still holds, and
 * the run inherits the questions with their answers: they are its dependencies as if it had asked them itself.
 */
#include "template.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <uthash.h>
#include <zvm/cleanup.h>
#include "packet.h"

#define SEEN_ENOUGH 2
#define TRY_AGAIN 16 /* times as often */
#define KINDS_MAX 256
#define READY_MAX 12 /* fewer than ZVM_TEMPLATES_MAX: what was dropped takes a moment to be gone */
/* A box is forked in less than a millisecond. Beyond, beginning at the beginning is as fast. */
#define TAKE_MS 50

struct zvm_template {
	int references;
	int status, feed;
	unsigned generation; /* of its launcher */
	struct zvm_broker *broker;
	struct zvm_dependency *dependencies;
	struct zvm_given begun_with[2], *given; /* the program and its interpreter, and all that it was given since */
	unsigned count, given_count;
	pthread_mutex_t lock; /* around the proof */
	void *proof;
	void (*forget)(void *proof);
	struct zvm_bytes trace;
};

struct kind {
	UT_hash_handle hh;
	unsigned seen, enough;
	bool making;
	uint64_t used; /* ms */
	struct zvm_template *template;
	size_t size;
	char key[];
};

struct zvm_templates {
	pthread_mutex_t lock;
	struct kind *kinds;
	unsigned ready;
};

/* --- one --- */

int zvm_template_new(struct zvm_broker *broker, const struct zvm_boxed *box, int feed,
                     const struct zvm_given begun_with[2], struct zvm_template **ret)
{
	struct zvm_template *t = calloc(1, sizeof *t);
	if (!t)
		return -ENOMEM;
	int r = zvm_broker_copy_dependencies(broker, &t->dependencies, &t->count);
	r = r ? r : zvm_broker_take_given(broker, &t->given, &t->given_count);
	if (r) {
		zvm_dependencies_free(t->dependencies, t->count);
		free(t);
		return r;
	}
	memcpy(t->begun_with, begun_with, sizeof t->begun_with);
	t->references = 1;
	t->status = box->status;
	t->generation = box->generation;
	t->feed = feed;
	t->broker = broker;
	pthread_mutex_init(&t->lock, NULL);
	*ret = t;
	return 0;
}

static struct zvm_template *reference(struct zvm_template *t)
{
	__atomic_add_fetch(&t->references, 1, __ATOMIC_RELAXED);
	return t;
}

void zvm_template_unref(struct zvm_template *t)
{
	if (!t || __atomic_sub_fetch(&t->references, 1, __ATOMIC_ACQ_REL))
		return;
	if (t->proof)
		t->forget(t->proof);
	zvm_dependencies_free(t->dependencies, t->count);
	zvm_given_free(t->given, t->given_count);
	for (int i = 0; i < 2; i++)
		zvm_close_pointer(&t->begun_with[i].fd);
	zvm_broker_free(t->broker);
	zvm_bytes_free(&t->trace);
	close(t->status);
	close(t->feed);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

struct zvm_bytes *zvm_template_trace(struct zvm_template *t)
{
	return &t->trace;
}

const struct zvm_broker *zvm_template_broker(const struct zvm_template *t)
{
	return t->broker;
}

/*
 * What it has mapped is in its memory only as long as the store's files are whole: a page that is dropped is read anew.
 * Who begins at the beginning opens them, and that tells damage.
 */
static bool given_stand(const struct zvm_template *t)
{
	bool stand = true;
	for (int i = 0; i < 2 && stand; i++)
		stand = t->begun_with[i].fd < 0 || zvm_given_stands(&t->begun_with[i]);
	for (unsigned i = 0; i < t->given_count && stand; i++)
		stand = zvm_given_stands(&t->given[i]);
	return stand;
}

bool zvm_template_holds(struct zvm_template *t, const struct zvm_box_request *request)
{
	if (!given_stand(t))
		return false;
	pthread_mutex_lock(&t->lock);
	t->forget = request->holder.forget;
	int r = request->holder.holds(request->holder.context, t->dependencies, t->count, &t->proof);
	pthread_mutex_unlock(&t->lock);
	return r == 1;
}

int zvm_template_take(struct zvm_template *t, struct zvm_boxed *ret)
{
	uint32_t number;
	int fds[3];
	unsigned count;
	struct pollfd ready = {.fd = t->feed, .events = POLLIN};
	if (poll(&ready, 1, TAKE_MS) <= 0)
		return -EAGAIN;
	ssize_t got = zvm_packet_receive(t->feed, &number, sizeof number, fds, 3, &count);
	if (got == -EAGAIN) /* another thread was faster */
		return -EAGAIN;
	if (got != sizeof number)
		return -EPIPE;
	if (count != 3) {
		while (count)
			close(fds[--count]);
		return -EPIPE;
	}
	*ret = (struct zvm_boxed){
	        .socket = fds[0], .status = fds[1], .arena = fds[2], .number = number, .generation = t->generation};
	return 0;
}

void zvm_template_give(struct zvm_template *t)
{
	send(t->feed, "t", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* --- all --- */

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

int zvm_templates_new(struct zvm_templates **ret)
{
	struct zvm_templates *templates = calloc(1, sizeof *templates);
	if (!templates)
		return -ENOMEM;
	pthread_mutex_init(&templates->lock, NULL);
	*ret = templates;
	return 0;
}

static struct zvm_template *take_out(struct zvm_templates *templates, struct kind *kind)
{
	struct zvm_template *t = kind->template;
	kind->template = NULL;
	templates->ready -= t != NULL;
	return t;
}

static void forget(struct zvm_templates *templates, struct kind *kind)
{
	HASH_DEL(templates->kinds, kind);
	zvm_template_unref(take_out(templates, kind));
	free(kind);
}

void zvm_templates_forget(struct zvm_templates *templates, unsigned idle_ms)
{
	struct kind *kind, *next;
	pthread_mutex_lock(&templates->lock);
	uint64_t now = now_ms();
	HASH_ITER(hh, templates->kinds, kind, next)
	if (!kind->making && now - kind->used >= idle_ms)
		forget(templates, kind);
	pthread_mutex_unlock(&templates->lock);
}

void zvm_templates_free(struct zvm_templates *templates)
{
	if (!templates)
		return;
	zvm_templates_forget(templates, 0);
	pthread_mutex_destroy(&templates->lock);
	free(templates);
}

/* The least recently used one; with a template, or any that nobody is making one of. */
static struct kind *oldest(const struct zvm_templates *templates, bool ready)
{
	struct kind *found = NULL;
	for (struct kind *kind = templates->kinds; kind; kind = kind->hh.next)
		if (!kind->making && (!ready || kind->template) && (!found || kind->used < found->used))
			found = kind;
	return found;
}

static struct kind *find(const struct zvm_templates *templates, const struct zvm_box_request *request)
{
	struct kind *kind;
	HASH_FIND(hh, templates->kinds, request->kind, request->kind_size, kind);
	return kind;
}

static struct kind *add(struct zvm_templates *templates, const struct zvm_box_request *request)
{
	struct kind *old = HASH_COUNT(templates->kinds) < KINDS_MAX ? NULL : oldest(templates, false);
	struct kind *kind = calloc(1, sizeof *kind + request->kind_size);
	if (!kind)
		return NULL;
	if (old)
		forget(templates, old);
	kind->enough = SEEN_ENOUGH;
	kind->size = request->kind_size;
	memcpy(kind->key, request->kind, request->kind_size);
	HASH_ADD(hh, templates->kinds, key, kind->size, kind);
	return kind;
}

struct zvm_template *zvm_templates_find(struct zvm_templates *templates, const struct zvm_box_request *request,
                                        bool *wanted)
{
	struct zvm_template *t = NULL;
	pthread_mutex_lock(&templates->lock);
	struct kind *kind = find(templates, request);
	kind = kind ? kind : add(templates, request);
	if (kind) {
		kind->used = now_ms();
		kind->seen++;
		t = kind->template ? reference(kind->template) : NULL;
		*wanted = !t && !kind->making && kind->seen >= kind->enough;
	}
	pthread_mutex_unlock(&templates->lock);
	return t;
}

bool zvm_templates_begin(struct zvm_templates *templates, const struct zvm_box_request *request)
{
	pthread_mutex_lock(&templates->lock);
	struct kind *kind = find(templates, request);
	bool begun = kind && !kind->template && !kind->making;
	if (begun)
		kind->making = true;
	pthread_mutex_unlock(&templates->lock);
	return begun;
}

void zvm_templates_end(struct zvm_templates *templates, const struct zvm_box_request *request,
                       struct zvm_template *made)
{
	struct zvm_template *gone = NULL;
	pthread_mutex_lock(&templates->lock);
	struct kind *kind = find(templates, request);
	kind->making = false;
	if (made && templates->ready >= READY_MAX)
		gone = take_out(templates, oldest(templates, true));
	if (made) {
		kind->template = made;
		templates->ready++;
	} else {
		kind->enough = kind->seen * TRY_AGAIN;
	}
	pthread_mutex_unlock(&templates->lock);
	zvm_template_unref(gone);
}

void zvm_templates_drop(struct zvm_templates *templates, struct zvm_template *t)
{
	bool found = false;
	pthread_mutex_lock(&templates->lock);
	for (struct kind *kind = templates->kinds; kind && !found; kind = kind->hh.next) {
		found = kind->template == t;
		if (found) {
			take_out(templates, kind);
			kind->enough = kind->seen + SEEN_ENOUGH;
		}
	}
	pthread_mutex_unlock(&templates->lock);
	if (found)
		zvm_template_unref(t);
}
