/*
 * The FUSE side: names, attributes, and the session. Thin: what a name means is inputs.c and the engine, what an inode
 * is inode.c.
 *
 * When the kernel asks for what. Every path walk asks LOOKUP for the last component (files are never cached by name).
 * LOOKUP of an inode that is bound to a result compares it with what is true now: if it speaks of an old one, the name
 * gets a new inode, and who holds the old one goes on reading it. As long as the walk's LOOKUP was right, attributes of
 * a bound inode may be cached: no result ever changes. Attributes of an inode without a result never are, so GETATTR
 * follows for a stat, for permissions, and for a read to the end; it looks whether there is a result by now. OPEN
 * compares once more, for there are ways to open without a walk.
 *
 * Handlers do not wait for runs or for the host's files: that is answered from an engine thread (ops_open.c). They do
 * read a stored object once, when this process first uses it, to check it.
 */
#include "ops.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "audience.h"
#include "facts.h"

#define DIRECTORY_TIMEOUT 1.0
#define BOUND_TIMEOUT 1.0

enum { NUMBER_README = 2, NUMBER_STATS, NUMBER_CAS, NUMBER_TREE, NUMBER_RUNNING = NUMBER_TREE + ZVM_TREE_COUNT };

static const char *const tree_names[ZVM_TREE_COUNT] = {"run", "err", "info", "stream"};

struct zvm_inode *zvm_inode_of(fuse_ino_t number)
{
	return number == FUSE_ROOT_ID ? NULL : (struct zvm_inode *)(uintptr_t)number;
}

/* --- handles --- */

struct zvm_handle *zvm_handle_new(void)
{
	struct zvm_handle *handle = calloc(1, sizeof *handle);
	if (!handle)
		return NULL;
	handle->fd = handle->live_fd = handle->watch = -1;
	pthread_mutex_init(&handle->lock, NULL);
	return handle;
}

void zvm_handle_free(struct zvm_handle *handle)
{
	if (!handle)
		return;
	if (handle->own_fd)
		zvm_close_pointer(&handle->fd);
	zvm_close_pointer(&handle->live_fd);
	zvm_result_unref(handle->result);
	pthread_mutex_destroy(&handle->lock);
	free(handle->text);
	free(handle);
}

/* What a tree shows of a result. 0 or -errno, which is what open answers. */
int zvm_result_open_kind(enum zvm_tree tree, struct zvm_result *result, struct zvm_handle *handle)
{
	handle->result = result;
	switch (tree) {
	case ZVM_TREE_ERR:
		handle->fd = result->err_fd;
		handle->size = result->err_size;
		handle->stored = result->err_stored;
		handle->digest = result->err_digest;
		return 0;
	case ZVM_TREE_INFO: return zvm_result_info(result, &handle->fd, &handle->size);
	default:
		handle->fd = result->out_fd;
		handle->size = result->out_size;
		handle->stored = true;
		handle->digest = result->out_digest;
		handle->fails = result->failed;
		return result->error;
	}
}

/* --- readers --- */

