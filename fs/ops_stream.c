/*
 * stream/: results that are read while they grow.
 *
 * An open answers at once and asks the engine for the result; reads wait. When the run's last stage starts, the engine
 * says so (zvm_engine_on_start), and every stream that waits for that run is given the file which it writes to: from
 * then on a read is answered with what is in it. A read beyond that waits until inotify reports a write to the file, or
 * until the run is over: then the stream becomes an ordinary handle of the result, which is the same file, and knows
 * its end.
 *
 * Reads are direct, so nothing of a growing file is ever in the page cache. Who closes a stream gives its ticket back,
 * as any reader does; the run goes on as long as somebody else waits for it, and two seconds longer.
 *
 * Locks, in this order: streams->lock, around the list of streams and their watches; handle->lock, around one stream's
 * state and waiting reads; then the engine's. Requests are answered with none but the first held.
 */
#include "ops.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>
#include <zvm/cleanup.h>

struct zvm_waiting_read {
	struct zvm_waiting_read *next;
	fuse_req_t request;
	struct zvm_handle *handle;
	size_t size;
	off_t offset;
	bool interrupted; /* when it was not (or no more) among those that wait; under the handle's lock */
};

struct zvm_streams {
	struct zvm_mount *mount;
	pthread_mutex_t lock;
	struct zvm_handle *open;
	int inotify, stop[2]; /* a pipe: its end is the thread's */
	pthread_t thread;
	bool running;
};

/* --- reading what is there --- */

/* How much of a read can be answered now; 0: nothing yet. With the handle's lock held. */
static size_t there_now(const struct zvm_handle *handle, size_t size, off_t offset)
{
	struct stat st;
	if (handle->live_fd < 0 || fstat(handle->live_fd, &st) < 0 || st.st_size <= offset)
		return 0;
	return (size_t)(st.st_size - offset) < size ? (size_t)(st.st_size - offset) : size;
}

static void reply_live(fuse_req_t request, struct zvm_handle *handle, size_t size, off_t offset)
{
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(size);
	data.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	data.buf[0].fd = handle->live_fd;
	data.buf[0].pos = offset;
	fuse_reply_data(request, &data, 0);
}

static void on_interrupt(fuse_req_t request, void *context)
{
	struct zvm_waiting_read *read = context;
	struct zvm_handle *handle = read->handle;
	bool found = false;
	pthread_mutex_lock(&handle->lock);
	for (struct zvm_waiting_read **at = &handle->waiting; *at && !found; at = &(*at)->next)
		if (*at == read) {
			*at = read->next;
			found = true;
			break;
		}
	read->interrupted = !found;
	pthread_mutex_unlock(&handle->lock);
	if (!found)
		return;
	fuse_reply_err(request, EINTR);
	free(read);
}

enum outlook { OVER, THERE, WAITS, INTERRUPTED };

/* What becomes of a read; one that waits is queued. */
static enum outlook look(struct zvm_handle *handle, struct zvm_waiting_read *read, size_t *ret_there)
{
	enum outlook outlook = WAITS;
	pthread_mutex_lock(&handle->lock);
	*ret_there = 0;
	if (read->interrupted)
		outlook = INTERRUPTED;
	else if (!handle->pending)
		outlook = OVER;
	else if ((*ret_there = there_now(handle, read->size, read->offset)))
		outlook = THERE;
	if (outlook == WAITS) {
		read->next = handle->waiting;
		handle->waiting = read;
	}
	pthread_mutex_unlock(&handle->lock);
	return outlook;
}

/* Answers a read, or lets it wait. It is nobody else's. */
static void try_read(struct zvm_waiting_read *read)
{
	fuse_req_t request = read->request;
	struct zvm_handle *handle = read->handle;
	size_t there, size = read->size;
	off_t offset = read->offset;
	/* Called at once if the interrupt has come already: before the read can be found, so nobody has answered it. */
	fuse_req_interrupt_func(request, on_interrupt, read);
	enum outlook outlook = look(handle, read, &there);
	if (outlook == WAITS) /* and may be answered and freed by now */
		return;
	fuse_req_interrupt_func(request, NULL, NULL);
	if (read->interrupted)
		fuse_reply_err(request, EINTR);
	else if (outlook == THERE)
		reply_live(request, handle, there, offset);
	else
		zvm_read_handle(request, handle, size, offset);
	free(read);
}

