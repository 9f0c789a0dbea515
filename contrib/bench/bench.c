/*
 * How long a read takes, beside running the same program natively.
 *
 *     bench [-n ROUNDS] [-j FILE] ZVM SCRIPTS
 *
 * In a directory of its own it mounts ZVM with the scripts directory SCRIPTS, and then, round by round and program by
 * program so that a noisy moment hits all alike: writes an input that nobody has seen before; runs the program natively
 * by posix_spawn, reading its output from a pipe; reads run/SPEC/INPUT to its end, which computes (cold). Which of the
 * two comes first alternates. What they wrote is compared. Later, when the inputs are older than two seconds and so
 * known by their stat, everything is read once more (warm). Last, open+read+close of one stored result of 4 KiB, many
 * times.
 *
 * It prints a table, with the ratio of the medians beside the limit where the project has set one, and writes JSON.
 * Time alone never makes it fail; a wrong byte does.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_MAX (1u << 20)
#define INPUT_SIZE 4096u
#define WARM_OPENS 5000u
#define STAT_IS_TRUSTED_AFTER 3 /* seconds */

enum content { TEXT, JSON, SQL };

struct workload {
	const char *name, *spec;
	const char *argv[6]; /* the same natively */
	enum content content;
	double limit; /* of cold : native; 0: none is set */
};

static const struct workload workloads[] = {
        {"true", "true", {"/usr/bin/true"}, TEXT, 0},
        {"cat", "cat", {"/usr/bin/cat"}, TEXT, 3},
        /* With more than one number wc pads by the size of a file, and there is none in a pipe. */
        {"wc", "wc -w", {"/usr/bin/wc", "-w"}, TEXT, 0},
        {"gawk", "gawk {n+=NF}END{print%20n}", {"/usr/bin/gawk", "{n+=NF}END{print n}"}, TEXT, 0},
        {"perl", "perl -ne $n+=length;END{print$n}", {"/usr/bin/perl", "-ne", "$n+=length;END{print$n}"}, TEXT, 0},
        {"lua", "lua5.4 -e print(#io.read('a'))", {"/usr/bin/lua5.4", "-e", "print(#io.read('a'))"}, TEXT, 0},
        {"jq", "jq -c .words", {"/usr/bin/jq", "-c", ".words"}, JSON, 0},
        {"python3", "report.py", {NULL}, TEXT, 1.3},
        {"sqlite3", "sqlite3", {"/usr/bin/sqlite3"}, SQL, 0},
};
#define COUNT (sizeof workloads / sizeof *workloads)

/* Opened again and again, all of them by turns: the more files a result stands on, the more could have changed. */
static const struct opened {
	const char *name, *spec;
	double limit;          /* us; 0: none is set */
	double limit_of_first; /* times what the first takes; 0: none is set */
} opened[] = {
        {"static cat", "busybox cat", 0, 0},
        {"cat", "cat", 40, 0},
        {"python3", "report.py", 0, 3},
        {"400 files", "many.py", 0, 0},
};
#define OPENED_COUNT (sizeof opened / sizeof *opened)
#define MANY_FILES 300 /* beside the hundred of python3 itself */

struct series {
	double *us;
	size_t count;
};

struct bench {
	const char *zvm;
	char scripts[PATH_MAX], directory[PATH_MAX], machine[512];
	unsigned rounds;
	struct series native[COUNT], cold[COUNT], warm[COUNT], opened[OPENED_COUNT];
};

static char native_output[OUTPUT_MAX], box_output[OUTPUT_MAX];

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int complain(const char *what, const char *name)
{
	fprintf(stderr, "bench: %s: %s\n", name, what);
	return -EIO;
}

static void add(struct series *s, double us)
{
	s->us[s->count++] = us;
}

/* --- what is measured --- */

