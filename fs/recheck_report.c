/* Two runs of one action: what differs, in words. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "compare.h"
#include "content.h"
#include "plain.h"
#include "recheck_internal.h"

/* --- what differs --- */

static int compare_stream(const char *name, int stored, int again, FILE *out)
{
	struct zvm_compare_parting p;
	int r = zvm_compare_streams(stored, again, &p);
	if (r == 1)
		fprintf(out, "  %s, at byte %" PRIu64 ":\n    stored: %s\n    again:  %s\n", name, p.at, p.a, p.b);
	return r;
}

static void describe_end(enum zvm_box_end end, int status, int signal, char *to, size_t room)
{
	switch (end) {
	case ZVM_END_EXIT: snprintf(to, room, "exit %d", status); break;
	case ZVM_END_SIGNAL: snprintf(to, room, "signal %d", signal); break;
	case ZVM_END_REFUSED: snprintf(to, room, "could not be run"); break;
	case ZVM_END_OUTPUT: snprintf(to, room, "output limit"); break;
	case ZVM_END_DEADLOCK: snprintf(to, room, "deadlock"); break;
	default: snprintf(to, room, "no result");
	}
}

static int compare_ends(const struct zvm_comparison *c, FILE *out)
{
	char was[48], is[48];
	const struct zvm_box_outcome *o = &c->again->outcome;
	describe_end(c->record->end, c->record->exit_status, c->record->signal, was, sizeof was);
	describe_end(o->end, o->exit_status, o->signal, is, sizeof is);
	if (!strcmp(was, is))
		return 0;
	fprintf(out, "  how it ended:\n    stored: %s\n    again:  %s\n", was, is);
	return 1;
}

/* Among the statuses that the script declares to be success? */
static bool is_success(const char *statuses, int status)
{
	char text[16];
	int n = snprintf(text, sizeof text, "%d", status);
	if (!strcmp(statuses, "any"))
		return true;
	for (const char *at = statuses; (at = strstr(at, text)); at++)
		if ((at == statuses || at[-1] == ',') && (!at[n] || at[n] == ','))
			return true;
	return false;
}

static int compare_failures(const struct zvm_comparison *c, FILE *out)
{
	const struct zvm_box_outcome *o = &c->again->outcome;
	bool failed = o->end != ZVM_END_EXIT || !is_success(c->action->ok_statuses, o->exit_status);
	if (failed != c->record->failed)
		fprintf(out, "  whether it failed:\n    stored: %s\n    again:  %s\n", c->record->failed ? "yes" : "no",
		        failed ? "yes" : "no");
	return failed != c->record->failed;
}

static int compare_numbers(const char *name, uint64_t was, uint64_t is, FILE *out)
{
	if (was != is)
		fprintf(out, "  %s:\n    stored: %" PRIu64 "\n    again:  %" PRIu64 "\n", name, was, is);
	return was != is;
}

static int compare_questions(const struct zvm_comparison *c, FILE *out)
{
	bool is_new;
	const char *path = zvm_replay_compare(c->replay, c->again->outcome.dependencies,
	                                      c->again->outcome.dependency_count, &is_new);
	if (!path)
		return 0;
	fprintf(out, "  what it asked for:\n    only %s asked for ", is_new ? "the new run" : "the stored run");
	zvm_plain_string(path, out);
	putc('\n', out);
	return 1;
}

int zvm_recheck_compare(const struct zvm_comparison *c, FILE *out)
{
	const struct zvm_box_outcome *o = &c->again->outcome;
	int differs = compare_ends(c, out) | compare_failures(c, out);
	int stdout_differs = compare_stream("standard output", c->out_fd, c->again->out_fd, out);
	int stderr_differs = compare_stream("standard error", c->err_fd, c->again->err_fd, out);
	if (stdout_differs < 0 || stderr_differs < 0)
		return stdout_differs < 0 ? stdout_differs : stderr_differs;
	differs |= stdout_differs | stderr_differs;
	differs |= compare_numbers("system calls", c->record->system_calls, o->system_calls, out);
	differs |= compare_numbers("nanoseconds on its own clock", c->record->virtual_ns, o->virtual_ns, out);
	return differs | compare_questions(c, out);
}

