/*
 * zvm mount: checks everything that can be wrong while there still is a terminal to say it on, forks the daemon, and
 * returns when the mount answers. The daemon's parts come up in the order in which they need each other: store,
 * launcher (before there is any thread), engine, session.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include <zvm/command.h>
#include <zvm/mount.h>
#include "facts.h"
#include "gc.h"
#include "keeper.h"
#include "mountpoint.h"
#include "notify.h"

#define SCRIPTS_MAX 64
#define TROUBLE 125

struct options {
	char *scripts[SCRIPTS_MAX + 1];
	unsigned script_count;
	char *inputs, *store, *mountpoint;
	bool foreground, debug, follow, others, stat_runs, any_exit, nonempty;
	unsigned max_jobs, user_jobs;
	struct zvm_limits limits;
	uint64_t store_size, store_free;
	bool has_store_free;
	char fuse[1024]; /* for libfuse */
	int ready;       /* pipe to the parent; -1 in the foreground */
};

static void print_help(void)
{
	puts("usage: zvm mount [-f] [-d] [-o OPT,...] [--scripts DIR]... [--inputs DIR] [--store DIR] MOUNTPOINT\n\n"
	     "  --scripts DIR   scripts that names in run/ mean, before /usr/local/bin, /usr/bin and /bin; may be "
	     "repeated\n"
	     "  --inputs DIR    the files to run them on (default: the current directory)\n"
	     "  --store DIR     where results are kept (default: $XDG_CACHE_HOME/zvm)\n"
	     "  -f              stay in the foreground, log to stderr\n"
	     "  -d              and show every FUSE request\n"
	     "  -o OPT,...      follow          follow symbolic links out of the inputs directory\n"
	     "                  stat=run        let stat compute, too, for tools that trust sizes (rsync, tar, du)\n"
	     "                  exit=any        every exit status is a success\n"
	     "                  max_jobs=N      boxes at once (default: one for each processor)\n"
	     "                  user_jobs=N     results under way at once for each user (default: no limit)\n"
	     "                  timeout=S memory=SIZE output=SIZE   limits where a script declares none\n"
	     "                  store_size=SIZE collect the store when it takes more (default: 10G)\n"
	     "                  store_free=SIZE ... or when less is free beside it (default: 1G, or 5 % if that is "
	     "less)\n"
	     "                  allow_other     other users may use the mount\n"
	     "                  allow_root      only root may, beside you\n"
	     "                  nonempty        mount over a directory that is not empty\n"
	     "                  scripts=DIR inputs=DIR store=DIR    as above, for fstab\n\n"
	     "`zvm umount MOUNTPOINT` ends it.");
}

/* --- options --- */

static int replace(char **to, const char *value)
{
	free(*to);
	*to = strdup(value);
	return *to ? 0 : -ENOMEM;
}

static int add_script_directory(struct options *o, const char *path)
{
	if (o->script_count == SCRIPTS_MAX)
		return -E2BIG;
	o->scripts[o->script_count] = strdup(path);
	return o->scripts[o->script_count++] ? 0 : -ENOMEM;
}

static bool is_ignored(const char *option)
{
	/* clang-format off */
	static const char *const ignored[] = {
		"ro", "rw", "auto", "noauto", "user", "users", "nouser", "owner", "noowner", "group", "nogroup", "nofail", "_netdev",
		"defaults", "dev", "nodev", "suid", "nosuid", "exec", "noexec", "atime", "noatime", "diratime", "nodiratime",
		"relatime", "norelatime", "strictatime", "lazytime", "nolazytime", "sync", "async", "dirsync", "silent", "loud",
		"default_permissions"};
	/* clang-format on */
	for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
		if (!strcmp(option, ignored[i]))
			return true;
	return !strncmp(option, "x-", 2) || !strncmp(option, "comment=", 8) || !strncmp(option, "user=", 5);
}

static int parse_positive(const char *text, unsigned long most, unsigned long *ret)
{
	char *end;
	errno = 0;
	*ret = strtoul(text, &end, 10);
	return *text < '0' || *text > '9' || errno || *end || !*ret || *ret > most ? -EINVAL : 0;
}

static int parse_size(const char *text, uint64_t *ret)
{
	unsigned long long n;
	if (zvm_parse_size(text, &n) || !n)
		return -EINVAL;
	*ret = n;
	return 0;
}

/* 0 is one, too: nothing is collected because the filesystem is full. */
static int parse_floor(struct options *o, const char *text)
{
	unsigned long long n;
	if (zvm_parse_size(text, &n))
		return -EINVAL;
	o->store_free = n;
	o->has_store_free = true;
	return 0;
}

