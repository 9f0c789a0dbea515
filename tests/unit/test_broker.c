/*
 * The broker against a box that the guest has taken over: whatever is sent, the host answers at most once, gives out
 * only what the view shows, keeps no more descriptors than it may, never waits, and knows when an answer was not a true
 * one.
 */
#include "scratch.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "broker.h"
#include "packet.h"

static struct zvm_view *view;
static struct zvm_broker *broker;
static struct zvm_box_request request;
static struct zvm_report report;
static int box, host;
static int failing; /* what keeping a file answers; 0: it works */

/* --- contents --- */

static int keep_bytes(void *context, const void *bytes, size_t size, struct zvm_digest *ret, int *ret_fd)
{
	(void)context;
	*ret = (struct zvm_digest){.low = size};
	if (!ret_fd)
		return 0;
	*ret_fd = memfd_create("content", MFD_CLOEXEC);
	return *ret_fd >= 0 && pwrite(*ret_fd, bytes, size, 0) == (ssize_t)size ? 0 : -EIO;
}

static int keep_file(void *context, int fd, const struct stat *st, struct zvm_digest *ret, uint64_t *ret_size,
                     int *ret_fd)
{
	char bytes[4096];
	if (failing)
		return failing;
	if (st->st_size > (off_t)sizeof bytes) { /* the host's programs, which do not change here */
		*ret = (struct zvm_digest){.low = st->st_ino};
		*ret_size = (uint64_t)st->st_size;
		if (ret_fd)
			*ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		return ret_fd && *ret_fd < 0 ? -errno : 0;
	}
	ssize_t n = pread(fd, bytes, sizeof bytes, 0);
	if (n < 0)
		return -EIO;
	*ret_size = (uint64_t)n;
	int r = keep_bytes(context, bytes, (size_t)n, ret, ret_fd);
	ret->high = n ? (uint64_t)bytes[0] : 0;
	return r;
}

static const struct zvm_contents contents = {.keep_file = keep_file, .keep_bytes = keep_bytes};

/* --- the conversation --- */

static int set_up(void **state)
{
	int ends[2];
	failing = 0;
	if (scratch_make(state) || mkdir(in_scratch("scripts"), 0755) || zvm_view_open(in_scratch("scripts"), &view))
		return -1;
	put_text(in_scratch("scripts/file"), "content");
	put_text(in_scratch("scripts/run"), "#!/bin/cat\n");
	put_text(in_scratch("secret"), "SECRET");
	request = (struct zvm_box_request){.view = view, .contents = &contents};
	if (chmod(in_scratch("scripts/run"), 0755) || zvm_broker_new(&request, &broker) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -1;
	host = ends[0];
	box = ends[1];
	zvm_broker_attach(broker, host);
	alarm(60); /* the host must never wait for a box */
	return 0;
}

static int tear_down(void **state)
{
	alarm(0);
	close(host);
	close(box);
	zvm_broker_free(broker);
	zvm_view_close(view);
	return scratch_remove(state);
}

static int serve(const void *packet, size_t size)
{
	assert_int_equal(zvm_packet_send(box, packet, size, NULL, 0, NULL, 0), 0);
	return zvm_broker_serve(broker, &report);
}

static int ask_bytes(uint32_t kind, const void *text, size_t size)
{
	struct zvm_ask ask = {.kind = kind, .text_length = (uint32_t)size};
	assert_int_equal(zvm_packet_send(box, &ask, sizeof ask, text, size, NULL, 0), 0);
	return zvm_broker_serve(broker, &report);
}

static int ask(uint32_t kind, const char *path)
{
	return ask_bytes(kind, path, strlen(path));
}

struct answer {
	struct zvm_reply reply;
	int fds[ZVM_PACKET_FDS_MAX];
	unsigned fd_count;
};

static struct answer receive(void)
{
	static char packet[ZVM_PACKET_MAX];
	struct answer a;
	ssize_t got = zvm_packet_receive(box, packet, sizeof packet, a.fds, ZVM_PACKET_FDS_MAX, &a.fd_count);
	assert_true(got >= (ssize_t)sizeof a.reply);
	memcpy(&a.reply, packet, sizeof a.reply);
	assert_int_equal(a.reply.text_length, got - (ssize_t)sizeof a.reply);
	return a;
}

static void assert_no_reply(void)
{
	char byte;
	assert_true(recv(box, &byte, 1, MSG_DONTWAIT) < 0);
	assert_int_equal(errno, EAGAIN);
}

/* The errno that a question gets; what it holds is checked if there is text. */
static int error_of(uint32_t kind, const char *path, const char *text)
{
	assert_int_equal(ask(kind, path), 1);
	struct answer a = receive();
	assert_int_equal(a.fd_count, text ? 1 : 0);
	if (text)
		assert_true(holds(a.fds[0], text, strlen(text)) && a.reply.content_size == strlen(text));
	for (unsigned i = 0; i < a.fd_count; i++)
		close(a.fds[i]);
	assert_no_reply();
	return a.reply.error;
}

/* --- answers --- */

static void questions_are_answered_and_written_down_once(void **state)
{
	struct zvm_dependency *list;
	unsigned count;
	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/file", "content"), 0);
		assert_int_equal(error_of(ZVM_ASK_KIND_LOOKUP, "/script/file", NULL), 0);
		assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/nosuch", NULL), -ENOENT);
	}
	assert_int_equal(zvm_broker_trouble(broker), 0);
	assert_int_equal(zvm_broker_take_dependencies(broker, &list, &count), 0);
	assert_int_equal(count, 3);
	assert_string_equal(list[0].question.path, "/script/file");
	assert_int_equal(list[2].answer.error, -ENOENT);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(list[i].answer.fd, -1);
		free(list[i].question.path);
		zvm_answer_free(&list[i].answer);
	}
	free(list);
}

