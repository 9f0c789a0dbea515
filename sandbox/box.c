/*
 * One run: take a box, tell it what to run, serve its questions until it ends, wait until the kernel has confirmed that
 * nothing of it is left, and say what happened.
 *
 * What the box reports about itself (exit status, counts, what was refused) only concerns its own result, so a lie
 * harms nobody else; everything that others rely on is from our side: sizes of outputs by fstat, times, dependencies,
 * how the processes really died. Limits have a second, hard wall here or in the kernel for a box that does not keep
 * them itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zvm/box.h>
#include <zvm/bytes.h>
#include <zvm/cleanup.h>
#include "broker.h"
#include "launch.h"
#include "packet.h"
#include "symbol.h"
#include "template.h"

/* After its report a box is gone in well under a millisecond; one that is not is killed. */
#define LINGER_MS 50
/* Beyond the guest's own limit: its stack, the loader's mappings, copy-on-write of the monitor. */
#define DATA_SLACK (64ull << 20)
#define STILLBORN_MAX 3
/* A program that takes longer until it looks at its input would take up a processor that others wait for. */
#define TEMPLATE_MAX_US 2000000
/* Who prepares himself asks for files; who does not for so long computes. */
#define TEMPLATE_SILENT_US 100000

struct run {
	const struct zvm_box_request *request;
	struct zvm_boxed box;
	struct zvm_broker *broker;
	struct zvm_report report;
	struct zvm_box_status status;
	uint64_t start_us, deadline_us;
	bool template, stopped;         /* it is to become one, and it has */
	struct zvm_given begun_with[2]; /* then: the program and its interpreter */
	bool heard;                     /* the box has said something */
	bool undead;                    /* nobody could say that it has ended: it may still write */
	bool reported, gone, killed, broken, lost, timed_out, cancelled;
};

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* --- the run order --- */

static void append_words(struct zvm_bytes *out, const char *const *words, uint32_t *count)
{
	for (; *words; words++, (*count)++)
		zvm_bytes_append(out, *words, strlen(*words) + 1);
}

/* The caller may read what he gives us to be written; a box can do no more than append. */
static int append_only(int fd)
{
	char path[48];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int copy = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY);
	return copy < 0 ? -errno : copy;
}

/* What a run has for itself alone; of a template there is none. */
struct streams {
	int fds[3];
	unsigned count;
	uint64_t input_size;
};

static void close_streams(struct streams *s)
{
	for (unsigned i = 1; i < s->count; i++)
		zvm_close_pointer(&s->fds[i]);
}

static int open_streams(const struct zvm_box_request *q, struct streams *s)
{
	struct stat input;
	s->fds[0] = q->stdin_fd;
	s->fds[1] = append_only(q->stdout_fd);
	s->fds[2] = append_only(q->stderr_fd);
	s->count = 3;
	if (s->fds[1] < 0 || s->fds[2] < 0)
		return s->fds[1] < 0 ? s->fds[1] : s->fds[2];
	if (fstat(q->stdin_fd, &input) < 0)
		return -errno;
	s->input_size = (uint64_t)input.st_size;
	return 0;
}

