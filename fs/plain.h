/*
 * Text of a guest's or anybody's choice (names, arguments, traces), for a terminal: whatever is no printable ASCII
 * character becomes a question mark, so that nothing in it moves the cursor or looks like a line of ours.
 */
#ifndef ZVM_FS_PLAIN_H
#define ZVM_FS_PLAIN_H

#include <stddef.h>
#include <stdio.h>

/* In place. */
void zvm_plain(char *text);
void zvm_plain_put(const char *text, size_t length, FILE *to);
void zvm_plain_string(const char *text, FILE *to);

/* For zvm_box_request.trace: one line of the trace to the FILE that is its context. */
void zvm_plain_trace(void *context, const char *line, size_t length);

#endif