static bool is_in_group(fuse_req_t request, gid_t gid)
{
	gid_t groups[256];
	if (fuse_req_ctx(request)->gid == gid)
		return true;
	int n = fuse_req_getgroups(request, 256, groups);
	for (int i = 0; i < n && i < 256; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

mode_t zvm_reader_class(fuse_req_t request, const struct zvm_inode *inode)
{
	struct zvm_mount *mount = zvm_mount_of(request);
	uid_t uid = fuse_req_ctx(request)->uid;
	struct stat input;
	if (!mount->others || uid == 0 || uid == geteuid())
		return 0;
	if (zvm_inputs_stat(mount->inputs, inode->path, &input))
		return S_IROTH;
	return uid == input.st_uid ? S_IRUSR : is_in_group(request, input.st_gid) ? S_IRGRP : S_IROTH;
}

/* --- attributes --- */

/* One link: nobody may conclude from their number that there are no directories below, as old tree walkers do from 2.
 */
static void directory_attributes(struct stat *st, uint64_t number)
{
	*st = (struct stat){.st_ino = number,
	                    .st_mode = S_IFDIR | 0555,
	                    .st_nlink = 1,
	                    .st_uid = geteuid(),
	                    .st_gid = getegid(),
	                    .st_blksize = 4096};
}

static void text_attributes(struct stat *st, uint64_t number, uint64_t size)
{
	*st = (struct stat){.st_ino = number,
	                    .st_mode = S_IFREG | 0444,
	                    .st_nlink = 1,
	                    .st_uid = geteuid(),
	                    .st_gid = getegid(),
	                    .st_blksize = 4096,
	                    .st_size = (off_t)size,
	                    .st_blocks = (blkcnt_t)((size + 511) / 512)};
}

/* Who may read what scripts make of an input, before it is known which files they read. */
static mode_t scripts_audience(struct zvm_mount *mount, const struct zvm_spec *spec, const struct stat *input)
{
	struct zvm_audience audience = zvm_audience_begin(input);
	for (unsigned i = 0; i < spec->stage_count; i++) {
		struct stat script;
		if (zvm_engine_find_script(mount->engine, spec->stages[i].words[0], &script, NULL) != -ENOENT)
			zvm_audience_narrow(&audience, &script, S_IROTH | S_IXOTH);
	}
	return audience.mode;
}

static uint64_t info_size(struct zvm_result *result)
{
	int fd;
	uint64_t size;
	return !result->story ? result->info_size : zvm_result_info(result, &fd, &size) ? 0 : size;
}

static void result_attributes(enum zvm_tree tree, struct zvm_result *result, struct stat *st)
{
	uint64_t size = tree == ZVM_TREE_ERR    ? result->err_size
	                : tree == ZVM_TREE_INFO ? info_size(result)
	                                        : result->out_size;
	st->st_size = (off_t)size;
	st->st_blocks = (blkcnt_t)((size + 511) / 512);
	/* Whole seconds: the input's fraction beside them would be a time that may be yet to come. */
	st->st_mtim = st->st_ctim = st->st_atim = (struct timespec){.tv_sec = result->computed_at};
}

/* A file of the trees; input NULL: it has gone; result NULL: not computed. */
static void fill_attributes(struct zvm_mount *mount, struct zvm_inode *inode, const struct stat *input,
                            struct zvm_result *result, struct stat *st)
{
	if (input) {
		mode_t audience = result ? result->audience : scripts_audience(mount, inode->spec, input);
		*st = (struct stat){.st_ino = inode->number,
		                    .st_mode = S_IFREG | (input->st_mode & audience),
		                    .st_nlink = 1,
		                    .st_uid = input->st_uid,
		                    .st_gid = input->st_gid,
		                    .st_blksize = 4096,
		                    .st_atim = input->st_mtim,
		                    .st_mtim = input->st_mtim,
		                    .st_ctim = input->st_mtim};
	} else {
		text_attributes(st, inode->number, 0);
	}
	if (result && inode->tree != ZVM_TREE_STREAM)
		result_attributes(inode->tree, result, st);
}

/* The same; -ENOENT if the input has gone and there is no result to speak for it. */
static int file_attributes(struct zvm_mount *mount, struct zvm_inode *inode, struct zvm_result *result, struct stat *st)
{
	struct stat input;
	int r = zvm_inputs_stat(mount->inputs, inode->path, &input);
	if (r && !result)
		return r;
	fill_attributes(mount, inode, r ? NULL : &input, result, st);
	return 0;
}

static int input_directory_attributes(struct zvm_mount *mount, struct zvm_inode *inode, struct stat *st)
{
	struct stat input;
	int r = zvm_inputs_stat(mount->inputs, inode->path, &input);
	if (r)
		return r;
	if (!S_ISDIR(input.st_mode))
		return -ENOENT;
	directory_attributes(st, inode->number);
	st->st_mode = S_IFDIR | (input.st_mode & 0555);
	st->st_uid = input.st_uid;
	st->st_gid = input.st_gid;
	st->st_mtim = st->st_ctim = st->st_atim = input.st_mtim;
	return 0;
}

static int object_attributes(struct zvm_mount *mount, struct zvm_inode *inode, struct stat *st)
{
	struct zvm_digest digest;
	uint64_t size;
	zvm_autofd int fd = -1;
	int r = zvm_digest_parse(inode->path, &digest);
	r = r ? -ENOENT : zvm_store_object(mount->store, &digest, &fd, &size);
	if (r)
		return r;
	text_attributes(st, inode->number, size);
	st->st_mode = S_IFREG | 0400;
	return 0;
}

/* All but files of the trees. */
static int plain_attributes(struct zvm_mount *mount, struct zvm_inode *inode, struct stat *st)
{
	switch (inode ? inode->kind : ZVM_INODE_ROOT) {
	case ZVM_INODE_ROOT: directory_attributes(st, FUSE_ROOT_ID); return 0;
	case ZVM_INODE_README:
	case ZVM_INODE_STATS:
		text_attributes(st, inode->kind == ZVM_INODE_README ? NUMBER_README : NUMBER_STATS, 0);
		return 0;
	case ZVM_INODE_RUNNING: text_attributes(st, NUMBER_RUNNING, 0); return 0;
	case ZVM_INODE_CAS:
		directory_attributes(st, NUMBER_CAS);
		st->st_mode = S_IFDIR | 0500;
		return 0;
	case ZVM_INODE_TREE: directory_attributes(st, NUMBER_TREE + inode->tree); return 0;
	case ZVM_INODE_DIRECTORY: return input_directory_attributes(mount, inode, st);
	default: return object_attributes(mount, inode, st);
	}
}

static int target_of(struct zvm_mount *mount, struct zvm_inode *inode, struct zvm_target *ret, int *ret_fd)
{
	int r = zvm_inputs_open_file(mount->inputs, inode->path, ret_fd);
	*ret = (struct zvm_target){
	        .spec = inode->spec, .input_name = inode->path, .input_fd = *ret_fd, .nonce = inode->nonce};
	return r;
}

/* The stored result that is true now, or NULL. */
static struct zvm_result *peek(struct zvm_mount *mount, struct zvm_inode *inode)
{
	struct zvm_target target;
	struct zvm_result *result;
	zvm_autofd int fd = -1;
	if (target_of(mount, inode, &target, &fd) || zvm_engine_peek(mount->engine, &target, &result))
		return NULL;
	return result;
}

/* --- lookup --- */

static void reply_entry(fuse_req_t request, struct zvm_inode *inode, const struct stat *st, double name_timeout,
                        double attribute_timeout)
{
	struct fuse_entry_param entry = {.ino = (fuse_ino_t)(uintptr_t)inode,
	                                 .generation = inode->generation,
	                                 .attr = *st,
	                                 .entry_timeout = name_timeout,
	                                 .attr_timeout = attribute_timeout};
	if (fuse_reply_entry(request, &entry) != 0) /* interrupted meanwhile: the kernel holds no reference */
		zvm_inode_forget(zvm_mount_of(request)->inodes, inode, 1);
}

static void finish_lookup(fuse_req_t request, struct zvm_inode *inode, int error, const struct stat *st,
                          double name_timeout, double attribute_timeout)
{
	if (error) {
		if (inode)
			zvm_inode_forget(zvm_mount_of(request)->inodes, inode, 1);
		fuse_reply_err(request, -error);
		return;
	}
	reply_entry(request, inode, st, name_timeout, attribute_timeout);
}

static void lookup_plain(fuse_req_t request, enum zvm_inode_kind kind, enum zvm_tree tree, const char *spec,
                         const char *path)
{
	struct zvm_mount *mount = zvm_mount_of(request);
	struct stat st;
	struct zvm_inode *inode = zvm_inode_get(mount->inodes, kind, tree, spec, path);
	int r = inode ? plain_attributes(mount, inode, &st) : -ENOMEM;
	bool changes = kind == ZVM_INODE_README || kind == ZVM_INODE_STATS || kind == ZVM_INODE_RUNNING;
	double timeout = changes ? 0 : DIRECTORY_TIMEOUT;
	finish_lookup(request, inode, r, &st, timeout, timeout);
}

static void lookup_root(fuse_req_t request, const char *name)
{
	for (enum zvm_tree tree = 0; tree < ZVM_TREE_COUNT; tree++)
		if (!strcmp(name, tree_names[tree])) {
			lookup_plain(request, ZVM_INODE_TREE, tree, "", "");
			return;
		}
	if (!strcmp(name, "README"))
		lookup_plain(request, ZVM_INODE_README, 0, "", "");
	else if (!strcmp(name, "stats"))
		lookup_plain(request, ZVM_INODE_STATS, 0, "", "");
	else if (!strcmp(name, ZVM_RUNNING_NAME))
		lookup_plain(request, ZVM_INODE_RUNNING, 0, "", "");
	else if (!strcmp(name, "cas"))
		lookup_plain(request, ZVM_INODE_CAS, 0, "", "");
	else
		fuse_reply_err(request, ENOENT);
}

/* A spec resolves if it parses and all its scripts exist; whether they can be run is said by open. */
static int check_spec(struct zvm_mount *mount, const char *text)
{
	struct zvm_spec *spec;
	struct stat st;
	int r = zvm_spec_parse(text, &spec);
	if (r)
		return r;
	for (unsigned i = 0; r == 0 && i < spec->stage_count; i++)
		if (zvm_engine_find_script(mount->engine, spec->stages[i].words[0], &st, NULL) == -ENOENT)
			r = -ENOENT;
	zvm_spec_free(spec);
	return r;
}

/*
 * What the result says of the file; also of one that is never remembered: GETATTR follows at once where nothing may be
 * cached, and would compute it again.
 */
static void after_stat_lookup(fuse_req_t request, struct zvm_inode *inode, struct zvm_result *result)
{
	struct stat st;
	bool fresh;
	int r = 0;
	if (result && !result->error)
		r = zvm_inode_bind(zvm_mount_of(request)->inodes, inode, result, &fresh);
	r = r ? r : file_attributes(zvm_mount_of(request), inode, result && !result->error ? result : NULL, &st);
	zvm_result_unref(result);
	finish_lookup(request, inode, r, &st, 0, BOUND_TIMEOUT);
}

/* Does the inode's result still hold? *result is what is bound afterwards: it may stand on other files by now, or be
 * others' to read. */
static bool still_true(struct zvm_mount *mount, struct zvm_inode *inode, struct zvm_result **result,
                       const struct stat *input)
{
	bool fresh;
	if (zvm_engine_stands(mount->engine, *result, input))
		return true;
	struct zvm_result *now = peek(mount, inode);
	bool same = now && zvm_result_same(now, *result) && zvm_inode_bind(mount->inodes, inode, now, &fresh) == 0;
	zvm_result_unref(now);
	if (!same)
		return false;
	zvm_result_unref(*result);
	*result = zvm_inode_result(mount->inodes, inode);
	return true;
}

static void lookup_file(fuse_req_t request, enum zvm_tree tree, const char *spec, const char *path,
                        const struct stat *input)
{
	struct zvm_mount *mount = zvm_mount_of(request);
	struct stat st;
	struct zvm_inode *inode = zvm_inode_get(mount->inodes, ZVM_INODE_FILE, tree, spec, path);
	if (!inode) {
		fuse_reply_err(request, ENOMEM);
		return;
	}
	struct zvm_result *result = zvm_inode_result(mount->inodes, inode);
	if (result && !still_true(mount, inode, &result, input)) {
		zvm_inode_detach(mount->inodes, inode);
		zvm_inode_forget(mount->inodes, inode, 1);
		zvm_result_unref(result);
		lookup_file(request, tree, spec, path, input);
		return;
	}
	if (mount->stat_runs && !result && tree == ZVM_TREE_RUN) {
		zvm_compute_for_stat(request, inode, after_stat_lookup);
		return;
	}
	fill_attributes(mount, inode, input, result, &st);
	reply_entry(request, inode, &st, 0, result ? BOUND_TIMEOUT : 0);
	zvm_result_unref(result);
}

static void lookup_input(fuse_req_t request, struct zvm_inode *parent, const char *name)
{
	struct zvm_mount *mount = zvm_mount_of(request);
	char path[PATH_MAX];
	struct stat st;
	if (snprintf(path, sizeof path, "%s%s%s", parent->path, *parent->path ? "/" : "", name) >= (int)sizeof path) {
		fuse_reply_err(request, ENAMETOOLONG);
		return;
	}
	int r = zvm_inputs_stat(mount->inputs, path, &st);
	if (r)
		fuse_reply_err(request, -r);
	else if (S_ISDIR(st.st_mode))
		lookup_plain(request, ZVM_INODE_DIRECTORY, parent->tree, parent->spec->text, path);
	else
		lookup_file(request, parent->tree, parent->spec->text, path, &st);
}

static void lookup_object(fuse_req_t request, const char *name)
{
	struct zvm_digest digest;
	if (fuse_req_ctx(request)->uid != geteuid())
		fuse_reply_err(request, EACCES);
	else if (zvm_digest_parse(name, &digest))
		fuse_reply_err(request, ENOENT);
	else
		lookup_plain(request, ZVM_INODE_OBJECT, 0, "", name);
}

static void op_lookup(fuse_req_t request, fuse_ino_t number, const char *name)
{
	struct zvm_inode *parent = zvm_inode_of(number);
	int r;
	if (strlen(name) > NAME_MAX) {
		fuse_reply_err(request, ENAMETOOLONG);
		return;
	}
	switch (parent ? parent->kind : ZVM_INODE_ROOT) {
	case ZVM_INODE_ROOT: lookup_root(request, name); break;
	case ZVM_INODE_TREE:
		r = check_spec(zvm_mount_of(request), name);
		if (r)
			fuse_reply_err(request, -r);
		else
			lookup_plain(request, ZVM_INODE_DIRECTORY, parent->tree, name, "");
		break;
	case ZVM_INODE_DIRECTORY: lookup_input(request, parent, name); break;
	case ZVM_INODE_CAS: lookup_object(request, name); break;
	default: fuse_reply_err(request, ENOTDIR);
	}
}

static void op_forget(fuse_req_t request, fuse_ino_t number, uint64_t lookups)
{
	struct zvm_inode *inode = zvm_inode_of(number);
	if (inode)
		zvm_inode_forget(zvm_mount_of(request)->inodes, inode, lookups);
	fuse_reply_none(request);
}

static void op_forget_multi(fuse_req_t request, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++) {
		struct zvm_inode *inode = zvm_inode_of(forgets[i].ino);
		if (inode)
			zvm_inode_forget(zvm_mount_of(request)->inodes, inode, forgets[i].nlookup);
	}
	fuse_reply_none(request);
}

/* --- getattr --- */

static void reply_attributes(fuse_req_t request, int error, const struct stat *st, double timeout)
{
	if (error)
		fuse_reply_err(request, -error);
	else
		fuse_reply_attr(request, st, timeout);
}

static void after_stat_getattr(fuse_req_t request, struct zvm_inode *inode, struct zvm_result *result)
{
	struct stat st;
	bool fresh;
	int r = 0;
	if (result && !result->error)
		r = zvm_inode_bind(zvm_mount_of(request)->inodes, inode, result, &fresh);
	r = r ? r : file_attributes(zvm_mount_of(request), inode, result && !result->error ? result : NULL, &st);
	zvm_result_unref(result);
	reply_attributes(request, r, &st, 0);
}

static void getattr_file(fuse_req_t request, struct zvm_inode *inode)
{
	struct zvm_mount *mount = zvm_mount_of(request);
	struct stat st;
	bool fresh;
	int r = 0;
	struct zvm_result *result = zvm_inode_result(mount->inodes, inode);
	if (!result) {
		result = peek(mount, inode);
		r = result ? zvm_inode_bind(mount->inodes, inode, result, &fresh) : 0;
	}
	if (!result && mount->stat_runs && inode->tree == ZVM_TREE_RUN) {
		zvm_compute_for_stat(request, inode, after_stat_getattr);
		return;
	}
	r = r ? r : file_attributes(mount, inode, result, &st);
	reply_attributes(request, r, &st, result ? BOUND_TIMEOUT : 0);
	zvm_result_unref(result);
}

static void getattr_plain(fuse_req_t request, struct zvm_inode *inode)
{
	struct stat st;
	int r = plain_attributes(zvm_mount_of(request), inode, &st);
	reply_attributes(request, r, &st, r == 0 && S_ISDIR(st.st_mode) ? DIRECTORY_TIMEOUT : 0);
}

static void op_getattr(fuse_req_t request, fuse_ino_t number, struct fuse_file_info *info)
{
	struct zvm_inode *inode = zvm_inode_of(number);
	(void)info;
	if (inode && inode->kind == ZVM_INODE_FILE)
		getattr_file(request, inode);
	else
		getattr_plain(request, inode);
}

/* --- extended attributes: what is known, without running anything --- */

static int attribute_value(struct zvm_mount *mount, struct zvm_inode *inode, const char *name, char value[64])
{
	bool state = !strcmp(name, "user.zvm.state"), digest = !strcmp(name, "user.zvm.digest"),
	     exit = !strcmp(name, "user.zvm.exit"), wall = !strcmp(name, "user.zvm.wall_us");
	if (!inode || inode->kind != ZVM_INODE_FILE || inode->tree != ZVM_TREE_RUN ||
	    (!state && !digest && !exit && !wall))
		return -ENODATA;
	struct zvm_result *result = peek(mount, inode);
	if (!result && !state)
		return -ENODATA;
	if (state)
		snprintf(value, 64, "%s", !result ? "absent" : result->failed ? "failed" : "computed");
	else if (digest)
		zvm_digest_format(&result->out_digest, value);
	else if (wall)
		snprintf(value, 64, "%llu", (unsigned long long)result->wall_us);
	else
		snprintf(value, 64, "%d", result->signal ? 128 + result->signal : result->exit_status);
	zvm_result_unref(result);
	return 0;
}

static void reply_value(fuse_req_t request, const char *value, size_t length, size_t room)
{
	if (!room)
		fuse_reply_xattr(request, length);
	else if (room < length)
		fuse_reply_err(request, ERANGE);
	else
		fuse_reply_buf(request, value, length);
}

/* For the owner's commands; listed nowhere. */
static void reply_facts(fuse_req_t request, size_t room)
{
	const struct zvm_mount *mount = zvm_mount_of(request);
	if (fuse_req_ctx(request)->uid != geteuid())
		fuse_reply_err(request, EACCES);
	else
		reply_value(request, mount->facts, mount->facts_size, room);
}

static void op_getxattr(fuse_req_t request, fuse_ino_t number, const char *name, size_t room)
{
	char value[64];
	if (number == FUSE_ROOT_ID && !strcmp(name, ZVM_FACTS_ATTRIBUTE)) {
		reply_facts(request, room);
		return;
	}
	int r = attribute_value(zvm_mount_of(request), zvm_inode_of(number), name, value);
	if (r)
		fuse_reply_err(request, -r);
	else
		reply_value(request, value, strlen(value), room);
}

static void op_listxattr(fuse_req_t request, fuse_ino_t number, size_t room)
{
	static const char names[] = "user.zvm.state\0user.zvm.digest\0user.zvm.exit";
	struct zvm_inode *inode = zvm_inode_of(number);
	bool has = inode && inode->kind == ZVM_INODE_FILE && inode->tree == ZVM_TREE_RUN;
	reply_value(request, names, has ? sizeof names : 0, room);
}

static void op_statfs(fuse_req_t request, fuse_ino_t number)
{
	struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = NAME_MAX, .f_flag = ST_RDONLY};
	(void)number;
	fuse_reply_statfs(request, &st);
}