static void a_run_sees_one_snapshot_of_a_changing_file(void **state)
{
	(void)state;
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/file", "content"), 0);
	put_text(in_scratch("scripts/file"), "changed");
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/file", "content"), 0);
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/nosuch", NULL), -ENOENT);
	put_text(in_scratch("scripts/nosuch"), "there now");
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/nosuch", NULL), -ENOENT);
}

static void the_highest_missing_directory_is_told_and_written_down(void **state)
{
	static const char path[] = "/script/none/at/all", directory[] = "/script/none";
	struct zvm_dependency *list;
	unsigned count;
	(void)state;
	assert_int_equal(ask(ZVM_ASK_KIND_OPEN, path), 1);
	struct answer a = receive();
	assert_int_equal(a.reply.error, -ENOENT);
	assert_int_equal(a.reply.flags, ZVM_REPLY_MISSING);
	assert_int_equal(a.reply.text_length, sizeof directory - 1);
	/* Where only the last component is missing there is nothing more to tell. */
	assert_int_equal(ask(ZVM_ASK_KIND_LOOKUP, "/script/nosuch"), 1);
	a = receive();
	assert_true(a.reply.error == -ENOENT && !a.reply.flags && !a.reply.text_length);
	assert_int_equal(zvm_broker_take_dependencies(broker, &list, &count), 0);
	assert_int_equal(count, 3);
	assert_string_equal(list[0].question.path, path);
	assert_string_equal(list[1].question.path, directory);
	assert_true(list[1].question.kind == ZVM_ASK_LOOKUP && list[1].answer.error == -ENOENT);
	for (unsigned i = 0; i < count; i++)
		free(list[i].question.path);
	free(list);
}

static void nothing_outside_the_view_is_given(void **state)
{
	static const char *const paths[] = {"/etc/shadow", "/root", "/proc/self/maps", "/script/nosuch/../../secret",
	                                    "/"};
	(void)state;
	assert_int_equal(symlink("../secret", in_scratch("scripts/link")), 0);
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
		assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, paths[i], NULL), -ENOENT);
	assert_int_equal(ask(ZVM_ASK_KIND_OPEN, "/script/link"), 1);
	struct answer a = receive();
	assert_int_equal(a.fd_count, 0);
	assert_int_equal(a.reply.flags, ZVM_REPLY_ELSEWHERE);
}

/* --- templates --- */

/* What has been asked so far, as another broker's, and this one's conversation goes on with that. */
static void go_on_from_template(void)
{
	struct zvm_broker *template = broker;
	struct zvm_given *given;
	unsigned count;
	assert_int_equal(zvm_broker_take_given(template, &given, &count), 0);
	for (unsigned i = 0; i < count; i++)
		assert_true(zvm_given_stands(&given[i]));
	zvm_given_free(given, count);
	assert_int_equal(zvm_broker_new(&request, &broker), 0);
	assert_int_equal(zvm_broker_inherit(broker, template), 0);
	assert_int_equal(zvm_broker_attach(broker, host), 0);
	zvm_broker_free(template);
}

