/*
 * Any bytes as a path, asked of a view of a small tree full of links, some of them leading to a secret beside it. The
 * secret is never shown, and who follows `elsewhere` arrives.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zvm/view.h>
#include "protocol.h"
#include "world.h"

static struct zvm_view *view;

static int keep_bytes(void *context, const void *bytes, size_t size, struct zvm_digest *ret, int *ret_fd)
{
	(void)context, (void)bytes;
	*ret = (struct zvm_digest){.low = size};
	if (ret_fd)
		*ret_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return 0;
}

static int keep_file(void *context, int fd, const struct stat *st, struct zvm_digest *ret, uint64_t *ret_size,
                     int *ret_fd)
{
	char bytes[16] = "";
	(void)context;
	require(S_ISREG(st->st_mode) && pread(fd, bytes, sizeof bytes - 1, 0) >= 0 && !strstr(bytes, "SECRET"));
	*ret_size = (uint64_t)st->st_size;
	*ret = (struct zvm_digest){.low = 1};
	if (ret_fd)
		*ret_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	begin_world();
	put_directory("s/d");
	put("s/d/f", "fine", 0644);
	put_link("s/a", "d");
	put_link("s/b", "../x");
	put_link("s/c", "..");
	put_link("s/e", home);
	put_link("s/g", "/script/d/../a");
	put_link("s/h", "h");
	put_link("s/i", "/etc");
	put_link("s/j", "/usr/bin/../..");
	put_link("s/k", "/proc/self/root");
	put_link("s/d/l", "../../s/./d//f");
	return zvm_view_open(in_home("s"), &view);
}

static void check(const struct zvm_answer *a)
{
	require(!a->error || (!a->elsewhere && !a->text && !a->has_content && a->fd < 0 && !a->mode));
	require(!a->elsewhere || (a->text && *a->text == '/' && strlen(a->text) < ZVM_PATH_MAX && a->fd < 0));
	require(a->error || a->elsewhere || S_ISREG(a->mode) || S_ISDIR(a->mode) || S_ISLNK(a->mode));
	require(!(a->mode & 07000) && (a->fd < 0 || a->has_content));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct zvm_contents contents = {.keep_file = keep_file, .keep_bytes = keep_bytes};
	struct zvm_answer a, again;
	bool pinned = true;
	if (!size)
		return 0;
	char *path = strndup((const char *)data + 1, size - 1);
	require(path != NULL);
	struct zvm_question q = {.kind = data[0] & 1 ? ZVM_ASK_OPEN : ZVM_ASK_LOOKUP,
	                         .flags = data[0] & 2 ? ZVM_ASK_NOFOLLOW : 0,
	                         .path = path};
	require(zvm_view_ask(view, &contents, &q, data[0] & 4, &a, &pinned) == 0 && !pinned);
	check(&a);
	if (a.elsewhere) { /* the monitor has nothing there: it asks us, and is told so */
		q.path = a.text;
		require(zvm_view_ask(view, &contents, &q, false, &again, NULL) == 0);
		require(again.error == -ENOENT || again.error == -ENAMETOOLONG);
		zvm_answer_free(&again);
	}
	char *host = NULL;
	if (zvm_view_host_path(view, path, &host) == 0)
		require(*host == '/' && !strstr(host, "/../"));
	free(host);
	zvm_answer_free(&a);
	free(path);
	return 0;
}