/* --- the session --- */

static void op_init(void *context, struct fuse_conn_info *connection)
{
	struct zvm_mount_state *state = context;
	/* An inode's bytes never change, so the kernel need not look whether they did at every read. */
	connection->want &= ~(unsigned)(FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_AUTO_INVAL_DATA);
	connection->max_readahead = 1 << 20;
	if (state->mount->ready)
		state->mount->ready(state->mount->ready_context);
}

static const struct fuse_lowlevel_ops operations = {
        .init = op_init,
        .lookup = op_lookup,
        .forget = op_forget,
        .forget_multi = op_forget_multi,
        .getattr = op_getattr,
        .open = zvm_op_open,
        .read = zvm_op_read,
        .release = zvm_op_release,
        .opendir = zvm_op_opendir,
        .readdir = zvm_op_readdir,
        .releasedir = zvm_op_releasedir,
        .getxattr = op_getxattr,
        .listxattr = op_listxattr,
        .statfs = op_statfs,
};

static int build_arguments(const struct zvm_mount *mount, struct fuse_args *arguments)
{
	char options[4096];
	/* ro: the kernel itself answers EROFS to every change, before permissions are looked at. */
	snprintf(options, sizeof options, "ro,default_permissions,fsname=zvm,subtype=zvm,nodev,nosuid%s%s",
	         mount->fuse_options ? "," : "", mount->fuse_options ? mount->fuse_options : "");
	if (fuse_opt_add_arg(arguments, "zvm") || fuse_opt_add_arg(arguments, "-o") ||
	    fuse_opt_add_arg(arguments, options))
		return -ENOMEM;
	return mount->debug && fuse_opt_add_arg(arguments, "-d") ? -ENOMEM : 0;
}

