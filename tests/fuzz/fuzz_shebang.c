/*
 * Any bytes as a script. Every interpreter that it names is, by turns of its first byte, absent, forbidden, or the same
 * bytes again; so chains, loops and the search along PATH are reached too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zvm/box.h>
#include "fuzz.h"
#include "plan.h"

struct world {
	int fd, questions;
	unsigned turn;
};

static int ask(void *context, const struct zvm_question *question, bool want_fd, struct zvm_answer *ret)
{
	struct world *world = context;
	*ret = (struct zvm_answer){.fd = -1};
	require(strlen(question->path) < ZVM_PATH_MAX && world->questions++ < 200);
	switch ((world->turn + strlen(question->path)) % 4) {
	case 0: ret->error = -ENOENT; return 0;
	case 1: ret->mode = S_IFREG | 0644; return 0;
	default:
		ret->mode = S_IFREG | 0755;
		ret->fd = want_fd ? fcntl(world->fd, F_DUPFD_CLOEXEC, 0) : -1;
		return 0;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const arguments[] = {"argument", NULL};
	static int fd = -1;
	struct zvm_program program;
	char *message;
	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (!size)
		return 0;
	require(ftruncate(fd, 0) == 0 && pwrite(fd, data + 1, size - 1, 0) == (ssize_t)size - 1);
	struct world world = {.fd = fd, .turn = data[0]};
	int r = zvm_program_resolve(ask, &world, "/script/fuzz", fd, NULL, arguments, NULL, &program);
	require(r == 0 || r == -ENOEXEC || r == -ENOENT || r == -EACCES || r == -ELOOP);
	require(r == 0 || (program.message && *program.message));
	for (const char *c = program.message; c && *c; c++)
		require(*c >= ' ' && *c <= '~');
	require(r || (program.fd >= 0 && program.executable && program.arguments[0]));
	zvm_program_free(&program);
	r = zvm_box_check_program(fd, &message);
	require(r == 0 || (r == -ENOEXEC && message));
	free(message);
	return 0;
}
