/*
 * Going over a store as a whole.
 *
 * Objects first: each must be a regular file of ours, read-only, whose bytes hash to its name. Then runs: each must
 * decode, lie under the address of its action, and find what it wrote among the objects. What a run *used* may be gone:
 * that costs only the chance to compute it again and compare, so such runs are counted, not condemned. Then the tables,
 * which are hints: an entry is whole or worth nothing. Last what is left over in tmp/, and what is not ours at all.
 *
 * No lock is taken, so that neither a daemon nor gc waits for a check of hours. Instead a finding is looked at again
 * before it counts: what has gone meanwhile was collected or set aside by somebody else, and a run whose output is
 * missing is damage only if the run is still there afterwards, for a run is written after its objects and collected
 * before them.
 *
 * Repairing never makes anything up. A damaged object is set aside in tmp/ as condemned-DIGEST, where a person may look
 * at it; a run that leads nowhere is removed; both are computed again by whoever asks next. A damaged entry of a table
 * is emptied in place, as those who use the table write to it.
 */
#include "fsck.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <zvm/cleanup.h>
#include <zvm/record.h>
#include "content.h"
#include "names.h"
#include "record_file.h"
#include "store_internal.h"
#include "survey.h"
#include "table.h"

#define PATH_ROOM 512

struct zvm_damaged {
	UT_hash_handle hh;
	struct zvm_digest digest;
};

/* --- findings --- */

static const char *path_text(char room[PATH_ROOM], const char *format, ...) __attribute__((format(printf, 2, 3)));

static const char *path_text(char room[PATH_ROOM], const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(room, PATH_ROOM, format, arguments);
	va_end(arguments);
	return room;
}

static void report(struct zvm_fsck *fsck, const char *path, const char *wrong, enum zvm_remedy remedy, int error)
{
	bool done = fsck->repair && remedy != ZVM_REMEDY_NONE && !error;
	fsck->problems += remedy != ZVM_REMEDY_NONE;
	fsck->repaired += done;
	fsck->found(fsck->context, &(struct zvm_finding){path, wrong, remedy, done, error});
}

static void show_progress(const struct zvm_fsck *fsck)
{
	if (fsck->progress)
		fsck->progress(fsck->context, fsck);
}

