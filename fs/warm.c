/* See warm.h. */
#include "warm.h"
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include <zvm/engine.h>
#include "await.h"
#include "content.h"
#include "plain.h"

#define SAYS "zvm: "

/* --- what to compute --- */

static int add(struct zvm_warm_list *list, const char *path)
{
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 256;
		char **paths = realloc(list->paths, room * sizeof *paths);
		if (!paths)
			return -ENOMEM;
		list->paths = paths;
		list->room = room;
	}
	list->paths[list->count] = strdup(path);
	return list->paths[list->count++] ? 0 : -ENOMEM;
}

static int miss(struct zvm_warm_list *list, const char *path, int error)
{
	fprintf(stderr, "zvm warm: %s: %s\n", path, strerror(error));
	list->missing++;
	return 0;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* What a mount shows of its inputs ends: it has no links. No file is looked at more closely than its listing does. */
static int collect_below(struct zvm_warm_list *list, const char *path)
{
	zvm_autofree char *copy = strdup(path);
	char *const roots[] = {copy, NULL};
	FTS *tree = copy ? fts_open(roots, FTS_PHYSICAL | FTS_NOSTAT | FTS_NOCHDIR, by_name) : NULL;
	if (!tree)
		return -ENOMEM;
	int r = 0;
	for (FTSENT *entry; r == 0 && (entry = fts_read(tree));) {
		if (entry->fts_info == FTS_F || entry->fts_info == FTS_NSOK)
			r = add(list, entry->fts_path);
		else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS)
			r = miss(list, entry->fts_path, entry->fts_errno);
	}
	fts_close(tree);
	return r;
}

static int collect_pattern(struct zvm_warm_list *list, const char *pattern, int error)
{
	glob_t found = {0};
	int r = glob(pattern, 0, NULL, &found);
	if (r)
		return r == GLOB_NOSPACE ? -ENOMEM : miss(list, pattern, error);
	for (size_t i = 0; r == 0 && i < found.gl_pathc; i++)
		r = zvm_warm_collect(list, found.gl_pathv[i]);
	globfree(&found);
	return r;
}

int zvm_warm_collect(struct zvm_warm_list *list, const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return strpbrk(path, "*?[") ? collect_pattern(list, path, errno) : miss(list, path, errno);
	return S_ISDIR(st.st_mode) ? collect_below(list, path) : add(list, path);
}

void zvm_warm_free(struct zvm_warm *warm)
{
	for (size_t i = 0; i < warm->list.count; i++)
		free(warm->list.paths[i]);
	free(warm->list.paths);
	warm->list = (struct zvm_warm_list){0};
}

static void count_saved(struct zvm_warm *warm, unsigned long us)
{
	__atomic_fetch_add(&warm->saved_us, us, __ATOMIC_RELAXED);
}

/* --- through a mount --- */

static enum zvm_crew_outcome failed(const char *path, const char *why)
{
	zvm_crew_say("zvm warm: %s: %s", path, why);
	return ZVM_CREW_FAILED;
}

/* user.zvm.state: "computed", "failed", "absent", or "" outside of run/. */
static void ask(const char *path, const char *attribute, char value[32])
{
	ssize_t n = getxattr(path, attribute, value, 31);
	value[n > 0 ? n : 0] = 0;
}

static enum zvm_crew_outcome warm_one(void *context, size_t number)
{
	struct zvm_warm *warm = context;
	const char *path = warm->list.paths[number];
	char state[32], took[32];
	ask(path, "user.zvm.state", state);
	if (!strcmp(state, "computed")) {
		ask(path, "user.zvm.wall_us", took);
		count_saved(warm, strtoul(took, NULL, 10));
		return ZVM_CREW_HIT;
	}
	if (!strcmp(state, "failed"))
		return failed(path, "the run failed");
	zvm_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && zvm_crew_ending())
		return ZVM_CREW_LEFT;
	if (fd < 0)
		return failed(path, strerror(errno));
	ask(path, "user.zvm.state", state);
	return strcmp(state, "failed") ? ZVM_CREW_DONE : failed(path, "the run failed");
}

