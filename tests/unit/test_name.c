/* The spec grammar: each rule of DESIGN section 1, and what is no spec. */
#include "scratch.h"
#include <limits.h>
#include <zvm/name.h>

/* What a spec was taken for: "<sort>|<uniq><-c>", or the name of the error. */
static const char *shape(const char *text)
{
	static char out[2048];
	struct zvm_spec *spec = NULL;
	size_t n = 0;
	int r = zvm_spec_parse(text, &spec);
	if (r)
		return strerrorname_np(-r);
	assert_string_equal(spec->text, text);
	for (unsigned i = 0; i < spec->stage_count; i++) {
		const struct zvm_stage *stage = &spec->stages[i];
		assert_true(stage->word_count > 0);
		assert_null(stage->words[stage->word_count]);
		n += (size_t)snprintf(out + n, sizeof out - n, "%s", i ? "|" : "");
		for (unsigned k = 0; k < stage->word_count; k++)
			n += (size_t)snprintf(out + n, sizeof out - n, "<%s>", stage->words[k]);
	}
	zvm_spec_free(spec);
	return out;
}

static void a_word_is_a_script(void **state)
{
	(void)state;
	assert_string_equal(shape("cat"), "<cat>");
	assert_string_equal(shape("wordcount.py"), "<wordcount.py>");
	assert_string_equal(shape("\xc3\xa9t\xc3\xa9\n\t"), "<\xc3\xa9t\xc3\xa9\n\t>");
}

static void words_after_it_are_arguments(void **state)
{
	(void)state;
	assert_string_equal(shape("head -n 5"), "<head><-n><5>");
	assert_string_equal(shape("sed s/a/b/"), "<sed><s/a/b/>");
}

static void a_lone_bar_begins_another_stage(void **state)
{
	(void)state;
	assert_string_equal(shape("sort | uniq -c | head -n 5"), "<sort>|<uniq><-c>|<head><-n><5>");
}

static void a_bar_inside_a_word_is_a_byte_like_others(void **state)
{
	(void)state;
	assert_string_equal(shape("grep a|b"), "<grep><a|b>");
	assert_string_equal(shape("grep |b"), "<grep><|b>");
	assert_string_equal(shape("grep a| c"), "<grep><a|><c>");
	assert_string_equal(shape("grep ||"), "<grep><||>");
	assert_string_equal(shape("|x"), "<|x>");
}

static void percent_and_two_digits_are_that_byte(void **state)
{
	(void)state;
	assert_string_equal(shape("tr %20 %2F"), "<tr>< ></>");
	assert_string_equal(shape("grep %7C"), "<grep><|>");
	assert_string_equal(shape("echo 100%25"), "<echo><100%>");
	assert_string_equal(shape("a%7a%7A%fF%Ff%01"), "<azz\xff\xff\x01>");
	assert_string_equal(shape("a%2541"), "<a%41>");
	assert_string_equal(shape("%63at"), "<cat>");
}

static void a_byte_that_was_written_as_percent_separates_nothing(void **state)
{
	(void)state;
	assert_string_equal(shape("a%20b"), "<a b>");
	assert_string_equal(shape("a %7C b"), "<a><|><b>");
	assert_string_equal(shape("%20"), "< >");
}

static void an_incomplete_or_foreign_percent_is_refused(void **state)
{
	static const char *const texts[] = {"%",     "a%",    "a%2",   "a %2 b", "a%zz", "a%2g",   "a%g2",
	                                    "a% 20", "a%%20", "a%-1b", "a%0x",   "a%+2", "a%2\xff"};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		assert_string_equal(shape(texts[i]), "EINVAL");
}

static void no_word_holds_a_nul(void **state)
{
	(void)state;
	assert_string_equal(shape("cat%00"), "EINVAL");
	assert_string_equal(shape("%00"), "EINVAL");
	assert_string_equal(shape("cat a | b c%00d"), "EINVAL");
}

static void empty_words_are_refused(void **state)
{
	static const char *const texts[] = {"", " ", " cat", "cat ", "cat  -n", "a |  b", "a  | b", "a | b "};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		assert_string_equal(shape(texts[i]), "EINVAL");
}

static void empty_stages_are_refused(void **state)
{
	static const char *const texts[] = {"|", "| a", "a |", "a | ", "a | | b", " | a", "| |", "a | b |"};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		assert_string_equal(shape(texts[i]), "EINVAL");
}

static void a_script_has_no_slash_in_its_name(void **state)
{
	(void)state;
	assert_string_equal(shape("a%2Fb"), "EINVAL");
	assert_string_equal(shape("cat | %2Fbin%2Fsh"), "EINVAL");
	assert_string_equal(shape("cat a%2Fb"), "<cat><a/b>");
}

static void two_hundred_and_fifty_five_bytes_are_a_name_and_one_more_is_none(void **state)
{
	char text[300];
	(void)state;
	memset(text, 'a', sizeof text);
	text[NAME_MAX] = 0;
	assert_int_equal(strlen(text), 255);
	assert_int_equal(strlen(shape(text)), 257);
	text[NAME_MAX] = 'a';
	text[NAME_MAX + 1] = 0;
	assert_string_equal(shape(text), "ENAMETOOLONG");
	memset(text, ' ', 256);
	assert_string_equal(shape(text), "ENAMETOOLONG");
}

static void as_many_stages_as_fit_are_taken(void **state)
{
	char text[256] = "a";
	struct zvm_spec *spec;
	(void)state;
	while (strlen(text) + 4 <= NAME_MAX)
		strcat(text, " | a");
	assert_int_equal(zvm_spec_parse(text, &spec), 0);
	assert_int_equal(spec->stage_count, 64);
	zvm_spec_free(spec);
	zvm_spec_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_word_is_a_script),
	        cmocka_unit_test(words_after_it_are_arguments),
	        cmocka_unit_test(a_lone_bar_begins_another_stage),
	        cmocka_unit_test(a_bar_inside_a_word_is_a_byte_like_others),
	        cmocka_unit_test(percent_and_two_digits_are_that_byte),
	        cmocka_unit_test(a_byte_that_was_written_as_percent_separates_nothing),
	        cmocka_unit_test(an_incomplete_or_foreign_percent_is_refused),
	        cmocka_unit_test(no_word_holds_a_nul),
	        cmocka_unit_test(empty_words_are_refused),
	        cmocka_unit_test(empty_stages_are_refused),
	        cmocka_unit_test(a_script_has_no_slash_in_its_name),
	        cmocka_unit_test(two_hundred_and_fifty_five_bytes_are_a_name_and_one_more_is_none),
	        cmocka_unit_test(as_many_stages_as_fit_are_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
