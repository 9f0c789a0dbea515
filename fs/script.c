#include "script.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>
#include <zvm/box.h>
#include <zvm/cleanup.h>
#include "content.h"
#include "file_identity.h"

#define HEAD_SIZE 65536
#define KNOWN_MAX 4096

static const char *const host_directories[] = {"/usr/local/bin", "/usr/bin", "/bin"};
#define HOST_COUNT (sizeof host_directories / sizeof host_directories[0])

/* A directory by its name, which may mean another one tomorrow: whoever deploys by renaming directories expects it. */
struct place {
	const char *path;
	struct zvm_view *view;
	bool host;
};

struct known {
	UT_hash_handle hh;
	struct zvm_script *script;
	char name[];
};

struct zvm_scripts {
	struct zvm_blobs *blobs;
	struct place *places;
	unsigned count;
	pthread_mutex_t lock; /* around known */
	struct known *known;
};

static int open_place(struct place *place, const char *path, bool host)
{
	place->path = path;
	place->host = host;
	return zvm_view_open(host ? NULL : path, &place->view);
}

int zvm_scripts_open(const char *const *directories, struct zvm_blobs *blobs, struct zvm_scripts **ret)
{
	unsigned own = 0;
	while (directories && directories[own])
		own++;
	struct zvm_scripts *s = calloc(1, sizeof *s);
	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	s->blobs = blobs;
	s->places = calloc(own + HOST_COUNT, sizeof *s->places);
	int r = s->places ? 0 : -ENOMEM;
	for (unsigned i = 0; r == 0 && i < own + HOST_COUNT; i++) {
		r = open_place(&s->places[i], i < own ? directories[i] : host_directories[i - own], i >= own);
		s->count++;
	}
	if (r) {
		zvm_scripts_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

static void free_script(struct zvm_script *script)
{
	for (unsigned i = 0; i < script->guard_count; i++)
		zvm_guard_drop(&script->guards[i]);
	free(script->guards);
	free(script->name);
	free(script->guest_path);
	free(script->reason);
	zvm_directives_free(&script->directives);
	free(script);
}

struct zvm_script *zvm_script_ref(struct zvm_script *script)
{
	__atomic_add_fetch(&script->references, 1, __ATOMIC_RELAXED);
	return script;
}

void zvm_script_unref(struct zvm_script *script)
{
	if (script && __atomic_sub_fetch(&script->references, 1, __ATOMIC_ACQ_REL) == 0)
		free_script(script);
}

void zvm_scripts_forget(struct zvm_scripts *s)
{
	struct known *k, *next;
	pthread_mutex_lock(&s->lock);
	HASH_ITER(hh, s->known, k, next)
	{
		HASH_DEL(s->known, k);
		zvm_script_unref(k->script);
		free(k);
	}
	pthread_mutex_unlock(&s->lock);
}

void zvm_scripts_close(struct zvm_scripts *s)
{
	if (!s)
		return;
	zvm_scripts_forget(s);
	for (unsigned i = 0; i < s->count; i++)
		zvm_view_close(s->places[i].view);
	free(s->places);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static bool name_in(const struct place *place, const char *name, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/%s", place->path, name) < PATH_MAX;
}

/* The first place that has the name, as a shell would go along PATH: what is not a program is passed over if another
 * place has one. */
static int locate(struct zvm_scripts *s, const char *name, struct stat *st, const struct place **ret)
{
	char path[PATH_MAX];
	int result = -ENOENT;
	if (!*name || !strcmp(name, ".") || !strcmp(name, "..") || strchr(name, '/'))
		return -ENOENT;
	for (unsigned i = 0; i < s->count; i++) {
		struct stat here;
		if (!name_in(&s->places[i], name, path) || stat(path, &here) < 0)
			continue;
		bool runnable = S_ISREG(here.st_mode) && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
		if (!runnable && result == -EACCES)
			continue;
		*st = here;
		*ret = &s->places[i];
		if (runnable)
			return 0;
		result = -EACCES;
		/* In a scripts directory the name is meant, whatever it is; only host programs are searched further. */
		if (!s->places[i].host)
			return result;
	}
	return result;
}

int zvm_script_stat(struct zvm_scripts *s, const char *name, struct stat *ret)
{
	const struct place *place;
	return locate(s, name, ret, &place);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	struct zvm_file_identity x = zvm_file_identity(a), y = zvm_file_identity(b);
	return a->st_mode == b->st_mode && !memcmp(&x, &y, sizeof x);
}

/* What is remembered of a file that is unchanged, and old enough for its stat to prove it. */
static struct zvm_script *recall(struct zvm_scripts *s, const char *name, const struct stat *st)
{
	struct zvm_digest digest;
	struct known *k;
	struct zvm_script *script = NULL;
	pthread_mutex_lock(&s->lock);
	HASH_FIND_STR(s->known, name, k);
	if (k && same_file(&k->script->st, st) && zvm_blob_known(s->blobs, st, &digest) == 0 &&
	    zvm_digest_equal(&digest, &k->script->digest))
		script = zvm_script_ref(k->script);
	pthread_mutex_unlock(&s->lock);
	return script;
}

static void remember(struct zvm_scripts *s, struct zvm_script *script)
{
	struct known *k;
	zvm_script_ref(script);
	pthread_mutex_lock(&s->lock);
	HASH_FIND_STR(s->known, script->name, k);
	if (k) {
		zvm_script_unref(k->script);
		k->script = script;
	} else if (HASH_COUNT(s->known) < KNOWN_MAX && (k = malloc(sizeof *k + strlen(script->name) + 1))) {
		k->script = script;
		strcpy(k->name, script->name);
		HASH_ADD_STR(s->known, name, k);
	} else {
		zvm_script_unref(script);
	}
	pthread_mutex_unlock(&s->lock);
}

static int read_declarations(struct zvm_script *script, int content)
{
	zvm_autofree char *head = malloc(HEAD_SIZE);
	if (!head)
		return -ENOMEM;
	long n = zvm_read_at(content, head, HEAD_SIZE, 0);
	if (n < 0)
		return (int)n;
	/* Half a line says another thing than a whole one. */
	const char *end = n == HEAD_SIZE ? memrchr(head, '\n', HEAD_SIZE) : NULL;
	if (end)
		n = end + 1 - head;
	int r = zvm_directives_parse(head, (size_t)n, &script->directives, &script->reason);
	if (r == 0)
		r = zvm_box_check_program(content, &script->reason);
	if (r != 0 && r != -EINVAL && r != -ENOEXEC)
		return r;
	script->error = r;
	return 0;
}

/* The stored content of a script; `quick`: only if it is there already. */
static int find_content(struct zvm_scripts *s, struct zvm_script *script, int fd, bool quick, int *content)
{
	if (!quick)
		return zvm_blob_of_file(s->blobs, fd, &script->digest, &script->size, content);
	if (zvm_blob_quick(s->blobs, fd, &script->st, &script->digest))
		return -EAGAIN;
	script->size = (uint64_t)script->st.st_size;
	*content = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *content < 0 ? -errno : 0;
}

static int learn(struct zvm_scripts *s, const char *name, const struct place *place, bool quick,
                 struct zvm_script **ret)
{
	char path[PATH_MAX];
	if (!name_in(place, name, path))
		return -ENAMETOOLONG;
	zvm_autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	zvm_autofd int content = -1;
	if (fd < 0)
		return errno == ENOENT || errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : -EACCES;
	struct zvm_script *script = calloc(1, sizeof *script);
	if (!script)
		return -ENOMEM;
	script->references = 1;
	script->directory = place->host ? NULL : place->path;
	script->view = place->view;
	script->name = strdup(name);
	script->guard_count = (unsigned)(place - s->places) + 1;
	script->guards = calloc(script->guard_count, sizeof *script->guards);
	if (!script->guards)
		script->guard_count = 0;
	if (asprintf(&script->guest_path, "%s/%s", place->host ? place->path : "/script", name) < 0)
		script->guest_path = NULL;
	int r = script->name && script->guest_path && script->guards ? 0 : -ENOMEM;
	if (r == 0 && fstat(fd, &script->st) < 0)
		r = -errno;
	if (r == 0 && !S_ISREG(script->st.st_mode))
		r = -EACCES;
	r = r ? r : find_content(s, script, fd, quick, &content);
	r = r ? r : read_declarations(script, content);
	if (r) {
		free_script(script);
		return r;
	}
	remember(s, script);
	*ret = script;
	return 0;
}

int zvm_script_find(struct zvm_scripts *s, const char *name, bool quick, struct zvm_script **ret)
{
	struct stat st;
	const struct place *place;
	int r = locate(s, name, &st, &place);
	if (r)
		return r;
	*ret = recall(s, name, &st);
	/* Whoever only looks needs no content; a run does, and gc may have removed it. */
	if (*ret && !quick && !zvm_blob_stored(s->blobs, &(*ret)->digest)) {
		zvm_script_unref(*ret);
		*ret = NULL;
	}
	if (*ret)
		return 0;
	return learn(s, name, place, quick, ret);
}

/* --- the same again? --- */

#define GUARDED_MAX 64u /* places; whoever has more of them asks a stat of each */

static bool all_stand(const struct zvm_script *script)
{
	for (unsigned i = 0; i < script->guard_count; i++)
		if (!zvm_guard_stands(&script->guards[i]))
			return false;
	return true;
}

/* The number of the raising, 0: it was not raised. */
static unsigned raise_guard(struct zvm_scripts *s, struct zvm_script *script, unsigned i)
{
	const struct place *place = &s->places[i];
	struct zvm_guard *guard = &script->guards[i];
	char path[PATH_MAX];
	unsigned raising;
	if (zvm_guard_stands(guard) || !name_in(place, script->name, path) ||
	    zvm_guard_raise(zvm_blobs_watch(s->blobs), guard, AT_FDCWD, path, place->host ? 0 : ZVM_GUARD_OPENS,
	                    &raising))
		return 0;
	return raising;
}

bool zvm_script_stands(struct zvm_scripts *s, struct zvm_script *script)
{
	struct stat st;
	const struct place *place;
	unsigned raisings[GUARDED_MAX];
	unsigned count = script->guard_count < GUARDED_MAX ? script->guard_count : GUARDED_MAX;
	if (all_stand(script))
		return true;
	for (unsigned i = 0; i < count; i++)
		raisings[i] = raise_guard(s, script, i);
	bool same = locate(s, script->name, &st, &place) == 0 && place == &s->places[script->guard_count - 1] &&
	            same_file(&st, &script->st);
	for (unsigned i = 0; i < count; i++)
		if (raisings[i])
			zvm_guard_settle(&script->guards[i], raisings[i], same);
	return same;
}