static int parse_valued(struct options *o, const char *name, const char *value)
{
	unsigned long n;
	int r;
	if (!strcmp(name, "max_jobs")) {
		r = parse_positive(value, 1024, &n);
		o->max_jobs = r ? 0 : (unsigned)n;
		return r;
	}
	if (!strcmp(name, "user_jobs")) {
		r = parse_positive(value, 1024, &n);
		o->user_jobs = r ? 0 : (unsigned)n;
		return r;
	}
	if (!strcmp(name, "timeout")) {
		r = parse_positive(value, 7ul * 86400, &n);
		o->limits.wall_ms = r ? 0 : n * 1000;
		return r;
	}
	if (!strcmp(name, "memory"))
		return parse_size(value, &o->limits.memory_bytes);
	if (!strcmp(name, "output"))
		return parse_size(value, &o->limits.output_bytes);
	if (!strcmp(name, "store_size"))
		return parse_size(value, &o->store_size);
	if (!strcmp(name, "store_free"))
		return parse_floor(o, value);
	if (!strcmp(name, "scripts"))
		return add_script_directory(o, value);
	if (!strcmp(name, "inputs"))
		return replace(&o->inputs, value);
	return !strcmp(name, "store") ? replace(&o->store, value) : -ENOENT;
}

static int parse_option(struct options *o, char *option)
{
	char *value = strchr(option, '=');
	if (!strcmp(option, "stat=run")) {
		o->stat_runs = true;
	} else if (!strcmp(option, "exit=any")) {
		o->any_exit = true;
	} else if (!strcmp(option, "follow")) {
		o->follow = true;
	} else if (!strcmp(option, "nonempty")) {
		o->nonempty = true;
	} else if (!strcmp(option, "allow_other") || !strcmp(option, "allow_root")) {
		size_t n = strlen(o->fuse);
		o->others = true;
		snprintf(o->fuse + n, sizeof o->fuse - n, "%s%s", n ? "," : "", option);
	} else if (value && !is_ignored(option)) {
		*value = 0;
		int r = parse_valued(o, option, value + 1);
		*value = '=';
		return r;
	} else if (!is_ignored(option)) {
		return -ENOENT;
	}
	return 0;
}

static int refuse(const char *option, int error)
{
	switch (error) {
	case -ENOENT:
		return zvm_complain(2, "mount", "there is no option -o %s; `zvm mount --help` lists them", option);
	case -E2BIG: return zvm_complain(2, "mount", "name at most %d scripts directories", SCRIPTS_MAX);
	case -ENOMEM: return zvm_complain(TROUBLE, "mount", "no memory");
	default:
		return zvm_complain(2, "mount", "-o %s: the value is not understood; zvm(1) says what it may be",
		                    option);
	}
}

/* -1: go on; else the exit status. */
static int parse_options(struct options *o, char *list)
{
	char *save = NULL;
	for (char *option = strtok_r(list, ",", &save); option; option = strtok_r(NULL, ",", &save)) {
		int r = parse_option(o, option);
		if (r)
			return refuse(option, r);
	}
	return -1;
}

enum { OPTION_SCRIPTS = 256, OPTION_INPUTS, OPTION_STORE };

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option long_options[] = {{"scripts", required_argument, NULL, OPTION_SCRIPTS},
	                                             {"inputs", required_argument, NULL, OPTION_INPUTS},
	                                             {"store", required_argument, NULL, OPTION_STORE},
	                                             {"help", no_argument, NULL, 'h'},
	                                             {NULL, 0, NULL, 0}};
	int c, r = 0, status = -1;
	/* As mount(8)'s helper: -f is its own, to pretend; -n, -s, -v and -t TYPE say nothing to us. */
	bool helper = !strncmp(basename(argv[0]), "mount.", 6), pretend = false;
	optind = 1;
	while (status < 0 && (c = getopt_long(argc, argv, helper ? "fdho:nsvt:" : "fdho:", long_options, NULL)) >= 0) {
		switch (c) {
		case OPTION_SCRIPTS: r = add_script_directory(o, optarg); break;
		case OPTION_INPUTS: r = replace(&o->inputs, optarg); break;
		case OPTION_STORE: r = replace(&o->store, optarg); break;
		case 'd': o->debug = o->foreground = true; break;
		case 'f': *(helper ? &pretend : &o->foreground) = true; break;
		case 'n':
		case 's':
		case 'v':
		case 't': break;
		case 'o': status = parse_options(o, optarg); break;
		case 'h': print_help(); return 0;
		default: return zvm_complain_of_options(2, "mount");
		}
		if (r)
			return refuse("", r);
	}
	if (status >= 0)
		return status;
	/* mount(8) gives a source first: the inputs, or just a word. */
	if (helper && argc - optind == 2 && strchr(argv[optind], '/') && !o->inputs)
		r = replace(&o->inputs, argv[optind]);
	optind += helper && argc - optind == 2;
	if (argc - optind != 1)
		return zvm_complain(2, "mount", "name one MOUNTPOINT; `zvm mount --help` shows how");
	r = r ? r : replace(&o->mountpoint, argv[optind]);
	return r ? zvm_complain(TROUBLE, "mount", "%s", strerror(-r)) : pretend ? 0 : -1;
}

