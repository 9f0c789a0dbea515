/* See located.h. */
#include "located.h"
#include <errno.h>
#include <string.h>
#include <zvm/cleanup.h>
#include <zvm/command.h>
#include "mountpoint.h"

#define TROUBLE 125

static bool is_tree(const char *name, size_t length)
{
	static const char *const trees[] = {"run", "err", "info", "stream"};
	for (size_t i = 0; i < sizeof trees / sizeof trees[0]; i++)
		if (strlen(trees[i]) == length && !memcmp(trees[i], name, length))
			return true;
	return false;
}

/* "run/SPEC/INPUT" */
static int take_apart(const char *command, const char *path, const char *below, struct zvm_located *ret)
{
	size_t tree = strcspn(below, "/");
	const char *spec = below + tree + (below[tree] == '/');
	size_t length = strcspn(spec, "/");
	if (!is_tree(below, tree) || !length || !spec[length])
		return zvm_complain(2, command,
		                    "%s is no file that is computed; name one as run/SPEC/INPUT below a mount", path);
	zvm_autofree char *text = strndup(spec, length);
	ret->input = strdup(spec + length + 1);
	int r = text && ret->input ? zvm_spec_parse(text, &ret->spec) : -ENOMEM;
	if (r == -ENOMEM)
		return zvm_complain(TROUBLE, command, "no memory");
	return r ? zvm_complain(2, command, "%s: the spec does not parse: %s; zvm(5) says how one is written", path,
	                        strerror(-r))
	         : -1;
}

static int find_mount(const char *command, const char *path, char **ret_at, char **ret_below)
{
	int r = zvm_mountpoint_find(path, ret_at, ret_below);
	if (r == -ENOENT)
		return zvm_complain(
		        TROUBLE, command,
		        "%s is not below a zvm mount; `zvm mount` makes one, and `findmnt -t fuse.zvm` lists them",
		        path);
	return r ? zvm_complain(TROUBLE, command, "%s: %s", path, strerror(-r)) : -1;
}

static int ask(const char *command, const char *at, struct zvm_facts **ret)
{
	int r = zvm_facts_ask(at, ret);
	if (r == -ENOTCONN || r == -ECONNABORTED)
		return zvm_complain(TROUBLE, command, "the zvm of %s has died; `zvm umount %s` and mount it again", at,
		                    at);
	if (r == -ENODATA || r == -EBADMSG)
		return zvm_complain(TROUBLE, command, "%s is mounted by another version of zvm; use that one's", at);
	if (r == -EACCES)
		return zvm_complain(TROUBLE, command, "%s is another user's; only its owner can read its store", at);
	return r ? zvm_complain(TROUBLE, command, "%s: %s", at, strerror(-r)) : -1;
}

int zvm_locate(const char *command, const char *path, const char *store, struct zvm_located *ret)
{
	zvm_autofree char *at = NULL, *below = NULL, *reason = NULL;
	*ret = (struct zvm_located){0};
	int status = find_mount(command, path, &at, &below);
	if (status < 0)
		status = take_apart(command, path, below, ret);
	if (status < 0)
		status = ask(command, at, &ret->facts);
	if (status < 0) {
		const char *home = store ? store : ret->facts->store;
		int r = zvm_store_open(home, ZVM_STORE_READONLY, &ret->store, &reason);
		if (r)
			status = zvm_complain(TROUBLE, command, "%s: %s", reason ? reason : home, strerror(-r));
	}
	if (status >= 0)
		zvm_located_free(ret);
	return status;
}

void zvm_located_free(struct zvm_located *located)
{
	zvm_store_close(located->store);
	zvm_facts_free(located->facts);
	zvm_spec_free(located->spec);
	free(located->input);
	*located = (struct zvm_located){0};
}