/* --- the records --- */

static void print_row(FILE *out, const char *name, const char *was, const char *is)
{
	fprintf(out, "    %-16s %-44s %s\n", name, was, is);
}

static void print_numbers(FILE *out, const char *name, uint64_t was, uint64_t is)
{
	char a[32], b[32];
	snprintf(a, sizeof a, "%" PRIu64, was);
	snprintf(b, sizeof b, "%" PRIu64, is);
	print_row(out, name, a, b);
}

static void describe_content(const struct zvm_digest *digest, uint64_t size, char *to, size_t room)
{
	char name[ZVM_DIGEST_TEXT];
	zvm_digest_format(digest, name);
	snprintf(to, room, "%s, %" PRIu64, name, size);
}

static int print_output(FILE *out, const char *name, const struct zvm_output *stored, int again)
{
	char was[80], is[80];
	struct stat st;
	struct zvm_digest digest;
	if (fstat(again, &st) < 0)
		return -errno;
	int r = zvm_content_hash(again, (uint64_t)st.st_size, &digest);
	if (r)
		return r;
	describe_content(&stored->digest, stored->size, was, sizeof was);
	describe_content(&digest, (uint64_t)st.st_size, is, sizeof is);
	print_row(out, name, was, is);
	return 0;
}

int zvm_recheck_print_records(const struct zvm_comparison *c, FILE *out)
{
	char was[64], is[64];
	struct tm local;
	const struct zvm_record *record = c->record;
	const struct zvm_box_outcome *o = &c->again->outcome;
	time_t when = (time_t)record->computed_at;
	if (!localtime_r(&when, &local) || !strftime(was, sizeof was, "stored, %Y-%m-%d %H:%M:%S", &local))
		snprintf(was, sizeof was, "stored");
	fprintf(out, "  the records:\n");
	print_row(out, "", was, "again");
	describe_end(record->end, record->exit_status, record->signal, was, sizeof was);
	describe_end(o->end, o->exit_status, o->signal, is, sizeof is);
	print_row(out, "ended", was, is);
	int r = print_output(out, "stdout", &record->out, c->again->out_fd);
	r = r ? r : print_output(out, "stderr", &record->err, c->again->err_fd);
	print_numbers(out, "system calls", record->system_calls, o->system_calls);
	print_numbers(out, "virtual ns", record->virtual_ns, o->virtual_ns);
	print_numbers(out, "peak memory", record->peak_memory, o->peak_memory);
	print_numbers(out, "refused", record->refused_count, o->refused_count);
	print_numbers(out, "files asked for", record->dependency_count, o->dependency_count);
	print_numbers(out, "wall us", record->wall_us, o->wall_us);
	return r;
}

/* --- the system calls --- */

static void print_line(FILE *out, const char *which, const struct zvm_compare_line *line)
{
	fprintf(out, "    %s: %s\n", which, *line->text ? line->text : "nothing any more");
}

int zvm_recheck_print_traces(const struct zvm_rerun *one, const struct zvm_rerun *two, FILE *out)
{
	struct zvm_compare_line lines[2];
	int differs = zvm_compare_traces(one->trace_fd, two->trace_fd, lines);
	if (differs < 0)
		return differs;
	if (!differs) {
		fprintf(out,
		        "  two more runs made the same %" PRIu64
		        " system calls as each other: the program is deterministic, the stored run is another\n",
		        one->outcome.system_calls);
		return 0;
	}
	fprintf(out, "  two more runs part from each other in system call %" PRIu64 ":\n",
	        lines[0].number ? lines[0].number : lines[1].number);
	print_line(out, "one", &lines[0]);
	print_line(out, "two", &lines[1]);
	return 0;
}
