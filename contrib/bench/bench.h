/*
 * What the files of the benchmark share.
 *
 * A row is one line of the table: up to four series of times (a column each), and what is asked of them. The rows lie
 * in groups, one a file; a group's measure() fills the rows that are chosen, and notes why one has nothing.
 * Functions return 0 or -errno and have said what went wrong (complain); -EINTR means that a signal wants the end.
 * There is one thread. Times are microseconds, sizes of memory MiB.
 */
#ifndef BENCH_H
#define BENCH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PATH_ROOM (PATH_MAX + 512)
#define PAGE 4096u
#define OUTPUT_MAX (1u << 20)
#define STAT_IS_TRUSTED_AFTER 3 /* seconds, after which a file is known by its stat and not read again */

enum column { NATIVE, BWRAP, COLD, WARM, COLUMNS };

struct series {
	double *values; /* sorted by what asks for a rank */
	size_t count, room;
};

/* The verdict whose figure has a column in the table. */
#define COLD_TO_NATIVE "cold:native"

/* One figure and what it should be. `what` NULL: there is none. */
struct verdict {
	const char *what;
	const char *unit;
	double goal;   /* 0: none is set */
	double limit;  /* weaker, from when less was asked for; 0: none */
	bool at_least; /* the figure may be more and not less */
	double value;  /* NaN: not measured */
};

struct row {
	const char *name;
	struct verdict verdicts[2];
	struct series at[COLUMNS];
	bool chosen;
	char note[96]; /* why it was not measured, or what else is to say of it */
};

struct mount {
	char directory[PATH_MAX], path[PATH_MAX + 8], store[PATH_MAX + 8];
	pid_t daemon; /* 0: not mounted */
};

struct bench {
	const char *zvm;
	char built[PATH_MAX];           /* where passthrough and workloads/ are */
	char workloads[PATH_MAX + 16];  /* a scripts directory */
	char directory[PATH_MAX - 256]; /* ours, in $TMPDIR: everything that is written */
	char inputs[PATH_MAX], scripts[PATH_MAX];
	char fast[PATH_MAX]; /* ours, on a tmpfs if there is one: for guests that write files natively */
	char machine[512];
	char no_bwrap[96]; /* why there is none; empty: there is */
	unsigned rounds;
	struct mount mount; /* the one that most rows are read from */
};

struct group {
	const char *title;
	struct row *rows;
	size_t count;
	int (*measure)(struct bench *b);
};

extern struct group programs, first_runs, bulk, opens, memory;

/* --- ground.c: needs none of the others --- */

/* From now on SIGINT, SIGTERM and SIGHUP set what stopped() tells, and interrupt what waits. */
void stop_on_signals(void);
/* A signal wants the end: what is under way returns -EINTR, everything is taken down. */
bool stopped(void);
/* Says it, unless it comes of a signal. Returns `error`, or -EIO if that is 0. */
int complain(int error, const char *name, const char *what);
/* On a terminal, how far it is. */
void progress(const char *what, unsigned done, unsigned of);
int wait_for_stat_trust(void);
/* Since some moment of the past. */
double now(void);

/* --- series.c --- */

int series_add(struct series *s, double value);
/* The value at that part of the sorted series, 0 to 1; NaN if it is empty. */
double series_rank(struct series *s, double part);
double series_median(struct series *s);
void series_free(struct series *s);
/* Of the medians of two columns; NaN if either is empty. */
double row_ratio(struct row *row, enum column a, enum column b);

/* --- files.c --- */

int file_write(const char *path, const void *data, size_t size, mode_t mode);
/* The whole file into a buffer; its size or -errno, about which it says nothing. */
ssize_t file_read(const char *path, char *buffer, size_t room);
/* 0: both hold the same. */
int file_compare(const char *a, const char *b);
/* `size` bytes of text that differ from all others. */
int file_fill(const char *path, size_t size, unsigned number);
int file_make_directory(const char *path);
/* What is below it, and `itself` too. Does not cross mounts. */
void file_remove_tree(const char *path, bool itself);

/* --- spawn.c --- */

struct spawn {
	const char *const *argv; /* argv[0] is a path */
	const char *input;       /* standard input; NULL: /dev/null */
	const char *output;      /* written anew; NULL: into `buffer` */
	const char *tmp;         /* $TMPDIR; NULL: /tmp */
	char *buffer;            /* OUTPUT_MAX */
	size_t size;             /* set: of what came into it */
	double us;               /* set: from before the spawn until it was waited for */
	bool quiet;              /* its standard error goes to /dev/null */
};

/* Spawns and waits. -EIO if it does not exit with 0. Says nothing. */
int spawn_run(struct spawn *s);
/* argv behind bwrap's own, with the root that the box has: /usr, /etc, /script, a /tmp and a home of its own. */
#define BWRAP_ARGUMENTS_MAX 64
void spawn_bwrap(const struct bench *b, const char *const *argv, const char *ret[BWRAP_ARGUMENTS_MAX]);
/* Sets no_bwrap. */
void spawn_look_for_bwrap(struct bench *b);

/* --- mount.c --- */

/* Mounts the bench's inputs and scripts below DIRECTORY/`name`, with a new store; `jobs` 0: as zvm likes. */
int mount_start(struct bench *b, const char *name, unsigned jobs, struct mount *ret);
/* Ends the daemon whatever it is doing, and removes the directory. Harmless if it is not mounted. */
void mount_end(const struct bench *b, struct mount *m);

/* --- process.c --- */

/* Calls visit(child, context) for each child of `parent`. */
void process_children(pid_t parent, void (*visit)(pid_t child, void *context), void *context);
/* SIGTERM, and SIGKILL after ten seconds; waits. For children of this process only. */
void process_end(pid_t child);

/* --- report.c --- */

void report_name_machine(struct bench *b);
void report_table(const struct bench *b, struct group *const *groups);
int report_json(const struct bench *b, struct group *const *groups, const char *path);

#endif