/* 4 KiB that differ from all others, of the kind that the program reads. */
static int write_input(const struct bench *b, const struct workload *w, unsigned round)
{
	char path[PATH_MAX + 64], text[INPUT_SIZE + 1], *at = text, *end = text + INPUT_SIZE - 128;
	int word = 0;
	at += sprintf(at,
	              w->content == JSON  ? "{\"id\":\"%s %u %f\",\"words\":[0"
	              : w->content == SQL ? "-- %s %u %f\ncreate table t(n);\n"
	                                  : "%s %u %f\n",
	              w->name, round, now());
	for (; at < end; word++)
		at += sprintf(at,
		              w->content == JSON  ? ",\"word %d\""
		              : w->content == SQL ? "insert into t values(%d);\n"
		                                  : "some words in line %d\n",
		              word);
	at += sprintf(at, "%s",
	              w->content == JSON  ? "]}\n"
	              : w->content == SQL ? "select count(*), sum(n) from t;\n"
	                                  : "the end\n");
	snprintf(path, sizeof path, "%s/inputs/%s-%u", b->directory, w->name, round);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, (size_t)(at - text)) != at - text)
		return complain(strerror(errno), path);
	return close(fd);
}

static ssize_t read_all(int fd, char *buffer)
{
	size_t size = 0;
	ssize_t n;
	while ((n = read(fd, buffer + size, OUTPUT_MAX - size)) > 0)
		size += (size_t)n;
	return n < 0 ? -errno : (ssize_t)size;
}

static ssize_t run_native(const struct bench *b, const struct workload *w, unsigned round, double *us)
{
	char input[PATH_MAX + 64], script[PATH_MAX + 64];
	const char *argv[8] = {NULL};
	char *const environment[] = {(char[]){"PATH=/usr/local/bin:/usr/bin:/bin"}, (char[]){"LANG=C.UTF-8"},
	                             (char[]){"HOME=/nonexistent"}, NULL};
	int pipe_ends[2], status;
	pid_t pid;
	posix_spawn_file_actions_t actions;
	snprintf(input, sizeof input, "%s/inputs/%s-%u", b->directory, w->name, round);
	snprintf(script, sizeof script, "%s/%s", b->scripts, w->spec);
	memcpy(argv, w->argv, sizeof w->argv);
	if (!argv[0])
		argv[0] = script;
	double start = now();
	if (pipe2(pipe_ends, O_CLOEXEC) < 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], 1);
	/* posix_spawn takes its strings as non-const, and changes none of them. */
	char *arguments[8];
	memcpy(arguments, argv, sizeof arguments);
	int r = posix_spawn(&pid, argv[0], &actions, NULL, arguments, environment);
	close(pipe_ends[1]);
	posix_spawn_file_actions_destroy(&actions);
	ssize_t size = r ? -r : read_all(pipe_ends[0], native_output);
	close(pipe_ends[0]);
	if (r == 0 && (waitpid(pid, &status, 0) != pid || status))
		size = -EIO;
	*us = now() - start;
	return size;
}

static ssize_t read_result(const struct bench *b, const struct workload *w, unsigned round, double *us)
{
	char path[PATH_MAX + 512];
	snprintf(path, sizeof path, "%s/mnt/run/%s/%s-%u", b->directory, w->spec, w->name, round);
	double start = now();
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t size = read_all(fd, box_output);
	close(fd);
	*us = now() - start;
	return size;
}

static int check(const struct workload *w, ssize_t native, ssize_t boxed)
{
	if (native < 0)
		return complain(strerror((int)-native), w->name);
	if (boxed < 0)
		return complain(strerror((int)-boxed), w->spec);
	if (native != boxed || memcmp(native_output, box_output, (size_t)native))
		return complain("the box wrote something else than the program does natively", w->name);
	return 0;
}

