/* Shared by recheck.c (running) and recheck_report.c (what differs, in words). */
#ifndef ZVM_FS_RECHECK_INTERNAL_H
#define ZVM_FS_RECHECK_INTERNAL_H

#include <stdio.h>
#include "recheck.h"
#include "replay.h"

/* What one of the runs wrote, and how it went. */
struct zvm_rerun {
	int out_fd, err_fd, trace_fd; /* trace_fd -1: not traced */
	struct zvm_box_outcome outcome;
};

struct zvm_comparison {
	const struct zvm_action *action;
	const struct zvm_record *record;
	const struct zvm_replay *replay;
	int out_fd, err_fd; /* what the record names */
	const struct zvm_rerun *again;
};

/* 1 with lines written if the two differ, 0 if not, or -errno. */
int zvm_recheck_compare(const struct zvm_comparison *comparison, FILE *out);
/* Both records, side by side. */
int zvm_recheck_print_records(const struct zvm_comparison *comparison, FILE *out);
/* Where the system calls of two new runs part, or that they do not. 0 or -errno. */
int zvm_recheck_print_traces(const struct zvm_rerun *one, const struct zvm_rerun *two, FILE *out);

#endif