static void questions_and_answers_are_inherited(void **state)
{
	struct zvm_dependency *list, *copies;
	unsigned count, copied;
	(void)state;
	assert_int_equal(ask(ZVM_ASK_KIND_OPEN, "/script/none/at/all"), 1);
	receive();
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/file", "content"), 0);
	assert_int_equal(zvm_broker_copy_dependencies(broker, &copies, &copied), 0);
	go_on_from_template();
	put_text(in_scratch("scripts/other"), "new");
	assert_int_equal(mkdir(in_scratch("scripts/none"), 0755), 0);
	assert_int_equal(ask(ZVM_ASK_KIND_OPEN, "/script/none/at/all"), 1);
	assert_int_equal(receive().reply.flags, ZVM_REPLY_MISSING);
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/file", "content"), 0);
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/other", "new"), 0);
	assert_int_equal(zvm_broker_trouble(broker), 0);
	assert_int_equal(zvm_broker_take_dependencies(broker, &list, &count), 0);
	assert_true(copied == 3 && count == 4);
	for (unsigned i = 0; i < copied; i++) {
		assert_string_equal(list[i].question.path, copies[i].question.path);
		assert_true(zvm_answer_equal(&list[i].answer, &copies[i].answer));
	}
	zvm_dependencies_free(list, count);
	zvm_dependencies_free(copies, copied);
}

static void what_a_template_has_opened_and_is_another_now_is_trouble(void **state)
{
	(void)state;
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/file", "content"), 0);
	go_on_from_template();
	put_text(in_scratch("scripts/file"), "something else");
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/file", NULL), -EIO);
	assert_int_equal(zvm_broker_trouble(broker), -ESTALE);
}

static void contents_keep_their_numbers(void **state)
{
	uint32_t number = 1;
	(void)state;
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/run", "#!/bin/cat\n"), 0);
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/file", "content"), 0);
	go_on_from_template();
	assert_int_equal(ask(ZVM_ASK_KIND_OPEN, "/script/file"), 1);
	struct answer a = receive();
	assert_int_equal(a.reply.content, 2);
	close(a.fds[0]);
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_IMAGE, &number, sizeof number), 1);
	assert_int_equal(receive().reply.error, 0);
	number = 3;
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_IMAGE, &number, sizeof number), -EPROTO);
}

static void only_a_box_without_words_has_stopped(void **state)
{
	(void)state;
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_STOPPED, "x", 1), -EPROTO);
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_STOPPED, NULL, 0), ZVM_BROKER_STOPPED);
	assert_no_reply();
}

/* --- programs --- */

static const char *plan_of(uint32_t content, struct answer *ret, struct zvm_image *plan)
{
	static char packet[ZVM_PACKET_MAX];
	struct zvm_ask ask = {.kind = ZVM_ASK_KIND_PLAN, .text_length = sizeof content};
	assert_int_equal(zvm_packet_send(box, &ask, sizeof ask, &content, sizeof content, NULL, 0), 0);
	assert_int_equal(zvm_broker_serve(broker, &report), 1);
	ssize_t got = zvm_packet_receive(box, packet, sizeof packet, ret->fds, ZVM_PACKET_FDS_MAX, &ret->fd_count);
	assert_true(got >= (ssize_t)sizeof ret->reply);
	memcpy(&ret->reply, packet, sizeof ret->reply);
	assert_int_equal(ret->reply.text_length, got - (ssize_t)sizeof ret->reply);
	if (ret->reply.error) {
		assert_int_equal(ret->fd_count, 0);
		return "";
	}
	assert_int_equal(ret->fd_count, 1);
	assert_int_equal(fcntl(ret->fds[0], F_GETFL) & O_ACCMODE, O_RDONLY);
	memcpy(plan, packet + sizeof ret->reply, sizeof *plan);
	return packet + sizeof ret->reply + sizeof *plan; /* two strings */
}

static uint32_t open_content(const char *path)
{
	assert_int_equal(ask(ZVM_ASK_KIND_OPEN, path), 1);
	struct answer a = receive();
	assert_int_equal(a.reply.error, 0);
	assert_int_equal(a.fd_count, 1);
	close(a.fds[0]);
	return a.reply.content;
}

static void send_bytes(const char *path)
{
	char bytes[60000];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0;)
		assert_int_equal(ask_bytes(ZVM_ASK_KIND_BYTES, bytes, (size_t)n), 1);
	close(fd);
	assert_no_reply();
}

