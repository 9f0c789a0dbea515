/*
 * What a large store costs: the same questions to one of a thousand results and to one of many.
 *
 *   scale ZVM DIRECTORY COUNT
 *
 * Makes both stores below DIRECTORY, which must be empty and is left empty, with the library and no box: each result is
 * a record in a directory of its own and an output of a few bytes. Then it measures how long opening takes, and a hit,
 * the first time in a process and again; how much memory a daemon has; and, while one thread saves new results and
 * another finds stored ones, the longest that either has to wait: first by themselves, then beside a gc that removes a
 * tenth.
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zvm/record.h>

#define FEW 1000u
#define ASKED 1000u

static const char *const no_words[] = {NULL};

struct world {
	const char *zvm;
	char path[4096];
	unsigned count;
	struct zvm_store *store;
	struct zvm_blobs *blobs;
	struct zvm_records *records;
	struct zvm_view *view;
	struct zvm_digest script, input;
};

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void must(int r, const char *what)
{
	if (r)
		errx(1, "%s: %s", what, strerror(-r));
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
	qsort(values, count, sizeof *values, compare);
	return values[count / 2];
}

/* --- a store --- */

static void open_all(struct world *w)
{
	must(zvm_store_open(w->path, ZVM_STORE_CREATE, &w->store, NULL), w->path);
	must(zvm_blobs_open(w->store, &w->blobs), "blobs");
	must(zvm_records_open(w->store, w->blobs, &w->records), "records");
}

static void close_all(struct world *w)
{
	zvm_records_close(w->records);
	zvm_blobs_close(w->blobs);
	zvm_store_close(w->store);
}

struct named_action {
	struct zvm_action action;
	char name[32];
};

static void name_action(const struct world *w, unsigned number, struct named_action *ret)
{
	snprintf(ret->name, sizeof ret->name, "/script/%u", number);
	ret->action = (struct zvm_action){.box_version = "scale",
	                                  .script = ret->name,
	                                  .script_blob = w->script,
	                                  .arguments = no_words,
	                                  .environment = no_words,
	                                  .input_blob = w->input,
	                                  .ok_statuses = "0"};
}

static void save(struct world *w, unsigned number)
{
	struct named_action a;
	struct zvm_record record = {.end = ZVM_END_EXIT, .nonce = number + 1};
	char text[64];
	record.out.size = (uint64_t)snprintf(text, sizeof text, "the output of run %u\n", number);
	name_action(w, number, &a);
	must(zvm_store_put(w->store, text, record.out.size, &record.out.digest), "output");
	must(zvm_record_save(w->records, &a.action, &record), "record");
}

static bool find(struct world *w, unsigned number)
{
	struct named_action a;
	struct zvm_record *record;
	struct zvm_outputs outputs;
	name_action(w, number, &a);
	if (zvm_record_find(w->records, &a.action, w->view, &record, &outputs))
		return false;
	close(outputs.out_fd);
	zvm_record_free(record);
	return true;
}

static void make(struct world *w)
{
	double began = now_us();
	open_all(w);
	must(zvm_view_open(NULL, &w->view), "view");
	must(zvm_store_put(w->store, "script", 6, &w->script), "script");
	must(zvm_store_put(w->store, "input", 5, &w->input), "input");
	for (unsigned i = 0; i < w->count; i++)
		save(w, i);
	close_all(w);
	printf("%9u results: made in %.1f s\n", w->count, (now_us() - began) / 1e6);
}

/* --- what is asked of each --- */

static double opening_us(struct world *w)
{
	double took[51];
	for (unsigned i = 0; i < 51; i++) {
		double began = now_us();
		open_all(w);
		took[i] = now_us() - began;
		close_all(w);
	}
	return median(took, 51);
}

static void hits_us(struct world *w, double *ret_first, double *ret_again)
{
	static double took[ASKED];
	open_all(w);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < ASKED; i++) {
			unsigned number = (unsigned)((uint64_t)i * 2654435761u % w->count);
			double began = now_us();
			if (!find(w, number))
				errx(1, "run %u is not found", number);
			took[i] = now_us() - began;
		}
		*(round ? ret_again : ret_first) = median(took, ASKED);
	}
	close_all(w);
}

static long resident_kib(pid_t pid)
{
	char path[64], line[256];
	long kib = 0;
	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	FILE *status = fopen(path, "re");
	while (status && fgets(line, sizeof line, status))
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			break;
	if (status)
		fclose(status);
	return kib;
}