/* --- checks, each with what to do about it --- */

static bool is_empty(const char *path)
{
	DIR *dir = opendir(path);
	bool empty = dir != NULL;
	for (struct dirent *d; empty && (d = readdir(dir));)
		empty = !strcmp(d->d_name, ".") || !strcmp(d->d_name, "..");
	if (dir)
		closedir(dir);
	return empty;
}

static bool is_in_a_mount(const char *path)
{
	zvm_autofree char *place = strdup(path);
	for (char *slash; place && (slash = strrchr(place, '/')) && slash > place;) {
		*slash = 0;
		enum zvm_mountpoint kind = zvm_mountpoint_look(place);
		if (kind != ZVM_NOT_A_MOUNT)
			return kind == ZVM_OUR_MOUNT;
	}
	return false;
}

static int check_mountpoint(struct options *o)
{
	struct stat st;
	char *real = zvm_mountpoint_resolve(o->mountpoint);
	if (!real)
		return zvm_complain(TROUBLE, "mount", "%s: %s; make the directory first", o->mountpoint,
		                    strerror(errno));
	free(o->mountpoint);
	o->mountpoint = real;
	enum zvm_mountpoint kind = zvm_mountpoint_look(real);
	if (kind == ZVM_OUR_MOUNT && zvm_mountpoint_is_stale(real)) {
		fprintf(stderr, "zvm mount: %s was left behind by a zvm that died; cleaning it up\n", real);
		if (zvm_mountpoint_unmount(real, 1))
			return zvm_complain(TROUBLE, "mount",
			                    "%s: the dead mount cannot be removed; try `umount -l %s` as root", real,
			                    real);
	} else if (kind == ZVM_OUR_MOUNT) {
		return zvm_complain(TROUBLE, "mount", "a zvm is mounted on %s already; `zvm umount %s` ends it", real,
		                    real);
	} else if (kind == ZVM_FOREIGN_MOUNT && !o->nonempty) {
		return zvm_complain(TROUBLE, "mount", "something else is mounted on %s; choose another directory",
		                    real);
	}
	if (stat(real, &st) < 0)
		return zvm_complain(TROUBLE, "mount", "%s: %s", real, strerror(errno));
	if (kind == ZVM_NOT_A_MOUNT && is_in_a_mount(real))
		return zvm_complain(TROUBLE, "mount", "%s lies in another zvm; choose a directory outside of it", real);
	if (!S_ISDIR(st.st_mode))
		return zvm_complain(TROUBLE, "mount", "%s is not a directory; name one to mount on", real);
	if (!o->nonempty && !is_empty(real))
		return zvm_complain(
		        TROUBLE, "mount",
		        "%s is not empty; choose an empty directory, or hide what is in it with -o nonempty", real);
	return -1;
}

static int make_absolute(char **path, const char *what)
{
	struct stat st;
	char *real = realpath(*path, NULL);
	if (!real || stat(real, &st) < 0)
		return zvm_complain(TROUBLE, "mount", "the %s directory %s: %s", what, *path, strerror(errno));
	free(*path);
	*path = real;
	if (!S_ISDIR(st.st_mode))
		return zvm_complain(TROUBLE, "mount", "the %s %s is not a directory", what, real);
	return -1;
}

/* The daemon leaves this directory, and the store may not be there yet. */
static int anchor_store(struct options *o)
{
	zvm_autofree char *here = *o->store == '/' ? NULL : getcwd(NULL, 0);
	char *absolute = NULL;
	if (*o->store == '/')
		return -1;
	if (!here || asprintf(&absolute, "%s/%s", here, o->store) < 0)
		return zvm_complain(TROUBLE, "mount", "%s: %s", o->store, strerror(errno));
	free(o->store);
	o->store = absolute;
	return -1;
}

