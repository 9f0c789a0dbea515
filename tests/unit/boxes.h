/* What the tests of guests in real boxes share: two launchers that differ, a store, and a guest run in one of them. */
#ifndef ZVM_TEST_BOXES_H
#define ZVM_TEST_BOXES_H

#include "store.h"
#include <zvm/blob.h>
#include <zvm/box.h>

#define LAUNCHERS 2

static struct zvm_launcher *launchers[LAUNCHERS];
static struct zvm_blobs *blobs;
static char guests[4096]; /* where tests/box was built */

/* For a group's set up. The launchers come before the store, so that none holds a descriptor of it. */
static inline int open_boxes(void **state, const struct zvm_launcher_options options[LAUNCHERS])
{
	const char *build = getenv("ZVM_BUILD");
	for (int i = 0; i < LAUNCHERS; i++) {
		struct zvm_launcher_options copy = options[i];
		if (zvm_launcher_start(&copy, &launchers[i]))
			return -1;
	}
	snprintf(guests, sizeof guests, "%s/box", build ? build : "build");
	int r = open_store(state);
	return r ? r : zvm_blobs_open(store, &blobs);
}

static inline int close_boxes(void **state)
{
	zvm_blobs_close(blobs);
	int r = close_store(state);
	for (int i = 0; i < LAUNCHERS; i++)
		zvm_launcher_stop(launchers[i]);
	return r;
}

/* What a run has written to one of its outputs: malloc'd and NUL-terminated. */
static inline char *take_output(int *fd)
{
	struct stat st;
	assert_int_equal(fstat(*fd, &st), 0);
	char *text = calloc(1, (size_t)st.st_size + 1);
	assert_non_null(text);
	assert_int_equal(pread(*fd, text, (size_t)st.st_size, 0), st.st_size);
	zvm_close_pointer(fd);
	return text;
}

/*
 * Runs a guest of tests/box by its name, or a program of the host by its path. The caller has set the request's
 * arguments, environment, limits and trace; its stdout_fd and stderr_fd are the caller's afterwards.
 */
static inline void run_guest(int launcher, const char *guest, const char *input, struct zvm_box_request *request,
                             struct zvm_box_outcome *ret)
{
	bool host = *guest == '/';
	struct zvm_contents contents = zvm_blobs_contents(blobs);
	struct zvm_view *view;
	char path[4200], script[256];
	uint64_t size;
	zvm_autofd int script_fd = -1, in = open(input, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof path, host ? "%s%s" : "%s/%s", host ? "" : guests, guest);
	snprintf(script, sizeof script, "%s%s", host ? "" : "/script/", guest);
	zvm_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && in >= 0);
	assert_int_equal(zvm_blob_of_file(blobs, fd, &request->script_digest, &size, &script_fd), 0);
	assert_int_equal(zvm_view_open(host ? NULL : guests, &view), 0);
	if (!host)
		assert_int_equal(zvm_view_pin(view, guest, 0755, size, &request->script_digest, script_fd), 0);
	assert_int_equal(zvm_store_begin(store, &request->stdout_fd), 0);
	assert_int_equal(zvm_store_begin(store, &request->stderr_fd), 0);
	request->view = view;
	request->contents = &contents;
	request->script = script;
	request->script_fd = script_fd;
	memcpy(request->seed, "\1\2\3", 3);
	request->stdin_fd = in;
	request->cancel_fd = -1;
	assert_int_equal(zvm_box_run(launchers[launcher], request, ret), 0);
	zvm_view_close(view);
}

#endif