/* -1: it cannot be mounted here. */
static long daemon_kib(const struct world *w)
{
	char mountpoint[4200], stats[4300];
	pid_t pid;
	long kib = -1;
	snprintf(mountpoint, sizeof mountpoint, "%s.mnt", w->path);
	snprintf(stats, sizeof stats, "%s/stats", mountpoint);
	if (mkdir(mountpoint, 0700) < 0)
		err(1, "%s", mountpoint);
	char *arguments[] = {(char[]){"zvm"},
	                     (char[]){"mount"},
	                     (char[]){"-f"},
	                     (char[]){"-o"},
	                     (char[]){"store_size=1T,store_free=0"},
	                     (char[]){"--inputs"},
	                     (char[]){"/usr/share"},
	                     (char[]){"--store"},
	                     (char *)(uintptr_t)w->path,
	                     mountpoint,
	                     NULL};
	must(-posix_spawn(&pid, w->zvm, NULL, NULL, arguments, environ), w->zvm);
	for (unsigned i = 0; i < 500 && kib < 0; i++) {
		usleep(20000);
		if (access(stats, R_OK) == 0) {
			usleep(1000000);
			kib = resident_kib(pid);
		}
	}
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	rmdir(mountpoint);
	return kib;
}

/* --- gc, and others beside it --- */

static atomic_bool ended;
static atomic_uint extra; /* results that were saved since */
static double longest_save, longest_find;

static void *save_on(void *context)
{
	struct world *w = context;
	while (!atomic_load(&ended)) {
		double began = now_us();
		save(w, w->count + atomic_fetch_add(&extra, 1));
		double took = now_us() - began;
		longest_save = took > longest_save ? took : longest_save;
		usleep(500);
	}
	return NULL;
}

static void *find_on(void *context)
{
	struct world *w = context;
	for (unsigned i = 0; !atomic_load(&ended); i++) {
		double began = now_us();
		find(w, (unsigned)((uint64_t)i * 2654435761u % w->count));
		double took = now_us() - began;
		longest_find = took > longest_find ? took : longest_find;
		usleep(500);
	}
	return NULL;
}

static uint64_t disk_bytes(struct world *w)
{
	struct zvm_store_counters counters;
	zvm_store_counters(w->store, &counters);
	return counters.bytes;
}

static void run_gc(const struct world *w, uint64_t max_bytes, long *ret_kib)
{
	char size[32];
	struct rusage usage;
	int status;
	pid_t pid;
	snprintf(size, sizeof size, "%llu", (unsigned long long)max_bytes);
	char *arguments[] = {
	        (char[]){"zvm"}, (char[]){"gc"},      (char[]){"--max-size"},     size, (char[]){"--min-free"},
	        (char[]){"0"},   (char[]){"--store"}, (char *)(uintptr_t)w->path, NULL};
	must(-posix_spawn(&pid, w->zvm, NULL, NULL, arguments, environ), w->zvm);
	if (wait4(pid, &status, 0, &usage) != pid || status)
		errx(1, "gc ended with %d", status);
	*ret_kib = usage.ru_maxrss;
}

/* What others have to wait for anyway, then beside a gc. */
static void use(struct world *w, bool collect)
{
	pthread_t saving, finding;
	long kib = 0;
	longest_save = longest_find = 0;
	atomic_store(&ended, false);
	pthread_create(&saving, NULL, save_on, w);
	pthread_create(&finding, NULL, find_on, w);
	if (collect)
		run_gc(w, disk_bytes(w) - 1, &kib);
	else
		sleep(10);
	atomic_store(&ended, true);
	pthread_join(saving, NULL);
	pthread_join(finding, NULL);
	if (collect)
		printf("beside that gc (%ld MiB of memory)", kib / 1024);
	else
		printf("for 10 s without a gc");
	printf(": the longest save %.1f ms, the longest hit %.1f ms\n", longest_save / 1e3, longest_find / 1e3);
}

static void collect_beside_others(struct world *w)
{
	open_all(w);
	use(w, false);
	use(w, true);
	close_all(w);
}

/* --- the whole --- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type, (void)where;
	return remove(path);
}

static void measure(struct world *w)
{
	double first, again;
	hits_us(w, &first, &again);
	double opening = opening_us(w);
	printf("%9u results: opening %.0f us; a hit %.1f us the first time, %.1f us again; a daemon %ld KiB\n",
	       w->count, opening, first, again, daemon_kib(w));
}

int main(int argc, char **argv)
{
	setlinebuf(stdout);
	if (argc != 4 || atoi(argv[3]) < 1)
		errx(2, "usage: scale ZVM DIRECTORY COUNT");
	struct world few = {.zvm = argv[1], .count = FEW}, many = {.zvm = argv[1], .count = (unsigned)atoi(argv[3])};
	snprintf(few.path, sizeof few.path, "%s/few", argv[2]);
	snprintf(many.path, sizeof many.path, "%s/many", argv[2]);
	make(&few);
	make(&many);
	measure(&few);
	measure(&many);
	collect_beside_others(&many);
	nftw(few.path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	nftw(many.path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	zvm_view_close(few.view);
	zvm_view_close(many.view);
	return 0;
}
