/*
 * How the broker hands out prepared images: to whom, of what, and what it says. The box is played here, over the same
 * kind of socket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zvm/blob.h>
#include <zvm/cleanup.h>
#include "broker.h"
#include "packet.h"

#define LOADER "/lib64/ld-linux-x86-64.so.2"

static char directory[] = "/tmp/zvm-image-XXXXXX";
static struct zvm_store *store;
static struct zvm_blobs *blobs;
static struct zvm_contents contents;
static struct zvm_view *view;

struct played {
	struct zvm_box_request request;
	struct zvm_broker *broker;
	int box, host; /* ends of the socket */
};

static int set_up(void **state)
{
	(void)state;
	char path[64], *reason = NULL;
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof path, "%s/store", directory);
	int r = zvm_store_open(path, ZVM_STORE_CREATE, &store, &reason);
	free(reason);
	r = r ? r : zvm_blobs_open(store, &blobs);
	r = r ? r : zvm_view_open(directory, &view);
	contents = r ? (struct zvm_contents){0} : zvm_blobs_contents(blobs);
	return r;
}

static int tear_down(void **state)
{
	(void)state;
	char command[64];
	zvm_view_close(view);
	zvm_blobs_close(blobs);
	zvm_store_close(store);
	snprintf(command, sizeof command, "rm -rf '%s'", directory);
	return system(command);
}

