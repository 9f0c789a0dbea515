/* What a script says about itself. */
#include "scratch.h"
#include <zvm/name.h>

static struct zvm_directives d;
static char *reason;

static int parse_bytes(const char *text, size_t size)
{
	/* Exactly as large as it is, so that a step beyond shows. */
	char *copy = malloc(size ? size : 1);
	assert_non_null(copy);
	memcpy(copy, text, size);
	zvm_directives_free(&d);
	free(reason);
	int r = zvm_directives_parse(copy, size, &d, &reason);
	free(copy);
	return r;
}

static int parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

static int forget(void **state)
{
	(void)state;
	zvm_directives_free(&d);
	free(reason);
	reason = NULL;
	return 0;
}

static bool is_ok(unsigned status)
{
	return d.ok[status / 8] >> (status % 8) & 1;
}

static unsigned count_ok(void)
{
	unsigned n = 0;
	for (unsigned i = 0; i < 256; i++)
		n += is_ok(i);
	return n;
}

static void assert_nothing_declared(void)
{
	assert_true(is_ok(0) && count_ok() == 1);
	assert_true(!d.timeout_s && !d.memory_bytes && !d.output_bytes && !d.environment && !d.environment_count);
	assert_null(reason);
}

/* A first line and a directive line, refused with a reason that names the second line and the word. */
static void assert_refused(const char *word)
{
	char text[512];
	snprintf(text, sizeof text, "#!/bin/sh\n# zvm: %s\necho\n", word);
	assert_int_equal(parse(text), -EINVAL);
	assert_non_null(reason);
	assert_true(!strncmp(reason, "line 2: ", 8));
	assert_non_null(strstr(reason, word));
	assert_null(strchr(reason, '\n'));
	assert_null(d.environment);
}

static void a_script_that_says_nothing_declares_nothing(void **state)
{
	static const char *const texts[] = {"",
	                                    "#",
	                                    "#!",
	                                    "#!/bin/sh",
	                                    "#!/bin/sh\n",
	                                    "#!/bin/sh\n# hello\n",
	                                    "#!x\n# zvmx: ok=1\n",
	                                    "#!x\n# say zvm: ok=1\n",
	                                    "#!x\nzvm: ok=1\n",
	                                    "#!x\n# ZVM: ok=1\n",
	                                    "#!x\n#\n\n\n#"};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		assert_int_equal(parse(texts[i]), 0);
		assert_nothing_declared();
	}
}

static void exit_statuses_that_count_as_success(void **state)
{
	(void)state;
	assert_int_equal(parse("#!/bin/sh\n# zvm: ok=0,1\n"), 0);
	assert_true(is_ok(0) && is_ok(1) && count_ok() == 2);
	assert_int_equal(parse("#!/bin/sh\n# zvm: ok=255\n"), 0);
	assert_true(is_ok(255) && count_ok() == 1);
	assert_int_equal(parse("#!/bin/sh\n# zvm: ok=3,3,3\n"), 0);
	assert_true(is_ok(3) && count_ok() == 1);
}

static void an_odd_list_of_statuses_is_refused(void **state)
{
	static const char *const words[] = {"ok=",
	                                    "ok=,",
	                                    "ok=0,",
	                                    "ok=,0",
	                                    "ok=0,,1",
	                                    "ok=256",
	                                    "ok=-1",
	                                    "ok=0x1",
	                                    "ok=any",
	                                    "ok=1-3",
	                                    "ok=+1",
	                                    "ok=1.0",
	                                    "ok=99999999999999999999999",
	                                    "ok"};
	(void)state;
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		assert_refused(words[i]);
}

static void limits(void **state)
{
	(void)state;
	assert_int_equal(parse("#!/bin/sh\n# zvm: timeout=300 memory=4G output=64K\n"), 0);
	assert_true(d.timeout_s == 300 && d.memory_bytes == 4ull << 30 && d.output_bytes == 65536);
	assert_int_equal(parse("#!/bin/sh\n# zvm: timeout=604800\n# zvm: output=1\n"), 0);
	assert_true(d.timeout_s == 604800 && d.output_bytes == 1 && !d.memory_bytes);
}