void zvm_stream_read(fuse_req_t request, struct zvm_handle *handle, size_t size, off_t offset)
{
	if (!__atomic_load_n(&handle->pending, __ATOMIC_ACQUIRE)) {
		zvm_read_handle(request, handle, size, offset);
		return;
	}
	struct zvm_waiting_read *read = calloc(1, sizeof *read);
	if (!read) {
		fuse_reply_err(request, ENOMEM);
		return;
	}
	*read = (struct zvm_waiting_read){.request = request, .handle = handle, .size = size, .offset = offset};
	try_read(read);
}

/* With the handle's lock held. */
static struct zvm_waiting_read *take_waiting(struct zvm_handle *handle)
{
	struct zvm_waiting_read *waiting = handle->waiting;
	handle->waiting = NULL;
	return waiting;
}

/* Each of them keeps its handle: that is not released while a read of it is unanswered. */
static void try_all(struct zvm_waiting_read *waiting)
{
	while (waiting) {
		struct zvm_waiting_read *next = waiting->next;
		fuse_req_interrupt_func(waiting->request, NULL, NULL);
		try_read(waiting);
		waiting = next;
	}
}

/* Every waiting read is looked at again. Who calls this keeps the handle by the lock of the streams, or has it alone.
 */
static void wake(struct zvm_handle *handle)
{
	pthread_mutex_lock(&handle->lock);
	struct zvm_waiting_read *waiting = take_waiting(handle);
	pthread_mutex_unlock(&handle->lock);
	try_all(waiting);
}

/* --- growth --- */

/* Looks whether its run has started. With the lock of the streams held. */
static void connect_stream(struct zvm_streams *streams, struct zvm_handle *handle)
{
	char path[48];
	int fd = -1;
	pthread_mutex_lock(&handle->lock);
	/* Who may only read what he could read himself waits until it is known which files that is made of. */
	bool fresh = streams->inotify >= 0 && handle->live_fd < 0 && !handle->reader && handle->pending &&
	             handle->ticket && zvm_engine_growing(streams->mount->engine, handle->ticket, &fd) == 0;
	if (fresh)
		handle->live_fd = fd;
	pthread_mutex_unlock(&handle->lock);
	if (!fresh)
		return;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	handle->watch = inotify_add_watch(streams->inotify, path, IN_MODIFY);
	wake(handle); /* what was written before it was watched */
}

static void on_start(void *context)
{
	struct zvm_streams *streams = context;
	struct zvm_handle *handle;
	pthread_mutex_lock(&streams->lock);
	DL_FOREACH(streams->open, handle)
	{
		connect_stream(streams, handle);
	}
	pthread_mutex_unlock(&streams->lock);
}

/* Reports are taken together: what counts is which files have grown, not how often. */
static void take_reports(struct zvm_streams *streams)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct zvm_handle *handle;
	ssize_t n = read(streams->inotify, buffer, sizeof buffer);
	pthread_mutex_lock(&streams->lock);
	for (const char *at = buffer; at < buffer + n;) {
		const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
		DL_FOREACH(streams->open, handle)
		{
			if (handle->watch == event->wd || event->mask & IN_Q_OVERFLOW)
				wake(handle);
		}
		at += sizeof *event + event->len;
	}
	pthread_mutex_unlock(&streams->lock);
}