static bool is_in(const char *path, const char *directory)
{
	size_t n = strlen(directory);
	return !strncmp(path, directory, n) && (!path[n] || path[n] == '/');
}

static bool is_store(const char *directory)
{
	zvm_autofd int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && faccessat(fd, "version", F_OK, 0) == 0;
}

/* Results that are kept below the mount would be out of reach as soon as it is there. */
static int check_nesting(const struct options *o)
{
	zvm_autofree char *place = strdup(o->store);
	zvm_autofree char *real = place ? realpath(place, NULL) : NULL;
	char *slash;
	if (real && is_in(o->mountpoint, real) && is_store(real))
		return zvm_complain(TROUBLE, "mount", "%s lies in the store %s; choose a directory outside of it",
		                    o->mountpoint, real);
	/* A store that is not there yet is made where its path leads to as far as it exists. */
	while (place && !real && errno == ENOENT && (slash = strrchr(place, '/')) && slash > place) {
		*slash = 0;
		real = realpath(place, NULL);
	}
	if (real && is_in(real, o->mountpoint))
		return zvm_complain(TROUBLE, "mount", "the store %s would be hidden by the mount; name one outside %s",
		                    o->store, o->mountpoint);
	return -1;
}

static int check(struct options *o)
{
	int status = check_mountpoint(o);
	if (status < 0 && !o->inputs && replace(&o->inputs, "."))
		status = zvm_complain(TROUBLE, "mount", "no memory");
	if (status < 0)
		status = make_absolute(&o->inputs, "inputs");
	for (unsigned i = 0; status < 0 && i < o->script_count; i++)
		status = make_absolute(&o->scripts[i], "scripts");
	if (status < 0 && !o->store && zvm_store_default_path(&o->store))
		status = zvm_complain(TROUBLE, "mount", "neither XDG_CACHE_HOME nor HOME is set; name a --store");
	if (status < 0)
		status = anchor_store(o);
	if (status < 0)
		status = check_nesting(o);
	if (status < 0 && access("/dev/fuse", R_OK | W_OK) < 0)
		status = zvm_complain(TROUBLE, "mount", "/dev/fuse: %s; `modprobe fuse`, or let the container have it",
		                      strerror(errno));
	return status;
}

/* The kernel may give a slow answer up, and the whole connection with it. */
static void warn_of_request_timeout(void)
{
	char text[32] = "";
	zvm_autofd int fd = open("/proc/sys/fs/fuse/default_request_timeout", O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, text, sizeof text - 1) > 0 && atol(text) > 0)
		fprintf(stderr,
		        "zvm mount: /proc/sys/fs/fuse/default_request_timeout is %ld s: a run that takes longer ends "
		        "the mount\n",
		        atol(text));
}

/* --- the daemon --- */

static void tell_ready(void *context)
{
	struct options *o = context;
	zvm_notify("READY=1");
	if (o->ready < 0)
		return;
	/* From here on nobody reads what we print. */
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	zvm_close_pointer(&null);
	if (write(o->ready, "r", 1) == 1)
		zvm_close_pointer(&o->ready);
	o->ready = -1;
}

static void block_signals(bool block)
{
	sigset_t ours;
	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGHUP);
	pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &ours, NULL);
}

static int encode_facts(struct options *o, const struct zvm_store *store, struct zvm_bytes *out)
{
	zvm_autofree char *path = realpath(zvm_store_path(store), NULL);
	return !path ? -errno
	             : zvm_facts_encode(&(struct zvm_facts){.store = path,
	                                                    .inputs = o->inputs,
	                                                    .mountpoint = o->mountpoint,
	                                                    .scripts = o->scripts,
	                                                    .follow = o->follow,
	                                                    .any_exit = o->any_exit,
	                                                    .limits = o->limits},
	                                out);
}