static void a_program_comes_with_a_plan_and_its_interpreters_name(void **state)
{
	struct answer a;
	struct zvm_image plan;
	char magic[4];
	(void)state;
	const char *own = plan_of(open_content("/usr/bin/cat"), &a, &plan);
	assert_int_equal(a.reply.error, 0);
	assert_string_equal(own, "/usr/bin/cat");
	assert_string_equal(own + strlen(own) + 1, "/lib64/ld-linux-x86-64.so.2");
	assert_true(plan.segment_count > 0 && plan.entry);
	assert_int_equal(pread(a.fds[0], magic, 4, 0), 4);
	assert_memory_equal(magic, "\177ELF", 4);
	close(a.fds[0]);
	assert_no_reply();
}

static void a_program_is_named_without_the_links_that_lead_to_it(void **state)
{
	struct answer a;
	struct zvm_image plan;
	char target[256] = "/usr/bin/";
	(void)state;
	ssize_t n = readlink("/usr/bin/sh", target + 9, sizeof target - 10);
	if (n < 0)
		skip();
	assert_string_equal(plan_of(open_content("/usr/bin/sh"), &a, &plan), target[9] == '/' ? target + 9 : target);
	close(a.fds[0]);
}

static void a_program_that_the_guest_has_written_is_kept_once_and_sealed(void **state)
{
	struct answer a, b, script;
	struct zvm_image plan, again;
	struct zvm_dependency *list;
	unsigned count;
	(void)state;
	request.limits.memory_bytes = 64 << 20;
	send_bytes("/usr/bin/cat");
	const char *own = plan_of(0, &a, &plan);
	assert_int_equal(a.reply.error, 0);
	assert_string_equal(own, "");
	assert_true(write(a.fds[0], "x", 1) < 0);
	assert_true(ftruncate(a.fds[0], 0) < 0);
	send_bytes("/usr/bin/cat");
	plan_of(0, &b, &again);
	assert_memory_equal(&plan, &again, sizeof plan);
	struct stat one, other;
	assert_int_equal(fstat(a.fds[0], &one), 0);
	assert_int_equal(fstat(b.fds[0], &other), 0);
	assert_true(one.st_ino == other.st_ino && one.st_dev == other.st_dev);
	close(a.fds[0]);
	close(b.fds[0]);
	plan_of(0, &script, &again); /* nothing has been sent meanwhile */
	assert_int_equal(script.reply.error, -ENOEXEC);
	assert_int_equal(zvm_broker_take_dependencies(broker, &list, &count), 0);
	assert_int_equal(count, 0);
	free(list);
	assert_int_equal(zvm_broker_trouble(broker), 0);
}

static void what_guests_write_is_limited_by_their_memory(void **state)
{
	static const char bytes[4096] = "\177ELF";
	struct answer a;
	struct zvm_image plan;
	(void)state;
	request.limits.memory_bytes = 3 * sizeof bytes;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(ask_bytes(ZVM_ASK_KIND_BYTES, bytes, sizeof bytes), 1);
	plan_of(0, &a, &plan);
	assert_int_equal(a.reply.error, -ENOMEM);
	for (unsigned i = 0; i < 2; i++) { /* the next one begins anew, and the same twice counts once */
		assert_int_equal(ask_bytes(ZVM_ASK_KIND_BYTES, bytes, sizeof bytes), 1);
		assert_int_equal(ask_bytes(ZVM_ASK_KIND_BYTES, "x", 1), 1);
		plan_of(0, &a, &plan);
		assert_int_equal(a.reply.error, -ENOEXEC);
	}
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_BYTES, bytes, sizeof bytes), 1);
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_BYTES, bytes, sizeof bytes), 1);
	plan_of(0, &a, &plan);
	assert_int_equal(a.reply.error, -ENOMEM);
	assert_int_equal(zvm_broker_trouble(broker), 0);
}

/* --- nonsense --- */