static int send_order(const struct run *run, const struct zvm_program *program, const struct streams *streams,
                      uint64_t arena_size)
{
	const struct zvm_box_request *q = run->request;
	zvm_autobytes struct zvm_bytes strings = {0};
	struct zvm_run_order order = {
	        .magic = ZVM_ORDER_MAGIC,
	        .flags = (q->trace ? ZVM_RUN_TRACE : 0) | (run->template ? ZVM_RUN_TEMPLATE : 0),
	        .memory_limit = q->limits.memory_bytes,
	        .output_limit = q->limits.output_bytes,
	        .cpu_seconds = q->limits.wall_ms / 1000 + 2,
	        .data_limit = q->limits.memory_bytes + DATA_SLACK,
	        .arena_size = arena_size,
	        .input_size = streams->input_size,
	        .has_interpreter = program->has_interpreter,
	        .program = program->image,
	        .interpreter = program->interpreter,
	};
	memcpy(order.seed, q->seed, sizeof order.seed);
	memcpy(order.own_seed, q->own_seed, sizeof order.own_seed);
	zvm_bytes_append(&strings, program->executable, strlen(program->executable) + 1);
	append_words(&strings, (const char *const *)program->arguments, &order.argument_count);
	append_words(&strings, q->environment, &order.environment_count);
	if (strings.error)
		return strings.error;
	if (sizeof order + strings.size > ZVM_PACKET_MAX)
		return -E2BIG;
	order.strings_size = (uint32_t)strings.size;
	order.size = (uint32_t)(sizeof order + strings.size);
	int fds[5], *files = fds + streams->count;
	memcpy(fds, streams->fds, streams->count * sizeof fds[0]);
	files[0] = program->fd;
	files[1] = program->interpreter_fd;
	return zvm_packet_send(run->box.socket, &order, sizeof order, strings.data, strings.size, fds,
	                       streams->count + 1 + program->has_interpreter);
}

static int order_run(const struct run *run, const struct zvm_program *program, uint64_t arena_size)
{
	struct streams streams = {.count = 0};
	int r = run->template ? 0 : open_streams(run->request, &streams);
	r = r ? r : send_order(run, program, &streams, arena_size);
	close_streams(&streams);
	return r;
}

