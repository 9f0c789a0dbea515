/* A replay answers as the record says and asks nobody else; a report says where runs part. */
#include "store.h"
#include "../../fs/recheck_internal.h"

static const char *const no_words[] = {NULL};

static struct zvm_dependency dependency(enum zvm_ask_kind kind, const char *path, struct zvm_answer answer)
{
	answer.fd = -1;
	return (struct zvm_dependency){.question = {.kind = kind, .path = (char *)(size_t)path}, .answer = answer};
}

static struct zvm_action action(const char *script)
{
	return (struct zvm_action){.box_version = "box",
	                           .script = script,
	                           .script_blob = put("the script", 10),
	                           .script_mode = 0755,
	                           .arguments = no_words,
	                           .environment = no_words,
	                           .ok_statuses = "0"};
}

static struct zvm_answer ask(struct zvm_replay *replay, enum zvm_ask_kind kind, const char *path, bool *pinned)
{
	struct zvm_asker asker = zvm_replay_asker(replay);
	struct zvm_question q = {.kind = kind, .path = (char *)(size_t)path};
	struct zvm_answer answer;
	assert_int_equal(asker.ask(asker.context, zvm_replay_view(replay), &q, true, &answer, pinned), 0);
	return answer;
}

static void a_replay_answers_from_the_record(void **state)
{
	struct zvm_digest digest = put("content", 7);
	struct zvm_dependency list[] = {
	        dependency(
	                ZVM_ASK_OPEN, "/usr/lib/x",
	                (struct zvm_answer){.mode = S_IFREG | 0644, .size = 7, .has_content = true, .digest = digest}),
	        dependency(ZVM_ASK_LOOKUP, "/usr/gone", (struct zvm_answer){.error = -ENOENT}),
	        dependency(ZVM_ASK_OPEN, "/etc/passwd", (struct zvm_answer){.error = -EACCES}),
	};
	struct zvm_record record = {.dependencies = list, .dependency_count = 3};
	struct zvm_action a = action("/script/run");
	struct zvm_replay *replay;
	bool pinned;
	(void)state;
	assert_int_equal(zvm_replay_new(store, &a, &record, &replay), 0);
	assert_null(zvm_replay_missing(replay));
	struct zvm_answer x = ask(replay, ZVM_ASK_OPEN, "/usr/lib/x", &pinned);
	assert_true(!pinned && holds(x.fd, "content", 7));
	zvm_answer_free(&x);
	assert_int_equal(ask(replay, ZVM_ASK_OPEN, "/etc/passwd", &pinned).error, -EACCES);
	/* The run's own script is part of the action, as it was. */
	x = ask(replay, ZVM_ASK_OPEN, "/script/run", &pinned);
	assert_true(pinned && holds(x.fd, "the script", 10));
	assert_int_equal(x.mode, S_IFREG | 0755);
	zvm_answer_free(&x);
	/* Below what was missing all is; what the host has is nobody's business. */
	assert_int_equal(ask(replay, ZVM_ASK_LOOKUP, "/usr/gone/a/b", &pinned).error, -ENOENT);
	assert_int_equal(ask(replay, ZVM_ASK_LOOKUP, "/usr", &pinned).error, 0);
	assert_int_equal(ask(replay, ZVM_ASK_OPEN, "/usr/bin/env", &pinned).error, -ENOENT);
	assert_int_equal(ask(replay, ZVM_ASK_OPEN, "/script/../usr/bin/env", &pinned).error, -ENOENT);
	assert_int_equal(unlink(path_of(&digest)), 0);
	assert_string_equal(zvm_replay_missing(replay), "/usr/lib/x");
	zvm_replay_free(replay);
}

static void a_replay_knows_which_questions_are_new(void **state)
{
	struct zvm_dependency list[] = {
	        dependency(ZVM_ASK_LOOKUP, "/usr/a", (struct zvm_answer){.error = -ENOENT}),
	        dependency(ZVM_ASK_LOOKUP, "/usr/b", (struct zvm_answer){.error = -ENOENT}),
	};
	struct zvm_dependency other[] = {
	        dependency(ZVM_ASK_LOOKUP, "/usr/b", (struct zvm_answer){.error = -ENOENT}),
	        dependency(ZVM_ASK_OPEN, "/usr/a", (struct zvm_answer){.error = -ENOENT}),
	};
	struct zvm_record record = {.dependencies = list, .dependency_count = 2};
	struct zvm_action a = action("/usr/bin/run");
	struct zvm_replay *replay;
	bool is_new;
	(void)state;
	assert_int_equal(zvm_replay_new(store, &a, &record, &replay), 0);
	assert_null(zvm_replay_compare(replay, list, 2, &is_new));
	assert_string_equal(zvm_replay_compare(replay, other, 2, &is_new), "/usr/a");
	assert_true(is_new);
	assert_string_equal(zvm_replay_compare(replay, other, 1, &is_new), "/usr/a");
	assert_false(is_new);
	zvm_replay_free(replay);
}

static int traced(const char *name, const char *text)
{
	put_text(in_scratch("%s", name), text);
	return open(in_scratch("%s", name), O_RDONLY | O_CLOEXEC);
}

static char *traces(const char *one, const char *two)
{
	char *text = NULL;
	size_t length;
	zvm_autofd int a = traced("one", one), b = traced("two", two);
	struct zvm_rerun first = {.trace_fd = a, .outcome = {.system_calls = 3}}, second = {.trace_fd = b};
	FILE *out = open_memstream(&text, &length);
	assert_int_equal(zvm_recheck_print_traces(&first, &second, out), 0);
	fclose(out);
	return text;
}

static void a_report_says_where_two_new_runs_part(void **state)
{
	(void)state;
	zvm_autofree char *part = traces("open\nread 1\nexit\n", "open\nread 2\nexit\n");
	assert_non_null(strstr(part, "part from each other in system call 2:"));
	assert_non_null(strstr(part, "one: read 1\n") && strstr(part, "two: read 2\n") ? part : NULL);
	zvm_autofree char *shorter = traces("open\nread\n", "open\n");
	assert_non_null(strstr(shorter, "two: nothing any more"));
	zvm_autofree char *same = traces("open\n", "open\n");
	assert_non_null(strstr(same, "the same 3 system calls"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_STORE(a_replay_answers_from_the_record),
	        WITH_STORE(a_replay_knows_which_questions_are_new),
	        WITH_STORE(a_report_says_where_two_new_runs_part),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