static int serve(struct zvm_mount *mount, struct zvm_mount_state *state)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, 0);
	fuse_loop_cfg_set_max_threads(config, 4); /* handlers never wait, so a few serve any number of readers */
	int r = fuse_session_loop_mt(state->session, config);
	fuse_loop_cfg_destroy(config);
	(void)mount;
	return r < 0 ? r : 0; /* > 0: the signal that asked us to end */
}

int zvm_mount_serve(struct zvm_mount *mount)
{
	struct fuse_args arguments = FUSE_ARGS_INIT(0, NULL);
	struct zvm_mount_state state = {.mount = mount};
	int r = build_arguments(mount, &arguments);
	r = r ? r : zvm_streams_open(mount, &state.streams);
	if (r == 0) {
		state.session = fuse_session_new(&arguments, &operations, sizeof operations, &state);
		r = state.session ? 0 : -EINVAL;
	}
	if (r == 0 && fuse_set_signal_handlers(state.session))
		r = -EIO;
	if (r == 0 && fuse_session_mount(state.session, mount->mountpoint)) {
		fuse_remove_signal_handlers(state.session);
		r = -ENOTCONN;
	}
	if (r == 0) {
		r = serve(mount, &state);
		/* Readers that still wait are answered before the session goes. */
		zvm_engine_close(mount->engine);
		mount->engine = NULL;
		fuse_remove_signal_handlers(state.session);
		fuse_session_unmount(state.session);
	}
	zvm_streams_close(state.streams);
	if (state.session)
		fuse_session_destroy(state.session);
	fuse_opt_free_args(&arguments);
	return r;
}