static void a_packet_that_lies_is_the_end(void **state)
{
	static const struct zvm_ask asks[] = {
	        {.kind = ZVM_ASK_KIND_LOOKUP, .text_length = 1},
	        {.kind = ZVM_ASK_KIND_LOOKUP, .text_length = UINT32_MAX},
	        {.kind = ZVM_ASK_KIND_LOOKUP},
	        {.kind = ZVM_ASK_KIND_PLAN},
	        {.kind = ZVM_ASK_KIND_REPORT},
	        {.kind = 0},
	        {.kind = ZVM_ASK_KIND_IMAGE},
	        {.kind = ZVM_ASK_KIND_STOPPED + 1},
	        {.kind = UINT32_MAX},
	        {.kind = 0x80000001u},
	};
	(void)state;
	for (size_t i = 0; i < sizeof asks / sizeof asks[0]; i++) {
		assert_int_equal(serve(&asks[i], sizeof asks[i]), -EPROTO);
		assert_no_reply();
	}
	assert_int_equal(serve("x", 1), -EPROTO);
	assert_int_equal(serve(asks, sizeof asks[0] - 1), -EPROTO);
}

static void paths_that_are_none_are_the_end(void **state)
{
	char path[ZVM_PATH_MAX + 8];
	(void)state;
	assert_int_equal(ask(ZVM_ASK_KIND_OPEN, "script/file"), -EPROTO);
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_OPEN, "/script/file\0x", 14), -EPROTO);
	memset(path, 'a', sizeof path);
	path[0] = '/';
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_OPEN, path, ZVM_PATH_MAX), -EPROTO);
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_OPEN, path, ZVM_PATH_MAX - 1), 1);
}

static void contents_that_were_not_given_are_the_end(void **state)
{
	static const uint32_t numbers[] = {1, 2, UINT32_MAX};
	(void)state;
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		assert_int_equal(ask_bytes(ZVM_ASK_KIND_PLAN, &numbers[i], sizeof numbers[i]), -EPROTO);
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_PLAN, numbers, 3), -EPROTO);
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_PLAN, numbers, 8), -EPROTO);
	assert_no_reply();
}

static void a_packet_larger_than_any_is_the_end(void **state)
{
	static char packet[ZVM_PACKET_MAX + 16];
	(void)state;
	assert_int_equal(serve(packet, sizeof packet), -EPROTO);
	assert_int_equal(serve(packet, ZVM_PACKET_MAX), -EPROTO);
}

static void a_box_that_hangs_up_is_noticed(void **state)
{
	(void)state;
	assert_int_equal(shutdown(box, SHUT_WR), 0);
	assert_int_equal(zvm_broker_serve(broker, &report), -EPIPE);
}

static void a_box_that_dies_before_its_answer_is_noticed(void **state)
{
	struct zvm_ask question = {.kind = ZVM_ASK_KIND_LOOKUP, .text_length = 12};
	(void)state;
	assert_int_equal(zvm_packet_send(box, &question, sizeof question, "/script/file", 12, NULL, 0), 0);
	close(box);
	box = -1;
	assert_int_equal(zvm_broker_serve(broker, &report), -EPIPE);
}

static void a_report_is_taken_whole_or_not_at_all(void **state)
{
	struct zvm_report sent = {.end = ZVM_REPORT_EXIT, .status = 3, .message = "said"};
	(void)state;
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_REPORT, &sent, sizeof sent - 1), -EPROTO);
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_REPORT, &sent, sizeof sent), 0);
	assert_memory_equal(&report, &sent, sizeof sent);
	assert_no_reply();
}

/* --- descriptors --- */

static void descriptors_that_a_box_sends_go_nowhere(void **state)
{
	struct zvm_ask question = {.kind = ZVM_ASK_KIND_LOOKUP, .text_length = 12};
	unsigned before = open_descriptors();
	int fds[ZVM_PACKET_FDS_MAX] = {box, box, box, box, box, box, box, box};
	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(zvm_packet_send(box, &question, sizeof question, "/script/file", 12, fds, 8), 0);
		assert_int_equal(zvm_broker_serve(broker, &report), 1);
		receive();
	}
	assert_int_equal(open_descriptors(), before);
}

static void a_packet_that_does_not_fit_leaves_no_descriptor(void **state)
{
	unsigned before = open_descriptors(), count = 9;
	int fds[2] = {box, host}, got[2];
	char small[4];
	(void)state;
	assert_int_equal(zvm_packet_send(box, "too long", 8, NULL, 0, fds, 2), 0);
	assert_int_equal(zvm_packet_receive(host, small, sizeof small, got, 2, &count), -EMSGSIZE);
	assert_int_equal(count, 0);
	assert_int_equal(open_descriptors(), before);
}

