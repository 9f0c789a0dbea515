#include "survey.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "store_internal.h"

struct survey {
	int (*visit)(void *context, const struct zvm_surveyed *found);
	void *context;
};

static bool is_shelf(const char *name)
{
	return strspn(name, "0123456789abcdef") == 2 && !name[2];
}

static bool is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static int visit(const struct survey *survey, int shelf, const char *shelf_name, const char *name)
{
	struct zvm_surveyed found = {.shelf = shelf, .shelf_name = shelf_name, .name = name};
	found.ours = *shelf_name && zvm_digest_parse(name, &found.digest) == 0 && !strncmp(name, shelf_name, 2);
	return survey->visit(survey->context, &found);
}

/* A stream of its own over a directory; -ENOENT if it is gone. */
static int open_directory(int parent, const char *name, DIR **ret)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret = fdopendir(fd);
	if (!*ret)
		close(fd);
	return *ret ? 0 : -ENOMEM;
}

static int walk_shelf(const struct survey *survey, int room, const char *shelf)
{
	DIR *dir;
	int r = open_directory(room, shelf, &dir);
	if (r)
		return r == -ENOENT ? 0 : r == -ENOTDIR || r == -ELOOP ? visit(survey, room, "", shelf) : r;
	while (r == 0) {
		errno = 0;
		struct dirent *d = readdir(dir);
		if (!d) {
			r = -errno;
			break;
		}
		if (!is_dot(d->d_name))
			r = visit(survey, dirfd(dir), shelf, d->d_name);
	}
	closedir(dir);
	return r;
}

static int walk_room(const struct survey *survey, int room)
{
	DIR *dir;
	int r = open_directory(room, ".", &dir);
	if (r)
		return r;
	while (r == 0) {
		errno = 0;
		struct dirent *d = readdir(dir);
		if (!d) {
			r = -errno;
			break;
		}
		if (is_shelf(d->d_name))
			r = walk_shelf(survey, room, d->d_name);
		else if (!is_dot(d->d_name))
			r = visit(survey, room, "", d->d_name);
	}
	closedir(dir);
	return r;
}

int zvm_survey_objects(struct zvm_store *store, int (*visit_object)(void *context, const struct zvm_surveyed *object),
                       void *context)
{
	return walk_room(&(struct survey){visit_object, context}, store->objects);
}

int zvm_survey_records(struct zvm_store *store, int (*visit_action)(void *context, const struct zvm_surveyed *action),
                       void *context)
{
	return walk_room(&(struct survey){visit_action, context}, store->records);
}