static void *thread_main(void *context)
{
	struct zvm_streams *streams = context;
	struct pollfd set[2] = {{.fd = streams->inotify, .events = POLLIN}, {.fd = streams->stop[0], .events = POLLIN}};
	for (;;) {
		if (poll(set, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (set[1].revents)
			return NULL;
		if (set[0].revents)
			take_reports(streams);
	}
}

/* --- opening and closing --- */

/* The reads that wait find the result, or why there is none. */
static void on_done(void *context, struct zvm_result *result)
{
	struct zvm_handle *handle = context;
	pthread_mutex_lock(&handle->lock);
	handle->error = result ? zvm_result_open_kind(ZVM_TREE_STREAM, result, handle) : -ENOMEM;
	if (result && !zvm_may_read(handle->reader, result))
		handle->error = -EACCES;
	__atomic_store_n(&handle->pending, false, __ATOMIC_RELEASE);
	handle->ticket = NULL;
	bool closed = handle->closed;
	struct zvm_waiting_read *waiting = take_waiting(handle);
	pthread_mutex_unlock(&handle->lock);
	/* From here on the handle may be let go, and is not to be touched, unless it was before: then it is ours. */
	try_all(waiting);
	if (closed)
		zvm_handle_free(handle);
}

void zvm_stream_open(fuse_req_t request, struct fuse_file_info *info, const struct zvm_target *target, mode_t reader)
{
	struct zvm_streams *streams = zvm_streams_of(request);
	struct zvm_handle *handle = zvm_handle_new();
	struct zvm_ticket *ticket = NULL;
	if (!handle) {
		fuse_reply_err(request, ENOMEM);
		return;
	}
	handle->streams = streams;
	handle->reader = reader;
	handle->pending = true;
	int r = zvm_engine_request(streams->mount->engine, target, on_done, handle, &ticket);
	if (r) {
		zvm_handle_free(handle);
		fuse_reply_err(request, -r);
		return;
	}
	pthread_mutex_lock(&streams->lock);
	pthread_mutex_lock(&handle->lock);
	if (handle->pending)
		handle->ticket = ticket;
	pthread_mutex_unlock(&handle->lock);
	DL_APPEND(streams->open, handle);
	connect_stream(streams, handle); /* it may have joined one that runs already */
	pthread_mutex_unlock(&streams->lock);
	info->direct_io = 1;
	zvm_reply_open(request, info, handle);
}

/* Another stream may watch the same file: the kernel knows them by one number. */
static bool is_watched(const struct zvm_streams *streams, int watch)
{
	const struct zvm_handle *handle;
	DL_FOREACH(streams->open, handle)
	if (handle->watch == watch)
		return true;
	return false;
}

/* No reader has it any more; whether it is freed here or by on_done, which may still come, is settled under its lock.
 */
void zvm_stream_let_go(struct zvm_mount *mount, struct zvm_handle *handle)
{
	struct zvm_streams *streams = handle->streams;
	pthread_mutex_lock(&streams->lock);
	DL_DELETE(streams->open, handle);
	if (handle->watch >= 0 && !is_watched(streams, handle->watch))
		inotify_rm_watch(streams->inotify, handle->watch);
	pthread_mutex_unlock(&streams->lock);
	pthread_mutex_lock(&handle->lock);
	bool pending = handle->pending;
	if (pending && handle->ticket && zvm_engine_abandon(mount->engine, handle->ticket))
		pending = false; /* nobody will call back: it is ours to free */
	handle->closed = true;
	pthread_mutex_unlock(&handle->lock);
	if (!pending)
		zvm_handle_free(handle);
}

/* --- life --- */

static int start_thread(struct zvm_streams *streams)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* the session's signals are for its own thread */
	int r = pthread_create(&streams->thread, NULL, thread_main, streams);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	streams->running = r == 0;
	return -r;
}

int zvm_streams_open(struct zvm_mount *mount, struct zvm_streams **ret)
{
	struct zvm_streams *streams = calloc(1, sizeof *streams);
	if (!streams)
		return -ENOMEM;
	streams->mount = mount;
	pthread_mutex_init(&streams->lock, NULL);
	streams->stop[0] = streams->stop[1] = -1;
	streams->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	int r = pipe2(streams->stop, O_CLOEXEC) < 0 ? -errno : 0;
	if (r == 0 && streams->inotify >= 0)
		r = start_thread(streams);
	if (r) {
		zvm_streams_close(streams);
		return r;
	}
	/* A user may have used up his inotify instances (128 are usual): then streams wait for the end, as ever. */
	if (streams->inotify >= 0)
		zvm_engine_on_start(mount->engine, on_start, streams);
	*ret = streams;
	return 0;
}

void zvm_streams_close(struct zvm_streams *streams)
{
	if (!streams)
		return;
	zvm_close_pointer(&streams->stop[1]);
	if (streams->running)
		pthread_join(streams->thread, NULL);
	zvm_close_pointer(&streams->stop[0]);
	zvm_close_pointer(&streams->inotify);
	pthread_mutex_destroy(&streams->lock);
	free(streams);
}