/* "/script//file", "/script///file", ...: each is another question. */
static const char *spelling(unsigned n, const char *name)
{
	static char path[2048];
	memset(path, '/', sizeof path);
	memcpy(path + 1, "script", 6);
	strcpy(path + 8 + n, name);
	return path;
}

static void a_box_cannot_make_the_host_keep_descriptors_by_opening(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(ask(ZVM_ASK_KIND_OPEN, spelling(i, "file")), 1);
		struct answer a = receive();
		assert_int_equal(a.fd_count, 1);
		close(a.fds[0]);
	}
	assert_true(open_descriptors() < 300);
	/* What was closed meanwhile is opened again, and is the same. */
	char path[2048];
	strcpy(path, spelling(999, "file"));
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, path, "content"), 0);
	/* Unless the file has changed: then it is no answer that could be relied on. */
	put_text(in_scratch("scripts/file"), "Another content");
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, path, NULL), -EIO);
	assert_int_equal(zvm_broker_trouble(broker), -ESTALE);
}

static void a_box_cannot_make_the_host_keep_descriptors_by_running_programs(void **state)
{
	(void)state;
	put_text(in_scratch("scripts/no-program"), "neither ELF nor script");
	assert_int_equal(chmod(in_scratch("scripts/no-program"), 0755), 0);
	for (unsigned i = 0; i < 600; i++) {
		struct answer a;
		struct zvm_image plan;
		plan_of(open_content(spelling(i, "no-program")), &a, &plan);
		assert_int_equal(a.reply.error, -ENOEXEC);
	}
	assert_true(open_descriptors() < 300);
}

static void a_box_cannot_make_the_host_keep_descriptors_by_asking_for_images(void **state)
{
	uint32_t number = 0;
	(void)state;
	for (unsigned i = 0; i < 600; i++) {
		assert_int_equal(ask(ZVM_ASK_KIND_OPEN, spelling(i, "file")), 1);
		struct answer a = receive();
		close(a.fds[0]);
		number = a.reply.content;
		assert_true(number > 0);
	}
	for (uint32_t n = 1; n <= number; n++) {
		assert_int_equal(ask_bytes(ZVM_ASK_KIND_IMAGE, &n, sizeof n), 1);
		struct answer a = receive();
		assert_int_equal(a.reply.error, 0);
		assert_int_equal(a.fd_count, 0);
	}
	assert_true(open_descriptors() < 300);
}

static void an_image_of_what_was_never_given_is_the_end(void **state)
{
	uint32_t numbers[] = {0, 2, UINT32_MAX};
	(void)state;
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/file", "content"), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(ask_bytes(ZVM_ASK_KIND_IMAGE, &numbers[i], sizeof numbers[i]), -EPROTO);
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_IMAGE, "\1\0\0\0\0\0\0\0", 8), -EPROTO);
}

/* --- limits and trouble --- */

static void a_box_that_never_reads_cannot_make_the_host_wait(void **state)
{
	int r = 1;
	(void)state;
	for (unsigned i = 0; i < 100000 && r == 1; i++)
		r = ask(ZVM_ASK_KIND_LOOKUP, "/script/file");
	assert_int_equal(r, -EPROTO);
}

/* Both, the question and the key that it is found by, are kept, so half of 64 MiB in paths of 4 KiB. */
static void a_box_cannot_fill_the_hosts_memory_with_questions(void **state)
{
	char path[ZVM_PATH_MAX];
	int error = -ENOENT;
	unsigned asked = 0;
	(void)state;
	memset(path, 'a', sizeof path);
	path[sizeof path - 1] = 0;
	for (; error == -ENOENT && asked < 20000; asked++) {
		int n = snprintf(path, sizeof path, "/script/%u", asked);
		path[n] = '/';
		error = error_of(ZVM_ASK_KIND_LOOKUP, path, NULL);
	}
	assert_int_equal(error, -ENFILE);
	assert_in_range(asked, 8000, 8500);
	assert_int_equal(zvm_broker_trouble(broker), 0); /* it would be so another time, too */
	assert_int_equal(error_of(ZVM_ASK_KIND_LOOKUP, "/script/file", NULL), -ENFILE);
}