int zvm_warm_mounted(struct zvm_warm *warm)
{
	warm->crew.count = warm->list.count;
	warm->crew.work = warm_one;
	warm->crew.context = warm;
	return zvm_crew_run(&warm->crew);
}

/* --- into a directory --- */

/* -EINTR: it is to end. What is under way then, the engine kills when it closes. */
static int compute(struct zvm_warm *warm, const char *name, int input, bool *ret_hit, struct zvm_result **ret)
{
	struct zvm_target target = {.spec = warm->spec, .input_name = name, .input_fd = input};
	*ret_hit = zvm_engine_try(warm->engine, &target, ret) == 0;
	return *ret_hit ? 0 : zvm_await(warm->engine, &target, zvm_crew_ending, ret);
}

static int write_file(int directory, const char *name, const struct zvm_result *result)
{
	char draft[NAME_MAX + 1];
	if (snprintf(draft, sizeof draft, ".%s.zvm-%d", name, (int)getpid()) >= (int)sizeof draft)
		return -ENAMETOOLONG;
	zvm_autofd int fd = openat(directory, draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	int r = result->out_size ? zvm_content_copy(result->out_fd, fd, result->out_size) : 0;
	if (r == 0 && renameat(directory, draft, directory, name) < 0)
		r = -errno;
	if (r)
		unlinkat(directory, draft, 0);
	return r;
}

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* Why there is none: zvm's own line, which standard error ends with, says more than an error number. */
static enum zvm_crew_outcome give_none(const char *path, const struct zvm_result *result)
{
	char end[512], *line;
	uint64_t size = result->err_size, start = size < sizeof end ? 0 : size - (sizeof end - 1);
	long n = result->err_fd < 0 ? 0 : zvm_read_at(result->err_fd, end, sizeof end - 1, start);
	end[n > 0 ? n : 0] = 0;
	if (n > 0 && end[n - 1] == '\n')
		end[n - 1] = 0;
	line = strrchr(end, '\n') ? strrchr(end, '\n') + 1 : end;
	if (strncmp(line, SAYS, strlen(SAYS)))
		return failed(path, strerror(-result->error));
	zvm_plain(line);
	return failed(path, line + strlen(SAYS));
}

static enum zvm_crew_outcome deliver(struct zvm_warm *warm, const char *path, const struct zvm_result *result)
{
	if (result->error)
		return give_none(path, result);
	int r = write_file(warm->directory, last_name(path), result);
	if (r)
		return failed(path, strerror(-r));
	return result->failed ? failed(path, "the run failed; what it wrote is there") : ZVM_CREW_DONE;
}

static enum zvm_crew_outcome make_one(void *context, size_t number)
{
	struct zvm_warm *warm = context;
	const char *path = warm->list.paths[number];
	struct stat st;
	struct zvm_result *result;
	bool hit;
	zvm_autofd int input = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (input < 0 || fstat(input, &st) < 0)
		return failed(path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return failed(path, "it is no regular file");
	int r = compute(warm, path, input, &hit, &result);
	if (r)
		return r == -EINTR ? ZVM_CREW_LEFT : failed(path, strerror(-r));
	enum zvm_crew_outcome outcome = deliver(warm, path, result);
	if (hit)
		count_saved(warm, result->wall_us);
	zvm_result_unref(result);
	return outcome == ZVM_CREW_DONE && hit ? ZVM_CREW_HIT : outcome;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(last_name(*(char *const *)a), last_name(*(char *const *)b));
}

/* Two results must not become one file. */
static int refuse_twice(struct zvm_warm_list *list)
{
	qsort(list->paths, list->count, sizeof *list->paths, compare_names);
	for (size_t i = 1; i < list->count; i++)
		if (!compare_names(&list->paths[i - 1], &list->paths[i])) {
			fprintf(stderr, "zvm warm: %s and %s would become the same file\n", list->paths[i - 1],
			        list->paths[i]);
			return -EEXIST;
		}
	return 0;
}

int zvm_warm_into(struct zvm_warm *warm)
{
	int r = refuse_twice(&warm->list);
	if (r)
		return r;
	warm->crew.count = warm->list.count;
	warm->crew.work = make_one;
	warm->crew.context = warm;
	return zvm_crew_run(&warm->crew);
}