static int measure_cold(struct bench *b, size_t i, unsigned round)
{
	const struct workload *w = &workloads[i];
	double native_us = 0, cold_us = 0;
	ssize_t native = 0, boxed = 0;
	int r = write_input(b, w, round);
	if (r)
		return r;
	if (round % 2)
		boxed = read_result(b, w, round, &cold_us);
	native = run_native(b, w, round, &native_us);
	if (round % 2 == 0)
		boxed = read_result(b, w, round, &cold_us);
	r = check(w, native, boxed);
	if (r == 0 && round > 0) { /* the first fills the page cache */
		add(&b->native[i], native_us);
		add(&b->cold[i], cold_us);
	}
	return r;
}

static int measure_warm(struct bench *b, size_t i, unsigned round)
{
	double us = 0;
	ssize_t size = read_result(b, &workloads[i], round, &us);
	if (size < 0)
		return complain(strerror((int)-size), workloads[i].spec);
	if (round > 0)
		add(&b->warm[i], us);
	return 0;
}

static int write_file(const char *path, const void *data, size_t size, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return complain(strerror(errno), path);
	return close(fd);
}

/* A script that reads many files of its directory. */
static int write_many(const struct bench *b)
{
	char path[PATH_MAX + 64], script[256];
	int r = 0;
	for (unsigned i = 0; r == 0 && i < MANY_FILES; i++) {
		snprintf(path, sizeof path, "%s/scripts/part-%u", b->directory, i);
		r = write_file(path, path, strlen(path), 0644);
	}
	snprintf(path, sizeof path, "%s/scripts/many.py", b->directory);
	snprintf(script, sizeof script,
	         "#!/usr/bin/python3\nimport sys\nfor i in range(%u):\n    open(f'/script/part-{i}').read()\n"
	         "sys.stdout.write(sys.stdin.read())\n",
	         MANY_FILES);
	return r ? r : write_file(path, script, strlen(script), 0755);
}

static int open_read_close(const struct bench *b, const struct opened *o, double *us)
{
	char path[PATH_MAX + 64];
	snprintf(path, sizeof path, "%s/mnt/run/%s/page", b->directory, o->spec);
	double start = now();
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, box_output, INPUT_SIZE);
	int saved = errno;
	close(fd);
	*us = now() - start;
	return n > 0 ? 0 : complain(n < 0 ? strerror(saved) : "too short", path);
}

static int measure_opens(struct bench *b)
{
	char path[PATH_MAX + 64];
	snprintf(path, sizeof path, "%s/inputs/page", b->directory);
	memset(box_output, 'x', INPUT_SIZE);
	int r = write_file(path, box_output, INPUT_SIZE, 0644);
	r = r ? r : write_many(b);
	sleep(STAT_IS_TRUSTED_AFTER);
	for (unsigned i = 0; r == 0 && i < WARM_OPENS + 10; i++) {
		for (size_t k = 0; r == 0 && k < OPENED_COUNT; k++) {
			double us;
			r = open_read_close(b, &opened[k], &us);
			if (r == 0 && i >= 10)
				add(&b->opened[k], us);
		}
		if (i == 0)
			sleep(STAT_IS_TRUSTED_AFTER); /* what it computed is trusted, too */
	}
	return r;
}