static void a_run_whose_file_could_not_be_kept_is_known(void **state)
{
	(void)state;
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/nosuch", NULL), -ENOENT);
	assert_int_equal(zvm_broker_trouble(broker), 0);
	failing = -ENOSPC;
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/file", NULL), -EIO);
	assert_int_equal(zvm_broker_trouble(broker), -ENOSPC);
	failing = -EMFILE;
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/run", NULL), -EIO);
	assert_int_equal(zvm_broker_trouble(broker), -ENOSPC);
	failing = 0;
	assert_int_equal(error_of(ZVM_ASK_KIND_OPEN, "/script/file", "content"), 0);
	assert_int_equal(zvm_broker_trouble(broker), -ENOSPC);
}

static void a_program_that_could_not_be_read_is_known(void **state)
{
	uint32_t number = 0;
	(void)state;
	for (unsigned i = 0; i < 300; i++)
		number = open_content(spelling(i, "run"));
	failing = -EMFILE;
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_PLAN, &number, sizeof number), 1);
	assert_int_equal(receive().reply.error, -EIO);
	assert_int_equal(zvm_broker_trouble(broker), -EMFILE);
}

static void an_image_that_could_not_be_made_is_known(void **state)
{
	uint32_t number = 0;
	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(ask(ZVM_ASK_KIND_OPEN, spelling(i, "file")), 1);
		struct answer a = receive();
		close(a.fds[0]);
		number = a.reply.content;
	}
	failing = -EMFILE; /* the last one's descriptor is closed by now, and cannot be had again */
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_IMAGE, &number, sizeof number), 1);
	assert_int_equal(receive().reply.error, -EIO);
	assert_int_equal(zvm_broker_trouble(broker), -EMFILE);
}

static void a_program_that_cannot_be_run_is_the_guests_own_matter(void **state)
{
	uint32_t number = open_content("/script/file");
	(void)state;
	assert_int_equal(ask_bytes(ZVM_ASK_KIND_PLAN, &number, sizeof number), 1);
	assert_int_equal(receive().reply.error, -ENOEXEC);
	assert_int_equal(zvm_broker_trouble(broker), 0);
}

#define WITH_BROKER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_BROKER(questions_are_answered_and_written_down_once),
	        WITH_BROKER(a_run_sees_one_snapshot_of_a_changing_file),
	        WITH_BROKER(the_highest_missing_directory_is_told_and_written_down),
	        WITH_BROKER(nothing_outside_the_view_is_given),
	        WITH_BROKER(questions_and_answers_are_inherited),
	        WITH_BROKER(what_a_template_has_opened_and_is_another_now_is_trouble),
	        WITH_BROKER(contents_keep_their_numbers),
	        WITH_BROKER(only_a_box_without_words_has_stopped),
	        WITH_BROKER(a_program_comes_with_a_plan_and_its_interpreters_name),
	        WITH_BROKER(a_program_is_named_without_the_links_that_lead_to_it),
	        WITH_BROKER(a_program_that_the_guest_has_written_is_kept_once_and_sealed),
	        WITH_BROKER(what_guests_write_is_limited_by_their_memory),
	        WITH_BROKER(a_packet_that_lies_is_the_end),
	        WITH_BROKER(paths_that_are_none_are_the_end),
	        WITH_BROKER(contents_that_were_not_given_are_the_end),
	        WITH_BROKER(a_packet_larger_than_any_is_the_end),
	        WITH_BROKER(a_box_that_hangs_up_is_noticed),
	        WITH_BROKER(a_box_that_dies_before_its_answer_is_noticed),
	        WITH_BROKER(a_report_is_taken_whole_or_not_at_all),
	        WITH_BROKER(descriptors_that_a_box_sends_go_nowhere),
	        WITH_BROKER(a_packet_that_does_not_fit_leaves_no_descriptor),
	        WITH_BROKER(a_box_cannot_make_the_host_keep_descriptors_by_opening),
	        WITH_BROKER(a_box_cannot_make_the_host_keep_descriptors_by_running_programs),
	        WITH_BROKER(a_box_cannot_make_the_host_keep_descriptors_by_asking_for_images),
	        WITH_BROKER(an_image_of_what_was_never_given_is_the_end),
	        WITH_BROKER(an_image_that_could_not_be_made_is_known),
	        WITH_BROKER(a_box_that_never_reads_cannot_make_the_host_wait),
	        WITH_BROKER(a_box_cannot_fill_the_hosts_memory_with_questions),
	        WITH_BROKER(a_run_whose_file_could_not_be_kept_is_known),
	        WITH_BROKER(a_program_that_could_not_be_read_is_known),
	        WITH_BROKER(a_program_that_cannot_be_run_is_the_guests_own_matter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
