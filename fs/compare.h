/*
 * Two runs, compared: where their outputs part, and where their traces do. Files are read with pread, piece by piece,
 * so neither has to fit into memory.
 */
#ifndef ZVM_FS_COMPARE_H
#define ZVM_FS_COMPARE_H

#include <stddef.h>
#include <stdint.h>

/* 0: the same; 1: they part at *ret_at, where one may have ended; or -errno. */
int zvm_compare_files(int a, int b, uint64_t *ret_at);

/* Where two files part, for a person. */
struct zvm_compare_parting {
	uint64_t at;
	char a[400], b[400]; /* zvm_compare_quote */
};

/* As zvm_compare_files; if 1, *ret is set. */
int zvm_compare_streams(int a, int b, struct zvm_compare_parting *ret);

/* What stands around that byte, quoted as in C; "end of file" if there is nothing any more. Never longer than the room.
 */
int zvm_compare_quote(int fd, uint64_t at, char *to, size_t room);

/* The line of a trace (engine.h) that holds a byte. */
struct zvm_compare_line {
	unsigned stage;  /* of the pipeline, from 1 */
	uint64_t number; /* among the system calls of that stage, from 1; 0: the line that says how the stage ended */
	char text[256];  /* without its newline, cut if it is longer; empty: the trace has ended before */
};

int zvm_compare_find_line(int fd, uint64_t at, struct zvm_compare_line *ret);

/* As zvm_compare_files, of two traces; if 1, ret has the line of each in which they part. */
int zvm_compare_traces(int a, int b, struct zvm_compare_line ret[2]);

#endif