static int measure(struct bench *b)
{
	int r = 0;
	for (unsigned round = 0; r == 0 && round <= b->rounds; round++) {
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\rround %u of %u ", round, b->rounds);
		for (size_t i = 0; r == 0 && i < COUNT; i++)
			r = measure_cold(b, i, round);
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%40s\r", "");
	sleep(STAT_IS_TRUSTED_AFTER);
	for (unsigned round = 0; r == 0 && round <= b->rounds; round++)
		for (size_t i = 0; r == 0 && i < COUNT; i++)
			r = measure_warm(b, i, round);
	return r ? r : measure_opens(b);
}

/* --- what is told --- */

static int compare_numbers(const void *a, const void *b)
{
	const double *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static double at_rank(struct series *s, double rank)
{
	qsort(s->us, s->count, sizeof *s->us, compare_numbers);
	size_t i = (size_t)(rank * (double)s->count);
	return s->count ? s->us[i < s->count ? i : s->count - 1] : 0;
}

static void print_series(struct series *s)
{
	printf(" %8.0f %8.0f %8.0f ", at_rank(s, 0), at_rank(s, 0.5), at_rank(s, 0.99));
}

static void print_limit(double value, double limit, const char *unit)
{
	if (limit > 0)
		printf("  %6.2f%s of %g%s%s", value, unit, limit, unit, value <= limit ? "" : "  over");
	else
		printf("  %6.2f%s", value, unit);
}

static void print_opened(struct bench *b, size_t k)
{
	double median = at_rank(&b->opened[k], 0.5);
	printf("%-10s", opened[k].name);
	print_series(&b->opened[k]);
	print_limit(median, opened[k].limit, " us");
	print_limit(median / at_rank(&b->opened[0], 0.5), opened[k].limit_of_first, "x the first");
	putchar('\n');
}

static void print_table(struct bench *b)
{
	printf("%s\n%u rounds; microseconds: minimum, median, 99th percentile\n\n", b->machine, b->rounds);
	printf("%-8s %26s  %26s  %26s  %s\n", "", "native (posix_spawn)", "cold (computes)", "warm (remembered)",
	       "cold : native");
	for (size_t i = 0; i < COUNT; i++) {
		printf("%-8s ", workloads[i].name);
		print_series(&b->native[i]);
		print_series(&b->cold[i]);
		print_series(&b->warm[i]);
		print_limit(at_rank(&b->cold[i], 0.5) / at_rank(&b->native[i], 0.5), workloads[i].limit, "x");
		putchar('\n');
	}
	printf("\nwarm open+read+close of 4 KiB, %u times each by turns\n", WARM_OPENS);
	for (size_t k = 0; k < OPENED_COUNT; k++)
		print_opened(b, k);
}

static void write_series(FILE *to, const char *name, struct series *s, const char *after)
{
	fprintf(to, "\"%s\": {\"min\": %.2f, \"median\": %.2f, \"p99\": %.2f, \"count\": %zu}%s", name, at_rank(s, 0),
	        at_rank(s, 0.5), at_rank(s, 0.99), s->count, after);
}

static int write_json(struct bench *b, const char *path)
{
	FILE *to = fopen(path, "w");
	if (!to)
		return complain(strerror(errno), path);
	fprintf(to, "{\"machine\": \"%s\", \"unit\": \"us\", \"rounds\": %u,\n \"workloads\": {\n", b->machine,
	        b->rounds);
	for (size_t i = 0; i < COUNT; i++) {
		fprintf(to, "  \"%s\": {", workloads[i].name);
		write_series(to, "native", &b->native[i], ", ");
		write_series(to, "cold", &b->cold[i], ", ");
		write_series(to, "warm", &b->warm[i], ", ");
		fprintf(to, "\"ratio\": %.3f, \"limit\": %g}%s\n",
		        at_rank(&b->cold[i], 0.5) / at_rank(&b->native[i], 0.5), workloads[i].limit,
		        i + 1 < COUNT ? "," : "");
	}
	fprintf(to, " },\n \"open_read_close_4k\": {\n");
	for (size_t k = 0; k < OPENED_COUNT; k++) {
		fprintf(to, "  ");
		write_series(to, opened[k].name, &b->opened[k], k + 1 < OPENED_COUNT ? ",\n" : "\n }}\n");
	}
	return fclose(to) == 0 ? 0 : complain(strerror(errno), path);
}

/* --- around it --- */

static void name_machine(struct bench *b)
{
	struct utsname u;
	char line[256], model[128] = "unknown processor";
	FILE *cpu = fopen("/proc/cpuinfo", "r");
	while (cpu && fgets(line, sizeof line, cpu))
		if (sscanf(line, "model name : %127[^\n\"\\]", model) == 1)
			break;
	if (cpu)
		fclose(cpu);
	uname(&u);
	snprintf(b->machine, sizeof b->machine, "%s, %ld processors (%s), Linux %s", u.nodename,
	         sysconf(_SC_NPROCESSORS_ONLN), model, u.release);
}

static int run_zvm(const struct bench *b, const char *const *argv)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		char *arguments[16] = {NULL};
		for (size_t i = 0; argv[i]; i++)
			arguments[i] = strdup(argv[i]);
		execv(b->zvm, arguments);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	return status ? complain(argv[1], "it failed") : 0;
}

static int start_mount(struct bench *b)
{
	char mnt[PATH_MAX + 16], inputs[PATH_MAX + 16], store[PATH_MAX + 16], scripts[PATH_MAX + 16];
	const char *tmp = getenv("TMPDIR");
	snprintf(b->directory, sizeof b->directory - 32, "%s/zvm-bench.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(b->directory))
		return complain(strerror(errno), b->directory);
	snprintf(mnt, sizeof mnt, "%s/mnt", b->directory);
	snprintf(inputs, sizeof inputs, "%s/inputs", b->directory);
	snprintf(store, sizeof store, "%s/store", b->directory);
	snprintf(scripts, sizeof scripts, "%s/scripts", b->directory);
	if (mkdir(mnt, 0755) < 0 || mkdir(inputs, 0755) < 0 || mkdir(scripts, 0755) < 0)
		return complain(strerror(errno), b->directory);
	const char *argv[] = {"zvm",       "mount",    "--store",   store,   "--inputs", inputs,
	                      "--scripts", b->scripts, "--scripts", scripts, mnt,        NULL};
	return run_zvm(b, argv);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void end_mount(const struct bench *b)
{
	char mnt[PATH_MAX + 16];
	snprintf(mnt, sizeof mnt, "%s/mnt", b->directory);
	const char *argv[] = {"zvm", "umount", mnt, NULL};
	if (run_zvm(b, argv) == 0)
		nftw(b->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static int make_series(struct bench *b)
{
	struct series *all[] = {b->native, b->cold, b->warm};
	for (size_t k = 0; k < 3; k++)
		for (size_t i = 0; i < COUNT; i++)
			if (!(all[k][i].us = calloc(b->rounds + 1, sizeof(double))))
				return -ENOMEM;
	for (size_t k = 0; k < OPENED_COUNT; k++)
		if (!(b->opened[k].us = calloc(WARM_OPENS, sizeof(double))))
			return -ENOMEM;
	return 0;
}

static void free_series(struct bench *b)
{
	struct series *all[] = {b->native, b->cold, b->warm};
	for (size_t k = 0; k < 3; k++)
		for (size_t i = 0; i < COUNT; i++)
			free(all[k][i].us);
	for (size_t k = 0; k < OPENED_COUNT; k++)
		free(b->opened[k].us);
}

int main(int argc, char **argv)
{
	static struct bench b = {.rounds = 100};
	const char *json = NULL;
	int c;
	while ((c = getopt(argc, argv, "n:j:")) >= 0) {
		if (c == 'n')
			b.rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'j')
			json = optarg;
		else
			return 2;
	}
	if (argc - optind != 2 || !b.rounds || !realpath(argv[optind + 1], b.scripts)) {
		fprintf(stderr, "usage: bench [-n ROUNDS] [-j FILE] ZVM SCRIPTS\n");
		return 2;
	}
	b.zvm = argv[optind];
	name_machine(&b);
	int r = make_series(&b);
	r = r ? r : start_mount(&b);
	if (r == 0) {
		r = measure(&b);
		end_mount(&b);
	}
	if (r == 0)
		print_table(&b);
	if (r == 0 && json)
		r = write_json(&b, json);
	free_series(&b);
	return r ? 1 : 0;
}