static void a_limit_that_is_no_limit_is_refused(void **state)
{
	static const char *const words[] = {"timeout=",
	                                    "timeout=0",
	                                    "timeout=604801",
	                                    "timeout=-1",
	                                    "timeout=1s",
	                                    "timeout=1.5",
	                                    "timeout=18446744073709551617",
	                                    "timeout",
	                                    "memory=",
	                                    "memory=0",
	                                    "memory=-1",
	                                    "memory=lots",
	                                    "memory=16777216T",
	                                    "memory=18446744073709551616",
	                                    "output=0K",
	                                    "output=1KB"};
	(void)state;
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		assert_refused(words[i]);
}

/* Sums are made with these: a page here, a stack there. */
static void a_size_that_no_sum_could_hold_is_refused(void **state)
{
	(void)state;
	assert_refused("memory=18446744073709551615");
	assert_refused("output=18446744073709551615");
	assert_refused("memory=16777215T");
	assert_int_equal(parse("#!/bin/sh\n# zvm: memory=1024T output=1024T\n"), 0);
	assert_true(d.memory_bytes == 1ull << 50 && d.output_bytes == 1ull << 50);
}

static void environment(void **state)
{
	(void)state;
	assert_int_equal(parse("#!/bin/sh\n# zvm: env=LANG=de_DE.UTF-8 env=EMPTY=\n# zvm: env=A=b=c\n"), 0);
	assert_int_equal(d.environment_count, 3);
	assert_string_equal(d.environment[0], "LANG=de_DE.UTF-8");
	assert_string_equal(d.environment[1], "EMPTY=");
	assert_string_equal(d.environment[2], "A=b=c");
	assert_null(d.environment[3]);
	assert_refused("env=");
	assert_refused("env=NAME");
	assert_refused("env==value");
}

static void an_unknown_directive_is_refused(void **state)
{
	static const char *const words[] = {"time=3", "Timeout=3", "memroy=1G",      "x",
	                                    "=",      "=3",        "ok=0;timeout=3", "ok:0"};
	(void)state;
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		assert_refused(words[i]);
}

static void good_words_before_a_bad_one_do_not_count(void **state)
{
	(void)state;
	assert_int_equal(parse("#!/bin/sh\n# zvm: env=A=b timeout=3 nonsense\n"), -EINVAL);
	assert_true(!strncmp(reason, "line 2: \"nonsense\"", 18));
	assert_true(!d.environment && !d.environment_count);
}

static void the_last_word_on_a_thing_counts(void **state)
{
	(void)state;
	assert_int_equal(parse("#!/bin/sh\n# zvm: timeout=1 ok=1\n# zvm: timeout=2 ok=2\n"), 0);
	assert_true(d.timeout_s == 2 && is_ok(2) && count_ok() == 1);
}

static void twenty_lines_of_directives(unsigned line, char *text)
{
	strcpy(text, "#!/bin/sh\n");
	for (unsigned i = 2; i < line; i++)
		strcat(text, "#\n");
}

static void only_the_first_twenty_lines_are_looked_at(void **state)
{
	char text[256];
	(void)state;
	twenty_lines_of_directives(20, text);
	strcat(text, "# zvm: timeout=3");
	assert_int_equal(parse(text), 0);
	assert_int_equal(d.timeout_s, 3);
	twenty_lines_of_directives(21, text);
	strcat(text, "# zvm: timeout=3\n# zvm: nonsense\n");
	assert_int_equal(parse(text), 0);
	assert_nothing_declared();
}

static void the_reason_names_the_line(void **state)
{
	char text[256];
	(void)state;
	twenty_lines_of_directives(20, text);
	strcat(text, "# zvm: nonsense\n");
	assert_int_equal(parse(text), -EINVAL);
	assert_true(!strncmp(reason, "line 20: \"nonsense\"", 19));
	assert_int_equal(parse("#!/bin/sh\n\n\n  -- zvm: bad=1\n"), -EINVAL);
	assert_true(!strncmp(reason, "line 4: \"bad=1\"", 15));
}

