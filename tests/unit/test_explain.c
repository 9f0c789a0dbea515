/* How two actions differ, in words: each part by its name, with what was and what is. */
#include "scratch.h"
#include "../../fs/explain_internal.h"

static const char *const words[] = {"-l", NULL}, *const other_words[] = {"-l", "-c", NULL};
static const char *const variables[] = {"A=1", "B=2", NULL}, *const other_variables[] = {"A=1", "B=3", "C=", NULL};

static struct zvm_action action(void)
{
	return (struct zvm_action){.box_version = "box 1",
	                           .script = "/script/run",
	                           .script_mode = 0755,
	                           .arguments = words,
	                           .environment = variables,
	                           .limits = {1, 2, 3},
	                           .ok_statuses = "0"};
}

static struct zvm_reasons reasons;
static bool only_parts; /* the record is gone */

static void explain(const struct zvm_action *was, const struct zvm_action *is)
{
	struct zvm_script script = {
	        .name = (char[]){"run"}, .directory = "/scripts", .guest_path = (char[]){"/script/run"}};
	struct zvm_stage_files files = {.script = &script};
	uint32_t parts[ZVM_PART_COUNT];
	zvm_reasons_free(&reasons);
	zvm_parts_of(was, parts);
	assert_int_equal(only_parts ? zvm_explain_parts(parts, is, &files, &reasons)
	                            : zvm_explain_action(was, is, &files, &reasons),
	                 0);
}

/* There is one reason of this kind about this; `was` NULL: only what is now is known. */
static void assert_reason(const char *kind, const char *subject, const char *was, const char *is)
{
	for (unsigned i = 0; i < reasons.count; i++) {
		const struct zvm_reason *r = &reasons.list[i];
		if (strcmp(r->kind, kind) || strcmp(r->subject, subject))
			continue;
		if (was && !only_parts)
			assert_string_equal(r->was, was);
		if (only_parts && strcmp(kind, "mode") != 0)
			assert_null(r->was);
		if (is)
			assert_string_equal(r->is, is);
		return;
	}
	fail_msg("there is no reason %s about %s", kind, subject);
}

static void the_same_gives_no_reason(void **state)
{
	struct zvm_action a = action();
	(void)state;
	explain(&a, &a);
	assert_int_equal(reasons.count, 0);
}

static void each_part_is_named(void **state)
{
	struct zvm_action was = action(), is = action();
	only_parts = *state != NULL;
	is.box_version = "box 2";
	explain(&was, &is);
	assert_int_equal(reasons.count, 1);
	assert_reason("box", "the box", "box 1", "box 2");
	is = action();
	is.script_blob.low = 1;
	is.script_mode = 0700;
	explain(&was, &is);
	assert_int_equal(reasons.count, 2);
	assert_reason("script", "/script/run", NULL, "00000000000000000000000000000001");
	assert_reason("mode", "/script/run", "0755", "0700");
	assert_string_equal(reasons.list[0].host, "/scripts/run");
	is = action();
	is.script = "/usr/bin/run";
	is.input_blob.high = 1;
	is.ok_statuses = "any";
	is.limits = (struct zvm_limits){4, 5, 6};
	explain(&was, &is);
	assert_int_equal(reasons.count, 6);
	assert_reason("script", "/usr/bin/run", "/script/run", "/usr/bin/run");
	assert_reason("input", "the input", NULL, NULL);
	assert_reason("directive", "exit statuses that are success", "0", "any");
	assert_reason("limit", "memory limit in bytes", "1", "4");
	assert_reason("limit", "output limit in bytes", "2", "5");
	assert_reason("limit", "time limit in ms", "3", "6");
	only_parts = false;
}

static void words_and_variables_are_told_apart(void **state)
{
	struct zvm_action was = action(), is = action();
	(void)state;
	is.arguments = other_words;
	is.environment = other_variables;
	explain(&was, &is);
	assert_int_equal(reasons.count, 3);
	assert_reason("argument", "argument 2", NULL, "-c");
	assert_reason("environment", "the variable B", "2", "3");
	assert_reason("environment", "the variable C", NULL, "");
	explain(&is, &was);
	assert_int_equal(reasons.count, 3);
	assert_reason("argument", "argument 2", "-c", NULL);
	assert_reason("environment", "the variable C", "", NULL);
	only_parts = true;
	explain(&was, &is);
	assert_int_equal(reasons.count, 2);
	assert_reason("argument", "the arguments", NULL, NULL);
	assert_reason("environment", "the environment", NULL, NULL);
	only_parts = false;
}

static int forget(void **state)
{
	(void)state;
	zvm_reasons_free(&reasons);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_same_gives_no_reason),
	        cmocka_unit_test(each_part_is_named),
	        cmocka_unit_test_prestate(each_part_is_named, &only_parts),
	        cmocka_unit_test(words_and_variables_are_told_apart),
	};
	return cmocka_run_group_tests(tests, NULL, forget);
}