static int serve_mount(struct options *o, struct zvm_store *store, struct zvm_launcher *launcher)
{
	struct zvm_mount mount = {.store = store,
	                          .scripts = (const char *const *)o->scripts,
	                          .inputs_path = o->inputs,
	                          .mountpoint = o->mountpoint,
	                          .stat_runs = o->stat_runs,
	                          .others = o->others,
	                          .debug = o->debug,
	                          .fuse_options = *o->fuse ? o->fuse : NULL,
	                          .ready = tell_ready,
	                          .ready_context = o};
	struct zvm_engine_options options = {.store = store,
	                                     .launcher = launcher,
	                                     .scripts = mount.scripts,
	                                     .inputs = o->inputs,
	                                     .limits = o->limits,
	                                     .max_jobs = o->max_jobs,
	                                     .user_jobs = o->user_jobs,
	                                     .others = o->others,
	                                     .any_exit = o->any_exit};
	struct zvm_keeper *keeper = NULL;
	struct zvm_keeper_options limits = {.store = store,
	                                    .max_bytes = o->store_size ? o->store_size : ZVM_GC_MAX_BYTES,
	                                    .min_free = o->has_store_free ? o->store_free : zvm_gc_default_free(store)};
	zvm_autobytes struct zvm_bytes facts = {0};
	int r = encode_facts(o, store, &facts);
	mount.facts = facts.data;
	mount.facts_size = facts.size;
	r = r ? r : zvm_inputs_open(o->inputs, o->mountpoint, o->follow, &mount.inputs);
	r = r ? r : zvm_inodes_open(&mount.inodes);
	/* SIGTERM is for the session's thread; the engine's must not take it. */
	block_signals(true);
	r = r ? r : zvm_engine_open(&options, &mount.engine);
	r = r ? r : zvm_keeper_start(&limits, &keeper);
	block_signals(false);
	int status = r ? zvm_complain(TROUBLE, "mount", "cannot start: %s", strerror(-r)) : 0;
	if (r == 0) {
		r = zvm_mount_serve(&mount);
		if (r)
			status = zvm_complain(TROUBLE, "mount", "%s cannot be mounted; `zvm doctor` may tell why",
			                      o->mountpoint);
	}
	zvm_notify("STOPPING=1");
	zvm_engine_close(mount.engine);
	zvm_keeper_stop(keeper);
	zvm_inodes_close(mount.inodes);
	zvm_inputs_close(mount.inputs);
	return status;
}

static int run_daemon(struct options *o)
{
	struct zvm_store *store;
	struct zvm_launcher *launcher;
	zvm_autofree char *reason = NULL;
	signal(SIGPIPE, SIG_IGN);
	openlog("zvm", LOG_PID | (o->foreground ? LOG_PERROR : 0), LOG_DAEMON);
	int r = zvm_store_open(o->store, ZVM_STORE_CREATE, &store, &reason);
	if (r)
		return zvm_complain(TROUBLE, "mount", "%s: %s", reason ? reason : o->store, strerror(-r));
	r = zvm_launcher_start(&(struct zvm_launcher_options){.pool = o->max_jobs}, &launcher);
	int status = r ? zvm_complain_of_boxes(TROUBLE, "mount", r) : serve_mount(o, store, launcher);
	if (r == 0)
		zvm_launcher_stop(launcher);
	zvm_store_close(store);
	return status;
}

/* In the parent: what became of the daemon. */
static int wait_until_ready(const struct options *o, int ready, pid_t daemon)
{
	char byte;
	struct stat st;
	int status;
	ssize_t n;
	do
		n = read(ready, &byte, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1 && stat(o->mountpoint, &st) == 0)
		return 0;
	if (waitpid(daemon, &status, n == 1 ? WNOHANG : 0) == daemon && WIFEXITED(status) && WEXITSTATUS(status))
		return WEXITSTATUS(status); /* it has said why */
	return zvm_complain(TROUBLE, "mount", "the daemon died before %s answered; try -f to see more", o->mountpoint);
}

static int daemonize(struct options *o)
{
	int ready[2];
	if (pipe2(ready, O_CLOEXEC) < 0)
		return zvm_complain(TROUBLE, "mount", "%s", strerror(errno));
	pid_t pid = fork();
	if (pid < 0)
		return zvm_complain(TROUBLE, "mount", "cannot fork: %s", strerror(errno));
	if (pid > 0) {
		close(ready[1]);
		int status = wait_until_ready(o, ready[0], pid);
		close(ready[0]);
		return status;
	}
	/* Nothing that the caller left open: who waits for its end would wait for the daemon's. */
	o->ready = 3;
	if (ready[1] != 3 && dup3(ready[1], 3, O_CLOEXEC) < 0)
		return TROUBLE;
	close_range(4, ~0u, 0);
	setsid();
	if (chdir("/") < 0)
		return TROUBLE;
	return run_daemon(o);
}

int zvm_command_mount(int argc, char **argv)
{
	struct options o = {.ready = -1};
	int status = parse(argc, argv, &o);
	if (status < 0)
		status = check(&o);
	if (status < 0) {
		warn_of_request_timeout();
		status = o.foreground ? run_daemon(&o) : daemonize(&o);
	}
	for (unsigned i = 0; i < o.script_count; i++)
		free(o.scripts[i]);
	free(o.inputs);
	free(o.store);
	free(o.mountpoint);
	return status;
}