/* That it has died as it waited is told where it is served. */
static int unless_gone(int r)
{
	return r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

/* To a box that goes on where its template stopped. */
static int order_part(const struct run *run)
{
	struct streams streams = {.count = 0};
	struct zvm_part_order order = {.magic = ZVM_ORDER_MAGIC};
	int r = open_streams(run->request, &streams);
	order.input_size = streams.input_size;
	memcpy(order.own_seed, run->request->own_seed, sizeof order.own_seed);
	r = r ? r : zvm_packet_send(run->box.socket, &order, sizeof order, NULL, 0, streams.fds, streams.count);
	close_streams(&streams);
	return r;
}

/* --- serving --- */

static void kill_box(struct run *run)
{
	if (!run->killed)
		zvm_packet_send(run->box.status, "k", 1, NULL, 0, NULL, 0);
	run->killed = true;
}

static void take_status(struct run *run)
{
	ssize_t got = zvm_packet_receive(run->box.status, &run->status, sizeof run->status, NULL, 0, NULL);
	run->gone = true;
	if (got != sizeof run->status) { /* the launcher died, and the box with it */
		run->broken = run->lost = true;
		run->status = (struct zvm_box_status){0};
	}
}

/* A template that is being made: see above. */
static void expect_more(struct run *run)
{
	uint64_t now = now_us(), last = run->start_us + TEMPLATE_MAX_US;
	run->deadline_us = now + TEMPLATE_SILENT_US < last ? now + TEMPLATE_SILENT_US : last;
}

static void take_packet(struct run *run)
{
	int r = zvm_broker_serve(run->broker, &run->report);
	run->heard |= r >= 0;
	if (run->template)
		expect_more(run);
	if (r == ZVM_BROKER_STOPPED && run->template) {
		run->stopped = true;
		return;
	}
	if (r == ZVM_BROKER_STOPPED)
		r = -EPROTO;
	if (r == 0) {
		run->reported = true;
		run->deadline_us = now_us() + LINGER_MS * 1000;
	} else if (r == -EPROTO) {
		run->broken = true;
		kill_box(run);
	}
	/* A box that hung up ends our listening; its death is told on the status socket. */
	if (r <= 0) {
		close(run->box.socket);
		run->box.socket = -1;
	}
}

static int until_deadline_ms(const struct run *run)
{
	uint64_t now = now_us();
	if (now >= run->deadline_us)
		return 0;
	uint64_t ms = (run->deadline_us - now + 999) / 1000;
	return ms > 3600000 ? 3600000 : (int)ms;
}

static void at_deadline(struct run *run)
{
	if (now_us() < run->deadline_us)
		return;
	run->timed_out |= !run->reported;
	kill_box(run);
	run->deadline_us = UINT64_MAX; /* SIGKILL cannot be outlived */
}

static void serve(struct run *run)
{
	while (!run->gone && !run->stopped) {
		struct pollfd set[3] = {
		        {.fd = run->box.socket, .events = POLLIN},
		        {.fd = run->box.status, .events = POLLIN},
		        {.fd = run->cancelled ? -1 : run->request->cancel_fd, .events = POLLIN},
		};
		int ready = poll(set, 3, until_deadline_ms(run));
		if (ready < 0 && errno != EINTR)
			break;
		if (ready > 0 && set[0].revents)
			take_packet(run);
		else if (ready > 0 && set[1].revents)
			take_status(run);
		if (ready > 0 && set[2].revents) {
			run->cancelled = true;
			kill_box(run);
		}
		at_deadline(run);
	}
}

/* --- the verdict --- */

static char *printable(const char *text, size_t room)
{
	char *copy = strndup(text, room);
	for (char *c = copy; c && *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return copy;
}

static void set_message(struct zvm_box_outcome *out, char *message)
{
	free(out->message);
	out->message = message;
}

/* No result, and the guest never heard why. */
static void blame_host(struct zvm_box_outcome *out, int error)
{
	char *text;
	out->end = ZVM_END_BROKEN;
	out->error = error;
	if (asprintf(&text, "%s: %s", out->message ? out->message : "the host cannot read a file", strerror(-error)) >=
	    0)
		set_message(out, text);
}

/* The line about a crash, with the function that it was in. */
static void name_fault(const struct run *run, struct zvm_box_outcome *out)
{
	char path[sizeof run->report.fault_file + 1] = "", *text;
	memcpy(path, run->report.fault_file, sizeof run->report.fault_file);
	if (*path != '/')
		return;
	zvm_autofd int fd = zvm_broker_content(run->broker, path);
	zvm_autofree char *symbol = fd < 0 ? NULL : zvm_symbol_at(fd, run->report.fault_offset);
	if (symbol && asprintf(&text, "%s, in %s", out->message, symbol) >= 0)
		set_message(out, text);
}

static void judge_report(const struct run *run, struct zvm_box_outcome *out)
{
	const struct zvm_report *r = &run->report;
	switch (r->end) {
	case ZVM_REPORT_EXIT:
		out->end = ZVM_END_EXIT;
		out->exit_status = r->status & 0xff;
		break;
	case ZVM_REPORT_SIGNAL:
		out->end = ZVM_END_SIGNAL;
		out->signal = r->status > 0 && r->status <= 64 ? r->status : SIGKILL;
		break;
	case ZVM_REPORT_OUTPUT_LIMIT: out->end = ZVM_END_OUTPUT; break;
	case ZVM_REPORT_DEADLOCK: out->end = ZVM_END_DEADLOCK; break;
	case ZVM_REPORT_START_FAILED:
		out->end = r->status == ENOMEM ? ZVM_END_MEMORY : ZVM_END_REFUSED;
		out->error = r->status == ENOMEM || r->status == E2BIG || r->status == ENOEXEC ? -r->status : -ENOEXEC;
		break;
	default: out->end = ZVM_END_BROKEN;
	}
	if (r->message[0])
		set_message(out, printable(r->message, sizeof r->message));
	if (r->end == ZVM_REPORT_SIGNAL && out->message)
		name_fault(run, out);
	if (r->end == ZVM_REPORT_HOST_FAILED)
		blame_host(out, r->status > 0 && r->status < 4096 ? -r->status : -EIO);
}

/* Without a report: which wall did it run into? */
static void judge_death(const struct run *run, struct zvm_box_outcome *out)
{
	int status = run->status.wait_status;
	out->end = ZVM_END_BROKEN;
	if (WIFSIGNALED(status)) {
		int number = WTERMSIG(status);
		if (number == SIGXCPU)
			out->end = ZVM_END_TIME;
		else if (number == SIGXFSZ)
			out->end = ZVM_END_OUTPUT;
		else if (number == SIGSYS) { /* i386 or x32: the guest's own doing, and the same every time */
			out->end = ZVM_END_SIGNAL;
			out->signal = SIGSYS;
			set_message(out, strdup("killed by a system call of another architecture (i386 or x32)"));
		} else if (number == SIGKILL || number == SIGBUS)
			out->end = run->status.cpu_us / 1000 > run->request->limits.wall_ms ? ZVM_END_TIME
			                                                                    : ZVM_END_MEMORY;
	}
	if (out->end == ZVM_END_BROKEN)
		set_message(out, strdup("the box ended without a report"));
}

static void judge(const struct run *run, struct zvm_box_outcome *out)
{
	uint64_t limit = run->request->limits.output_bytes;
	if (run->cancelled)
		out->end = ZVM_END_CANCELLED;
	else if (run->broken)
		out->end = ZVM_END_BROKEN;
	else if (run->timed_out)
		out->end = ZVM_END_TIME;
	else if (run->reported)
		judge_report(run, out);
	else
		judge_death(run, out);
	if (zvm_broker_trouble(run->broker) && !run->cancelled && !run->timed_out) {
		set_message(out, NULL);
		blame_host(out, zvm_broker_trouble(run->broker));
	}
	if (out->stdout_size > limit || out->stderr_size > limit)
		out->end = ZVM_END_OUTPUT;
}

/* --- what the record keeps --- */

static void add_refused(struct zvm_box_outcome *out, char *name)
{
	char **more = name ? realloc(out->refused, (out->refused_count + 1) * sizeof *more) : NULL;
	if (!more) {
		free(name);
		return;
	}
	out->refused = more;
	more[out->refused_count++] = name;
}

static bool has_detail(const struct zvm_report *r, unsigned count, const char *name)
{
	size_t n = strlen(name);
	for (unsigned i = 0; i < count; i++)
		if (!strncmp(r->refused_detail[i], name, n) &&
		    (r->refused_detail[i][n] == '(' || !r->refused_detail[i][n]))
			return true;
	return false;
}

/* Names of the calls, but where a detail says more ("socket(AF_INET)") only the detail. */
static void list_refused(const struct zvm_report *r, struct zvm_box_outcome *out)
{
	unsigned details = r->refused_count < ZVM_REFUSED_MAX ? r->refused_count : ZVM_REFUSED_MAX;
	for (unsigned i = 0; i < details; i++)
		add_refused(out, printable(r->refused_detail[i], sizeof r->refused_detail[i]));
	for (unsigned n = 0; n < ZVM_CALLS_MAX; n++) {
		char room[32];
		const char *name = zvm_call_name(n, room);
		if ((r->refused[n / 64] >> (n % 64) & 1) && !has_detail(r, details, name))
			add_refused(out, strdup(name));
	}
}

static void list_calls(const struct zvm_report *r, struct zvm_box_outcome *out)
{
	unsigned n = 0;
	for (unsigned i = 0; i < ZVM_CALLS_MAX; i++)
		n += r->calls_by_number[i] != 0;
	out->calls = calloc(n + 1, sizeof *out->calls);
	for (unsigned i = 0; i < ZVM_CALLS_MAX && out->calls; i++)
		if (r->calls_by_number[i])
			out->calls[out->call_count++] = (struct zvm_call_count){i, r->calls_by_number[i]};
}

static void list_walls(struct zvm_launcher *launcher, struct zvm_box_outcome *out)
{
	struct zvm_wall_report reports[ZVM_WALLS_MAX];
	unsigned n = zvm_launcher_walls(launcher, reports);
	out->walls = calloc(n + 1, sizeof *out->walls);
	for (unsigned i = 0; out->walls && i < n; i++)
		if (reports[i].stands && (out->walls[out->wall_count] = strdup(reports[i].name)))
			out->wall_count++;
}

static uint64_t size_of(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void account(const struct run *run, struct zvm_box_outcome *out)
{
	out->stdout_size = size_of(run->request->stdout_fd);
	out->stderr_size = size_of(run->request->stderr_fd);
	out->wall_us = now_us() - run->start_us;
	out->cpu_us = run->status.cpu_us;
	out->max_rss_kib = run->status.max_rss_kib;
	out->faults = run->status.faults;
	if (!run->reported)
		return;
	out->system_calls = run->report.system_calls;
	out->virtual_ns = run->report.virtual_ns;
	out->peak_memory = run->report.peak_memory;
	out->bytes_read = run->report.bytes_read;
	out->bytes_written = run->report.bytes_written;
	list_calls(&run->report, out);
	out->not_vetted = run->report.remarks & ZVM_REMARK_NOT_VETTED;
	out->real_time = run->report.remarks & ZVM_REMARK_REAL_TIME;
	list_refused(&run->report, out);
}

/* A box with its order in it has been served until it ended; or there is trouble, and it has to end. */
static void finish(struct zvm_launcher *launcher, struct run *run)
{
	if (!run->gone) {
		kill_box(run);
		take_status(run);
	}
	zvm_meter_stop(run->request->meter);
	zvm_boxed_close(&run->box);
	if (run->lost)
		run->undead = !zvm_launcher_lost(launcher, run->box.generation);
}

/* Takes a box and has it run, or begin to, until it has ended or stopped. */
static int start_program(struct zvm_launcher *launcher, struct run *run, const struct zvm_program *program)
{
	uint64_t arena_size = (run->request->limits.memory_bytes + ZVM_ARENA_OVERHEAD) & ~4095ull;
	if (arena_size > ZVM_ARENA_MAPPED)
		arena_size = ZVM_ARENA_MAPPED;
	int r = zvm_launcher_take(launcher, arena_size, &run->box);
	if (r)
		return r;
	zvm_meter_start(run->request->meter, launcher, &run->box);
	r = zvm_broker_attach(run->broker, run->box.socket);
	r = r ? r : unless_gone(order_run(run, program, arena_size));
	if (r == 0)
		serve(run);
	if (r || !run->stopped)
		finish(launcher, run);
	return r;
}

static void refuse(const struct zvm_program *program, int error, struct zvm_box_outcome *out)
{
	out->end = ZVM_END_REFUSED;
	out->error = error;
	out->message = program->message ? strdup(program->message) : NULL;
}

static int keep_program(struct run *run, const struct zvm_program *program)
{
	int r = 0;
	const int fds[2] = {program->fd, program->has_interpreter ? program->interpreter_fd : -1};
	for (int i = 0; i < 2 && r == 0; i++) {
		zvm_autofd int copy = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		if (fds[i] >= 0)
			r = copy < 0 ? -errno : zvm_given_take(&copy, &run->begun_with[i]);
	}
	return r;
}

/* From the beginning. */
static int run_whole(struct zvm_launcher *launcher, struct run *run, struct zvm_box_outcome *ret)
{
	const struct zvm_box_request *request = run->request;
	struct zvm_program program;
	int r = zvm_program_resolve(zvm_broker_ask, run->broker, request->script, request->script_fd, NULL,
	                            request->arguments, request->environment, &program);
	r = r ? r : zvm_broker_prepare(run->broker, &program);
	if (zvm_program_is_refusal(r)) {
		refuse(&program, r, ret);
		r = 0;
	} else if (r == 0) {
		r = run->template ? keep_program(run, &program) : 0;
		r = r ? r : start_program(launcher, run, &program);
		if (!run->stopped) {
			account(run, ret);
			judge(run, ret);
		}
	}
	zvm_program_free(&program);
	return r;
}

/* What was traced as the template was made. */
static void trace_again(const struct zvm_box_request *request, const struct zvm_bytes *lines)
{
	const char *at = (const char *)lines->data, *end = at + lines->size;
	for (const char *next; request->trace && at < end && (next = memchr(at, '\n', (size_t)(end - at)));
	     at = next + 1)
		request->trace(request->trace_context, at, (size_t)(next - at));
}

static void keep_line(void *context, const char *line, size_t length)
{
	zvm_bytes_append(context, line, length);
	zvm_bytes_append(context, "\n", 1);
}

/* In a box that goes on from a template. */
static int run_rest(struct zvm_launcher *launcher, struct run *run, struct zvm_template *t, struct zvm_box_outcome *ret)
{
	int r = zvm_broker_inherit(run->broker, zvm_template_broker(t));
	zvm_meter_start(run->request->meter, launcher, &run->box);
	r = r ? r : zvm_broker_attach(run->broker, run->box.socket);
	r = r ? r : unless_gone(order_part(run));
	trace_again(run->request, zvm_template_trace(t));
	if (r == 0)
		serve(run);
	finish(launcher, run);
	zvm_template_give(t);
	account(run, ret);
	judge(run, ret);
	ret->from_template = true;
	return r;
}

/* The template of such runs, if there is one that can serve this run. */
static struct zvm_template *find_template(struct zvm_launcher *launcher, const struct zvm_box_request *request,
                                          struct zvm_box_outcome *ret)
{
	struct zvm_templates *templates = zvm_launcher_templates(launcher);
	bool first = zvm_launcher_template_first(launcher);
	if (!request->kind || (request->trace && !first) || !zvm_launcher_keeps_boxes(launcher))
		return NULL;
	struct zvm_template *t = zvm_templates_find(templates, request, &ret->wants_template);
	if (!t && first && zvm_box_template(launcher, request) == 0)
		t = zvm_templates_find(templates, request, &ret->wants_template);
	if (!t || zvm_template_holds(t, request))
		return t;
	zvm_templates_drop(templates, t);
	zvm_template_unref(t);
	return NULL;
}

static int new_run(struct run *run, const struct zvm_box_request *request)
{
	*run = (struct run){.request = request,
	                    .box = {.socket = -1, .status = -1, .arena = -1},
	                    .begun_with = {{.fd = -1}, {.fd = -1}},
	                    .start_us = now_us()};
	run->deadline_us = run->start_us + request->limits.wall_ms * 1000;
	return zvm_broker_new(request, &run->broker);
}

/* The box was dead when it got its order: what it was to run has not begun. */
static bool is_stillborn(const struct run *run, int r, const struct zvm_box_outcome *out)
{
	return !r && !run->heard && !run->undead && !run->cancelled && !run->timed_out && !out->stdout_size &&
	       !out->stderr_size && (out->end == ZVM_END_MEMORY || out->end == ZVM_END_BROKEN);
}

static int run_once(struct zvm_launcher *launcher, struct run *run, struct zvm_box_outcome *ret)
{
	struct zvm_template *t = find_template(launcher, run->request, ret);
	int r = t ? zvm_template_take(t, &run->box) : -ENOENT;
	if (r) {
		if (t && r != -EAGAIN)
			zvm_templates_drop(zvm_launcher_templates(launcher), t);
		zvm_template_unref(t);
		return run_whole(launcher, run, ret);
	}
	r = run_rest(launcher, run, t, ret);
	if (is_stillborn(run, r, ret))
		zvm_templates_drop(zvm_launcher_templates(launcher), t);
	zvm_template_unref(t);
	return r;
}

/* Boxes wait for their runs, and may be killed as they wait, each alone or all together with what they were forked
 * from. */
static int run_anyhow(struct zvm_launcher *launcher, struct run *run, struct zvm_box_outcome *ret)
{
	const struct zvm_box_request *request = run->request;
	int r = run_once(launcher, run, ret);
	for (unsigned i = 0; i < STILLBORN_MAX && is_stillborn(run, r, ret); i++) {
		zvm_broker_free(run->broker);
		run->broker = NULL;
		zvm_box_outcome_free(ret);
		r = new_run(run, request);
		r = r ? r : run_once(launcher, run, ret);
	}
	return r;
}

int zvm_box_run(struct zvm_launcher *launcher, const struct zvm_box_request *request, struct zvm_box_outcome *ret)
{
	struct run run;
	*ret = (struct zvm_box_outcome){0};
	int r = new_run(&run, request);
	if (r)
		return r;
	r = run_anyhow(launcher, &run, ret);
	if (r == 0) {
		list_walls(launcher, ret);
		r = zvm_broker_take_dependencies(run.broker, &ret->dependencies, &ret->dependency_count);
		zvm_broker_take_unproven(run.broker, &ret->unproven, &ret->unproven_count);
	}
	if (r)
		zvm_box_outcome_free(ret);
	zvm_broker_free(run.broker);
	return r;
}

/* --- templates --- */

/* The launcher has the box from now on; what it was asked and answered is kept for those that will go on from it. */
static int keep_stopped(struct zvm_launcher *launcher, struct run *run, struct zvm_template **ret)
{
	int feed[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, feed) < 0)
		return -errno;
	/* Several threads may see one box there: who comes too late must not wait for as long as a run takes. */
	int r = fcntl(feed[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	r = r ? r : zvm_launcher_template(launcher, &run->box, feed[1]);
	close(feed[1]);
	r = r ? r : zvm_template_new(run->broker, &run->box, feed[0], run->begun_with, ret);
	if (r) {
		close(feed[0]);
		return r;
	}
	run->broker = NULL;
	run->box.status = run->begun_with[0].fd = run->begun_with[1].fd = -1;
	return 0;
}

static int make_template(struct zvm_launcher *launcher, const struct zvm_box_request *request,
                         struct zvm_template **ret)
{
	struct run run;
	struct zvm_box_outcome unused = {0};
	zvm_autobytes struct zvm_bytes lines = {0};
	struct zvm_box_request traced = *request;
	traced.trace_context = &lines;
	traced.trace = request->trace ? keep_line : NULL;
	int r = new_run(&run, &traced);
	if (r)
		return r;
	run.template = true;
	expect_more(&run);
	r = run_whole(launcher, &run, &unused);
	r = r || run.stopped ? r : -ENOENT;
	r = r ? r : zvm_broker_trouble(run.broker);
	r = r ? r : keep_stopped(launcher, &run, ret);
	if (r == 0) {
		*zvm_template_trace(*ret) = lines;
		lines = (struct zvm_bytes){0};
	}
	for (int i = 0; i < 2; i++)
		zvm_close_pointer(&run.begun_with[i].fd);
	zvm_boxed_close(&run.box);
	zvm_box_outcome_free(&unused);
	zvm_broker_free(run.broker);
	return r;
}

int zvm_box_template(struct zvm_launcher *launcher, const struct zvm_box_request *request)
{
	struct zvm_templates *templates = zvm_launcher_templates(launcher);
	struct zvm_template *made = NULL;
	if (!request->kind || !zvm_launcher_keeps_boxes(launcher))
		return -EOPNOTSUPP;
	if (!zvm_templates_begin(templates, request))
		return -EEXIST;
	int r = make_template(launcher, request, &made);
	zvm_templates_end(templates, request, made);
	return r;
}

void zvm_box_forget_templates(struct zvm_launcher *launcher, unsigned idle_ms)
{
	zvm_templates_forget(zvm_launcher_templates(launcher), idle_ms);
}

static void free_strings(char **strings, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		free(strings[i]);
	free(strings);
}

void zvm_box_outcome_free(struct zvm_box_outcome *out)
{
	free(out->message);
	free(out->calls);
	free_strings(out->refused, out->refused_count);
	free_strings(out->walls, out->wall_count);
	free_strings(out->unproven, out->unproven_count);
	for (unsigned i = 0; i < out->dependency_count; i++) {
		free(out->dependencies[i].question.path);
		zvm_answer_free(&out->dependencies[i].answer);
	}
	free(out->dependencies);
	*out = (struct zvm_box_outcome){0};
}