static void start(struct played *p)
{
	int pair[2];
	*p = (struct played){.request = {.view = view, .contents = &contents}};
	assert_int_equal(zvm_broker_new(&p->request, &p->broker), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	p->box = pair[0];
	p->host = pair[1];
	zvm_broker_attach(p->broker, p->host);
}

static void end(struct played *p)
{
	close(p->box);
	close(p->host);
	zvm_broker_free(p->broker);
}

/* What zvm_broker_serve returns. */
static int ask(struct played *p, uint32_t kind, const void *text, uint32_t length)
{
	struct zvm_ask ask = {.kind = kind, .text_length = length};
	struct zvm_report report;
	assert_int_equal(zvm_packet_send(p->box, &ask, sizeof ask, text, length, NULL, 0), 0);
	return zvm_broker_serve(p->broker, &report);
}

/* The reply and its descriptor, -1 if there is none. */
static struct zvm_reply receive(struct played *p, int *fd)
{
	char packet[sizeof(struct zvm_reply) + ZVM_PATH_MAX];
	struct zvm_reply reply;
	unsigned count = 0;
	*fd = -1;
	assert_true(zvm_packet_receive(p->box, packet, sizeof packet, fd, 1, &count) >= (ssize_t)sizeof reply);
	if (!count)
		*fd = -1;
	memcpy(&reply, packet, sizeof reply);
	return reply;
}

static struct zvm_reply open_file(struct played *p, const char *path, int *fd)
{
	assert_int_equal(ask(p, ZVM_ASK_KIND_OPEN, path, (uint32_t)strlen(path)), 1);
	return receive(p, fd);
}

static struct zvm_reply ask_image(struct played *p, uint32_t content, int *fd)
{
	assert_int_equal(ask(p, ZVM_ASK_KIND_IMAGE, &content, sizeof content), 1);
	return receive(p, fd);
}

static void put(const char *name, const char *text)
{
	char path[64];
	snprintf(path, sizeof path, "%s/%s", directory, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* In how many bytes a file and its image differ, which may go on behind it. */
static size_t differences(int a, int b)
{
	struct stat x, y;
	size_t n = 0;
	assert_int_equal(fstat(a, &x) | fstat(b, &y), 0);
	off_t size = x.st_size < y.st_size ? x.st_size : y.st_size;
	zvm_autofree unsigned char *first = malloc((size_t)size), *second = malloc((size_t)size);
	assert_int_equal(pread(a, first, (size_t)size, 0), size);
	assert_int_equal(pread(b, second, (size_t)size, 0), size);
	for (off_t i = 0; i < size; i++)
		n += first[i] != second[i];
	return n;
}

static void a_file_that_was_passed_has_an_image(void **state)
{
	(void)state;
	struct played p;
	zvm_autofd int file = -1, image = -1, again = -1;
	start(&p);
	struct zvm_reply opened = open_file(&p, LOADER, &file);
	assert_true(file >= 0 && opened.content);
	zvm_autofd int host = open(LOADER, O_RDONLY | O_CLOEXEC);
	assert_int_equal(differences(file, host), 0);
	struct zvm_reply reply = ask_image(&p, opened.content, &image);
	assert_int_equal(reply.error, 0);
	assert_int_equal(reply.flags, ZVM_REPLY_CONTENT);
	assert_true(differences(file, image) > 20);
	assert_int_equal(fcntl(image, F_GETFL) & O_ACCMODE, O_RDONLY);
	ask_image(&p, opened.content, &again);
	assert_int_equal(differences(image, again), 0);
	end(&p);
}

static void an_image_is_no_dependency(void **state)
{
	(void)state;
	struct played p;
	struct zvm_dependency *list;
	unsigned count;
	zvm_autofd int file = -1, image = -1;
	start(&p);
	ask_image(&p, open_file(&p, LOADER, &file).content, &image);
	zvm_broker_take_dependencies(p.broker, &list, &count);
	assert_int_equal(count, 1);
	assert_string_equal(list[0].question.path, LOADER);
	struct zvm_digest digest;
	uint64_t size;
	zvm_autofd int host = open(LOADER, O_RDONLY | O_CLOEXEC);
	assert_int_equal(zvm_blob_of_file(blobs, host, &digest, &size, NULL), 0);
	assert_true(zvm_digest_equal(&digest, &list[0].answer.digest));
	free(list[0].question.path);
	zvm_answer_free(&list[0].answer);
	free(list);
	end(&p);
}

static void what_is_no_program_is_said_not_to_be_vetted(void **state)
{
	(void)state;
	struct played p;
	zvm_autofd int file = -1;
	int image;
	put("text", "text\n");
	start(&p);
	struct zvm_reply opened = open_file(&p, "/script/text", &file);
	struct zvm_reply reply = ask_image(&p, opened.content, &image);
	assert_int_equal(image, -1);
	assert_int_equal(reply.flags, ZVM_REPLY_UNVETTED);
	end(&p);
}

/* Numbers are of this box: no other box's, none that was not passed, no directory's. */
static void numbers_that_were_not_given_break_the_protocol(void **state)
{
	(void)state;
	struct played p, other;
	zvm_autofd int file = -1, listing = -1, more = -1;
	uint32_t number;
	put("text", "text\n");
	start(&other);
	number = open_file(&other, "/script/text", &file).content;
	assert_int_equal(number, 1);
	start(&p);
	assert_int_equal(open_file(&p, "/script", &listing).content, 0);
	assert_int_equal(ask(&p, ZVM_ASK_KIND_IMAGE, &number, sizeof number), -EPROTO);
	assert_int_equal(open_file(&p, "/script/text", &more).content, 1);
	for (uint32_t wrong = 0; wrong < 3; wrong += 2)
		assert_int_equal(ask(&p, ZVM_ASK_KIND_IMAGE, &wrong, sizeof wrong), -EPROTO);
	number = UINT32_MAX;
	assert_int_equal(ask(&p, ZVM_ASK_KIND_IMAGE, &number, sizeof number), -EPROTO);
	assert_int_equal(ask(&p, ZVM_ASK_KIND_IMAGE, "/script/text", 12), -EPROTO);
	assert_int_equal(ask(&p, ZVM_ASK_KIND_IMAGE, "", 0), -EPROTO);
	end(&p);
	end(&other);
}

static void each_question_keeps_its_number(void **state)
{
	(void)state;
	struct played p;
	char name[32], path[40];
	start(&p);
	for (uint32_t i = 0; i < 600; i++) {
		zvm_autofd int fd = -1;
		snprintf(name, sizeof name, "file%u", i % 300);
		snprintf(path, sizeof path, "/script/%s", name);
		if (i < 300)
			put(name, name);
		assert_int_equal(open_file(&p, path, &fd).content, i % 300 + 1);
	}
	/* Its descriptor was closed meanwhile, and is opened again to look into it. */
	int image;
	assert_int_equal(ask_image(&p, 299, &image).flags, ZVM_REPLY_UNVETTED);
	end(&p);
}

static void without_a_keeper_images_are_made_all_the_same(void **state)
{
	(void)state;
	struct played p;
	zvm_autofd int file = -1, image = -1;
	struct zvm_contents forgetful = contents;
	forgetful.find_derived = NULL;
	forgetful.keep_derived = NULL;
	start(&p);
	p.request.contents = &forgetful;
	struct zvm_reply opened = open_file(&p, LOADER, &file);
	ask_image(&p, opened.content, &image);
	assert_true(differences(file, image) > 20);
	assert_int_equal(pwrite(image, "x", 1, 0), -1);
	end(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_file_that_was_passed_has_an_image),
	        cmocka_unit_test(an_image_is_no_dependency),
	        cmocka_unit_test(what_is_no_program_is_said_not_to_be_vetted),
	        cmocka_unit_test(numbers_that_were_not_given_break_the_protocol),
	        cmocka_unit_test(each_question_keeps_its_number),
	        cmocka_unit_test(without_a_keeper_images_are_made_all_the_same),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