static void only_scripts_are_looked_at(void **state)
{
	static const char *const texts[] = {"# zvm: timeout=3\n", "\n#!/bin/sh\n# zvm: timeout=3\n",
	                                    " #!/bin/sh\n# zvm: x\n", "\177ELF\n# zvm: nonsense\n"};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		assert_int_equal(parse(texts[i]), 0);
		assert_nothing_declared();
	}
}

static void comments_of_many_languages_will_do(void **state)
{
	static const char *const lines[] = {"#zvm:timeout=3",      "#\tzvm:\ttimeout=3", "  # zvm: timeout=3",
	                                    "// zvm: timeout=3",   "-- zvm: timeout=3",  "; zvm: timeout=3",
	                                    "% zvm: timeout=3",    "# zvm: timeout=3\r", "# zvm:  timeout=3  ",
	                                    "# zvm: timeout=3 \t "};
	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		char text[128];
		snprintf(text, sizeof text, "#!x\n%s\nrest", lines[i]);
		assert_int_equal(parse(text), 0);
		assert_int_equal(d.timeout_s, 3);
	}
}

/* Cut at the buffer's end, the value would be another one than was written. */
static void a_directive_line_too_long_to_read_is_refused_and_not_cut(void **state)
{
	char *text = NULL;
	(void)state;
	assert_true(asprintf(&text, "#!/bin/sh\n# zvm: env=A=%05000d timeout=3\n", 1) > 0);
	assert_int_equal(parse(text), -EINVAL);
	assert_true(reason && !strncmp(reason, "line 2: ", 8));
	free(text);
	assert_true(asprintf(&text, "#!/bin/sh\n# %05000d\n# zvm: timeout=3\n", 1) > 0);
	assert_int_equal(parse(text), 0);
	assert_int_equal(d.timeout_s, 3);
	free(text);
}

static void a_directive_line_with_a_nul_is_refused_and_other_binary_lines_are_not(void **state)
{
	static const char directive[] = "#!/bin/sh\n# zvm: timeout=3\0\n",
	                  binary[] = "#!/bin/sh\n\0# zvm: nonsense\n\xff\0\n";
	(void)state;
	assert_int_equal(parse_bytes(directive, sizeof directive - 1), -EINVAL);
	assert_true(reason && !strncmp(reason, "line 2: ", 8));
	assert_int_equal(parse_bytes(binary, sizeof binary - 1), 0);
	assert_nothing_declared();
}

static void the_reason_may_be_left_out(void **state)
{
	(void)state;
	zvm_directives_free(&d);
	assert_int_equal(zvm_directives_parse("#!x\n# zvm: x", 12, &d, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_script_that_says_nothing_declares_nothing),
	        cmocka_unit_test(exit_statuses_that_count_as_success),
	        cmocka_unit_test(an_odd_list_of_statuses_is_refused),
	        cmocka_unit_test(limits),
	        cmocka_unit_test(a_limit_that_is_no_limit_is_refused),
	        cmocka_unit_test(a_size_that_no_sum_could_hold_is_refused),
	        cmocka_unit_test(environment),
	        cmocka_unit_test(an_unknown_directive_is_refused),
	        cmocka_unit_test(good_words_before_a_bad_one_do_not_count),
	        cmocka_unit_test(the_last_word_on_a_thing_counts),
	        cmocka_unit_test(only_the_first_twenty_lines_are_looked_at),
	        cmocka_unit_test(the_reason_names_the_line),
	        cmocka_unit_test(only_scripts_are_looked_at),
	        cmocka_unit_test(comments_of_many_languages_will_do),
	        cmocka_unit_test(a_directive_line_too_long_to_read_is_refused_and_not_cut),
	        cmocka_unit_test(a_directive_line_with_a_nul_is_refused_and_other_binary_lines_are_not),
	        cmocka_unit_test(the_reason_may_be_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, forget);
}
