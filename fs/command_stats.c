/* zvm stats: a mount's counters, or how much a store holds. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include <zvm/command.h>
#include <zvm/store.h>
#include "mountpoint.h"

struct sum {
	unsigned long long files, bytes;
};

static void add_tree(int parent, const char *name, struct sum *sum)
{
	struct stat st;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return;
	for (struct dirent *d; (d = readdir(dir));) {
		if (*d->d_name == '.' || fstatat(fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			add_tree(fd, d->d_name, sum);
		} else {
			sum->files++;
			sum->bytes += (unsigned long long)st.st_size;
		}
	}
	closedir(dir);
}

static int print_store(const char *path)
{
	struct zvm_store *store;
	struct sum objects = {0, 0}, records = {0, 0};
	zvm_autofree char *reason = NULL;
	int r = zvm_store_open(path, ZVM_STORE_READONLY, &store, &reason);
	if (r)
		return zvm_complain(1, "stats", "%s: %s", reason ? reason : path, strerror(-r));
	add_tree(zvm_store_directory(store), "objects", &objects);
	add_tree(zvm_store_directory(store), "records", &records);
	printf("zvm_store_objects %llu\nzvm_store_object_bytes %llu\nzvm_store_records %llu\nzvm_store_record_bytes "
	       "%llu\n",
	       objects.files, objects.bytes, records.files, records.bytes);
	zvm_store_close(store);
	return 0;
}

/* The mount that `path` is in: itself or an ancestor. */
static int print_mount(const char *path)
{
	zvm_autofree char *at = zvm_mountpoint_resolve(path);
	char text[4096];
	if (!at)
		return zvm_complain(1, "stats", "%s: %s", path, strerror(errno));
	while (zvm_mountpoint_look(at) != ZVM_OUR_MOUNT) {
		char *slash = strrchr(at, '/');
		if (!slash || slash == at)
			return zvm_complain(1, "stats", "%s is not in a zvm mount", path);
		*slash = 0;
	}
	zvm_autofree char *file = NULL;
	if (asprintf(&file, "%s/stats", at) < 0)
		return zvm_complain(125, "stats", "no memory");
	zvm_autofd int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;
	while (fd >= 0 && (n = read(fd, text, sizeof text)) > 0)
		fwrite(text, 1, (size_t)n, stdout);
	return n < 0 ? zvm_complain(1, "stats", "%s: %s", file, strerror(errno)) : 0;
}

int zvm_command_stats(int argc, char **argv)
{
	static const struct option long_options[] = {
	        {"store", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	const char *store = NULL;
	int c;
	optind = 1;
	while ((c = getopt_long(argc, argv, "h", long_options, NULL)) >= 0) {
		if (c == 'h') {
			puts("usage: zvm stats [MOUNTPOINT | --store DIR]\n\nThe counters of a mount; without one, "
			     "what a store holds.");
			return 0;
		}
		if (c != 's')
			return zvm_complain_of_options(2, "stats");
		store = optarg;
	}
	if (argc - optind > 1 || (store && argc > optind))
		return zvm_complain(2, "stats", "name one MOUNTPOINT or one --store");
	if (argc > optind)
		return print_mount(argv[optind]);
	zvm_autofree char *default_store = NULL;
	if (!store && zvm_store_default_path(&default_store))
		return zvm_complain(125, "stats", "neither XDG_CACHE_HOME nor HOME is set; name a --store");
	return print_store(store ? store : default_store);
}