/* Out of the way, under a name that nothing has yet. */
static int set_strange_aside(const struct zvm_fsck *fsck, int directory, const char *name)
{
	char aside[300];
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(aside, sizeof aside, "strange-%.240s.%u", name, i);
		if (renameat2(directory, name, fsck->store->tmp, aside, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static void report_strange(struct zvm_fsck *fsck, const char *room, const char *shelf, int directory, const char *name,
                           const char *wrong)
{
	char path[PATH_ROOM];
	int error = fsck->repair ? set_strange_aside(fsck, directory, name) : 0;
	path_text(path, "%s/%s%s%s", room, shelf, *shelf ? "/" : "", name);
	if (error != -ENOENT)
		report(fsck, path, wrong, ZVM_REMEDY_SET_ASIDE, error);
}

/* --- objects --- */

static void remember_damaged(struct zvm_fsck *fsck, const struct zvm_digest *digest)
{
	struct zvm_damaged *d = calloc(1, sizeof *d);
	if (!d)
		return;
	d->digest = *digest;
	HASH_ADD(hh, fsck->damaged, digest, sizeof d->digest, d);
}

static bool is_damaged(const struct zvm_fsck *fsck, const struct zvm_digest *digest)
{
	struct zvm_damaged *d;
	struct zvm_digest name = {.high = digest->high, .low = digest->low, .twin = digest->twin};
	HASH_FIND(hh, fsck->damaged, &name, sizeof name, d);
	return d != NULL;
}

static void forget_damaged(struct zvm_fsck *fsck)
{
	struct zvm_damaged *d, *next;
	HASH_ITER(hh, fsck->damaged, d, next)
	{
		HASH_DEL(fsck->damaged, d);
		free(d);
	}
}

static bool is_there(int directory, const char *name)
{
	return faccessat(directory, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Is it this very file that has the name? */
static bool has_name(const struct zvm_surveyed *object, const struct stat *st)
{
	struct stat now;
	return fstatat(object->shelf, object->name, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_ino == st->st_ino &&
	       now.st_dev == st->st_dev;
}

static void condemn(struct zvm_fsck *fsck, const struct zvm_surveyed *object, const struct stat *st, const char *path,
                    const char *wrong)
{
	int error = 0;
	if (!has_name(object, st)) /* somebody else has found it, too */
		return;
	if (fsck->repair) {
		zvm_store_condemn(fsck->store, &object->digest, wrong);
		error = has_name(object, st) ? -EACCES : 0;
	}
	remember_damaged(fsck, &object->digest);
	report(fsck, path, wrong, ZVM_REMEDY_SET_ASIDE, error);
}

static void correct_mode(struct zvm_fsck *fsck, const struct zvm_surveyed *object, const char *path)
{
	char link[48];
	int error = 0;
	if (fsck->repair) {
		zvm_autofd int fd = openat(object->shelf, object->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			return;
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		error = fd < 0 || chmod(link, 0400) < 0 ? -errno : 0;
	}
	report(fsck, path, "its mode is not 0400", ZVM_REMEDY_MODE, error);
}

/* NULL: its bytes are what its name says; else what is wrong. *ret: trouble that says nothing about it. */
static const char *read_object(const struct zvm_surveyed *object, const struct stat *st, int *ret)
{
	struct zvm_digest found;
	zvm_autofd int fd = openat(object->shelf, object->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	*ret = fd < 0 ? -errno : zvm_content_hash(fd, (uint64_t)st->st_size, &found);
	if (*ret == -ENOENT || *ret == -ENOMEM || *ret == -EMFILE || *ret == -ENFILE)
		return NULL;
	bool unreadable = *ret && *ret != -ENODATA;
	bool same = *ret == 0 && found.high == object->digest.high && found.low == object->digest.low;
	*ret = 0;
	return unreadable ? "it cannot be read" : same ? NULL : "its bytes do not match its name";
}

/* What no regular file is, and may be none of ours. */
static const char *wrong_about(const struct stat *st)
{
	if (S_ISLNK(st->st_mode))
		return "it is a symbolic link";
	if (!S_ISREG(st->st_mode))
		return "it is no regular file";
	return st->st_uid == geteuid() ? NULL : "it belongs to another user";
}

static int check_object(void *context, const struct zvm_surveyed *object)
{
	struct zvm_fsck *fsck = context;
	struct stat st;
	char path[PATH_ROOM];
	int r = 0;
	if (!object->ours) {
		report_strange(fsck, "objects", object->shelf_name, object->shelf, object->name,
		               "no object is called that here");
		return 0;
	}
	if (fstatat(object->shelf, object->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	path_text(path, "objects/%s/%s", object->shelf_name, object->name);
	const char *wrong = wrong_about(&st);
	if (!wrong && (st.st_mode & 07777) != 0400)
		correct_mode(fsck, object, path);
	if (!wrong && (st.st_mode & 0400 || fsck->repair || geteuid() == 0))
		wrong = read_object(object, &st, &r);
	if (wrong)
		condemn(fsck, object, &st, path, wrong);
	fsck->objects++;
	fsck->object_bytes += (uint64_t)st.st_size;
	show_progress(fsck);
	return r == -ENOENT ? 0 : r;
}

/* --- runs --- */

static int stat_object(const struct zvm_fsck *fsck, const struct zvm_digest *digest, struct stat *st)
{
	char name[3 + ZVM_DIGEST_TEXT];
	zvm_digest_format(digest, name + 3);
	memcpy(name, name + 3, 2);
	name[2] = '/';
	return fstatat(fsck->store->objects, name, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* NULL if what was written is there. An empty output has no object. */
static const char *wrong_about_output(const struct zvm_fsck *fsck, const struct zvm_output *output)
{
	struct stat st;
	if (!output->size)
		return NULL;
	int r = stat_object(fsck, &output->digest, &st);
	if (r || !S_ISREG(st.st_mode))
		return "what it wrote is not there";
	if ((uint64_t)st.st_size != output->size || is_damaged(fsck, &output->digest))
		return "what it wrote is damaged";
	return NULL;
}

static const char *wrong_about_outputs(const struct zvm_fsck *fsck, const struct zvm_record *record)
{
	const char *wrong = wrong_about_output(fsck, &record->out);
	return wrong ? wrong : wrong_about_output(fsck, &record->err);
}

static bool is_kept(const struct zvm_fsck *fsck, const struct zvm_digest *digest)
{
	struct stat st;
	return stat_object(fsck, digest, &st) == 0 && S_ISREG(st.st_mode) && !is_damaged(fsck, digest);
}

/* Is everything that the run used still there? */
static bool is_verifiable(const struct zvm_fsck *fsck, const struct zvm_action *action, const struct zvm_record *record)
{
	bool kept = is_kept(fsck, &action->script_blob) && is_kept(fsck, &action->input_blob);
	for (unsigned i = 0; kept && i < record->dependency_count; i++) {
		const struct zvm_answer *answer = &record->dependencies[i].answer;
		kept = !answer->has_content || is_kept(fsck, &answer->digest);
	}
	return kept;
}

static bool lies_right(const struct zvm_action *action, const struct zvm_digest *address)
{
	zvm_autobytes struct zvm_bytes bytes = {0};
	struct zvm_digest found = {0};
	if (zvm_action_encode(action, &bytes))
		return true; /* no memory: that says nothing about it */
	zvm_memory_hash(bytes.data, bytes.size, &found);
	return found.high == address->high && found.low == address->low;
}

/* What is wrong with a run that could be read. */
static const char *wrong_about_run(struct zvm_fsck *fsck, const struct zvm_surveyed *at, int directory,
                                   const char *name)
{
	struct zvm_action *action;
	struct zvm_record *record;
	int r = zvm_record_file_read_any(directory, name, &action, &record);
	if (r == -ENOENT || r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return NULL;
	if (r)
		return r == -EBADMSG ? "it is damaged" : "it cannot be read";
	const char *wrong = lies_right(action, &at->digest) ? wrong_about_outputs(fsck, record)
	                                                    : "it is a run of another action than its place says";
	fsck->unverifiable += !wrong && !is_verifiable(fsck, action, record);
	zvm_action_free(action);
	zvm_record_free(record);
	return wrong;
}

static void check_run(struct zvm_fsck *fsck, const struct zvm_surveyed *at, int directory, const char *name)
{
	char path[PATH_ROOM];
	unsigned long number;
	path_text(path, "%s/%s", at->shelf_name, at->name);
	if (!zvm_record_file_number(name, &number)) {
		report_strange(fsck, "records", path, directory, name, "no run is called that");
		return;
	}
	const char *wrong = wrong_about_run(fsck, at, directory, name);
	fsck->runs++;
	show_progress(fsck);
	if (!wrong || !is_there(directory, name))
		return;
	int error = fsck->repair && unlinkat(directory, name, 0) < 0 ? -errno : 0;
	path_text(path, "records/%s/%s/%s", at->shelf_name, at->name, name);
	if (error == -EISDIR)
		report_strange(fsck, "records", path + strlen("records/"), directory, name, wrong);
	else if (error != -ENOENT)
		report(fsck, path, wrong, ZVM_REMEDY_REMOVE, error);
}

static int walk_runs(struct zvm_fsck *fsck, const struct zvm_surveyed *at)
{
	int fd = openat(at->shelf, at->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return -errno;
	for (struct dirent *d; (d = readdir(dir));)
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			check_run(fsck, at, dirfd(dir), d->d_name);
	closedir(dir);
	return 0;
}

static int check_action(void *context, const struct zvm_surveyed *at)
{
	struct zvm_fsck *fsck = context;
	int r = at->ours && !at->digest.twin ? walk_runs(fsck, at) : -ENOTDIR;
	if (r == -ENOTDIR || r == -ELOOP) {
		report_strange(fsck, "records", at->shelf_name, at->shelf, at->name, "no action's runs are kept there");
		r = 0;
	}
	return r == -ENOENT ? 0 : r;
}

/* --- tables --- */

struct known_table {
	const char *name;
	int (*open)(struct zvm_store *store, struct zvm_table **ret);
};

static const struct known_table tables[] = {
        {"shortcuts", zvm_shortcuts_open}, {"derived", zvm_derived_table_open}, {"names", zvm_names_open}};
#define TABLE_COUNT (sizeof tables / sizeof tables[0])

static int check_table(struct zvm_fsck *fsck, const struct known_table *known)
{
	const char *name = known->name;
	struct zvm_table *table;
	struct stat st;
	char path[PATH_ROOM], wrong[96];
	uint64_t entries, damaged = 0;
	zvm_autofd int room = openat(fsck->store->directory, "stat", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fstatat(room, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT || errno == EBADF ? 0 : -errno;
	if (wrong_about(&st)) {
		report_strange(fsck, "stat", "", room, name, wrong_about(&st));
		return 0;
	}
	int r = known->open(fsck->store, &table);
	r = r ? r : zvm_table_check(table, false, &entries, &damaged);
	if (r == 0 && damaged) { /* one that is just being written is seen in half, but not the next time */
		usleep(20000);
		r = zvm_table_check(table, fsck->repair, &entries, &damaged);
	}
	zvm_table_close(table);
	snprintf(wrong, sizeof wrong, "entries of it that are damaged: %llu", (unsigned long long)damaged);
	if (r == 0 && damaged)
		report(fsck, path_text(path, "stat/%s", name), wrong, ZVM_REMEDY_CLEAR, 0);
	return r;
}

/* --- what is left over, and what is not ours --- */

static int walk(int parent, const char *name, void (*visit)(struct zvm_fsck *fsck, int directory, const char *name),
                struct zvm_fsck *fsck)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	for (struct dirent *d; (d = readdir(dir));)
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			visit(fsck, dirfd(dir), d->d_name);
	closedir(dir);
	return 0;
}

static void count_leftover(struct zvm_fsck *fsck, int directory, const char *name)
{
	struct stat st;
	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	fsck->leftovers++;
	fsck->leftover_bytes += (uint64_t)st.st_size;
}

static void note_strange(struct zvm_fsck *fsck, const char *room, const char *name)
{
	char path[PATH_ROOM];
	report(fsck, path_text(path, "%s%s", room, name), "it is not part of a store", ZVM_REMEDY_NONE, 0);
}

static bool is_among(const char *name, const char *const *names)
{
	while (*names && strcmp(name, *names))
		names++;
	return *names != NULL;
}

/* Beside what is ours a person may keep what he likes, or a filesystem its lost+found. */
static void look_at_top(struct zvm_fsck *fsck, int directory, const char *name)
{
	static const char *const ours[] = {"objects", "records", "stat", "tmp", "lock", "version", "secret", NULL};
	(void)directory;
	if (!is_among(name, ours))
		note_strange(fsck, "", name);
}

static void look_at_table(struct zvm_fsck *fsck, int directory, const char *name)
{
	(void)directory;
	for (size_t i = 0; i < TABLE_COUNT; i++)
		if (!strcmp(tables[i].name, name))
			return;
	if (strcmp(name, "gc")) /* counters and locks (accord.h): nothing in it can be wrong */
		note_strange(fsck, "stat/", name);
}

int zvm_fsck(struct zvm_fsck *fsck)
{
	int r = zvm_survey_objects(fsck->store, check_object, fsck);
	r = r ? r : zvm_survey_records(fsck->store, check_action, fsck);
	for (size_t i = 0; r == 0 && i < TABLE_COUNT; i++)
		r = check_table(fsck, &tables[i]);
	r = r ? r : walk(fsck->store->directory, "stat", look_at_table, fsck);
	r = r ? r : walk(fsck->store->directory, ".", look_at_top, fsck);
	r = r ? r : walk(fsck->store->tmp, ".", count_leftover, fsck);
	forget_damaged(fsck);
	return r;
}
