/* zvm gc: makes a store smaller, by hand or for the daemon that has started it. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zvm/cleanup.h>
#include <zvm/command.h>
#include <zvm/store.h>
#include "gc.h"

#define TROUBLE 125

static void print_help(void)
{
	puts("usage: zvm gc [--max-size SIZE] [--min-free SIZE] [--dry-run] [--store DIR]\n\n"
	     "Removes what nobody refers to, and while the store is beyond a limit, what was used least recently.\n\n"
	     "  --max-size SIZE  what the store may take on the disk (default: 10G)\n"
	     "  --min-free SIZE  what its filesystem is to have free (default: 1G, or 5 % if that is less)\n"
	     "  --dry-run        tell what would go, and remove nothing\n"
	     "  --store DIR      the store (default: $XDG_CACHE_HOME/zvm)\n\n"
	     "SIZE is in bytes, or with K, M, G or T behind it. A mount does this by itself: see `zvm mount --help`.");
}

struct arguments {
	const char *store;
	struct zvm_gc_options options;
	bool has_free;
};

static int parse_limit(const char *text, uint64_t *ret)
{
	unsigned long long n;
	if (zvm_parse_size(text, &n))
		return zvm_complain(2, "gc", "%s is no size; write 500M or 2G", text);
	*ret = n;
	return -1;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char **argv, struct arguments *a)
{
	static const struct option long_options[] = {
	        {"max-size", required_argument, NULL, 'm'}, {"min-free", required_argument, NULL, 'f'},
	        {"store", required_argument, NULL, 's'},    {"dry-run", no_argument, NULL, 'n'},
	        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0}};
	int c, status = -1;
	optind = 1;
	while (status < 0 && (c = getopt_long(argc, argv, "h", long_options, NULL)) >= 0) {
		switch (c) {
		case 'm': status = parse_limit(optarg, &a->options.max_bytes); break;
		case 'f':
			status = parse_limit(optarg, &a->options.min_free);
			a->has_free = true;
			break;
		case 's': a->store = optarg; break;
		case 'n': a->options.dry_run = true; break;
		case 'h': print_help(); return 0;
		default: return zvm_complain_of_options(2, "gc");
		}
	}
	if (status < 0 && optind < argc)
		return zvm_complain(2, "gc", "%s: it takes options only; `zvm gc --help` lists them", argv[optind]);
	return status;
}

/* "12.3 MiB" */
struct amount {
	char text[32];
};

static struct amount amount(uint64_t bytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	struct amount a;
	double n = (double)bytes;
	unsigned unit = 0;
	for (; n >= 1024 && unit < 4; unit++)
		n /= 1024;
	snprintf(a.text, sizeof a.text, unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
	return a;
}

static void print_summary(const struct zvm_gc_summary *s, bool dry_run, double seconds)
{
	printf("zvm gc: %s %llu results, %llu contents and %llu leftovers (%s); %llu results and %llu contents stay "
	       "(%s); "
	       "%.1f s, the longest pause for others %.1f ms\n",
	       dry_run ? "would remove" : "removed", (unsigned long long)s->records, (unsigned long long)s->objects,
	       (unsigned long long)s->leftovers, amount(s->bytes).text, (unsigned long long)s->records_left,
	       (unsigned long long)s->objects_left, amount(s->bytes_left).text, seconds, (double)s->pause_ns / 1e6);
}

static int collect(struct zvm_store *store, struct arguments *a)
{
	struct zvm_gc_summary summary;
	struct timespec began, ended;
	if (!a->has_free)
		a->options.min_free = zvm_gc_default_free(store);
	clock_gettime(CLOCK_MONOTONIC, &began);
	int r = zvm_gc(store, &a->options, &summary);
	clock_gettime(CLOCK_MONOTONIC, &ended);
	if (r == -EBUSY) {
		puts("zvm gc: another gc is at work on this store");
		return 0;
	}
	if (r == -EOPNOTSUPP)
		return zvm_complain(TROUBLE, "gc",
		                    "%s is on a filesystem without locks that all its users see (or on one that other "
		                    "machines may use); remove the store as a whole instead, while nothing is mounted",
		                    zvm_store_path(store));
	print_summary(&summary, a->options.dry_run,
	              (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9);
	return r ? zvm_complain(TROUBLE, "gc", "%s: %s", zvm_store_path(store), strerror(-r)) : 0;
}

int zvm_command_gc(int argc, char **argv)
{
	struct arguments a = {.options.max_bytes = ZVM_GC_MAX_BYTES};
	struct zvm_store *store;
	zvm_autofree char *default_store = NULL, *reason = NULL;
	int status = parse(argc, argv, &a);
	if (status >= 0)
		return status;
	if (!a.store && zvm_store_default_path(&default_store))
		return zvm_complain(TROUBLE, "gc", "neither XDG_CACHE_HOME nor HOME is set; name a --store");
	const char *path = a.store ? a.store : default_store;
	int r = zvm_store_open(path, a.options.dry_run ? ZVM_STORE_READONLY : 0, &store, &reason);
	if (r)
		return zvm_complain(TROUBLE, "gc", "%s: %s", reason ? reason : path, strerror(-r));
	status = collect(store, &a);
	zvm_store_close(store);
	return status;
}
