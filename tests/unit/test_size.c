/* Sizes as people write them. */
#include "scratch.h"
#include <limits.h>
#include <zvm/command.h>

static void check(const char *text, unsigned long long wanted)
{
	unsigned long long size = ~wanted;
	assert_int_equal(zvm_parse_size(text, &size), 0);
	assert_true(size == wanted);
}

static void a_number_is_bytes(void **state)
{
	(void)state;
	check("0", 0);
	check("1", 1);
	check("65536", 65536);
	check("007", 7);
	check("18446744073709551615", ULLONG_MAX);
}

static void a_letter_multiplies_by_a_power_of_1024(void **state)
{
	(void)state;
	check("1K", 1024);
	check("64k", 65536);
	check("3M", 3ull << 20);
	check("4g", 4ull << 30);
	check("2T", 2ull << 40);
	check("0T", 0);
	check("16777215T", 16777215ull << 40);
}

static void what_does_not_fit_is_refused_and_not_wrapped(void **state)
{
	static const char *const texts[] = {
	        "18446744073709551616", "16777216T",    "99999999999999999999999", "18014398509481984K",
	        "17592186044416M",      "17179869184G", "184467440737095516150",   "18446744073709551615K"};
	unsigned long long size = 42;
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		assert_int_equal(zvm_parse_size(texts[i], &size), -EINVAL);
	assert_true(size == 42);
}

static void anything_else_is_refused(void **state)
{
	static const char *const texts[] = {"",     "K",    "-1",  "+1", " 1",  "1 ", "1.5G",  "1KB",
	                                    "1KiB", "0x10", "1e3", "1P", "1KK", "K1", "1,000", "\xd9\xa1"};
	unsigned long long size;
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		assert_int_equal(zvm_parse_size(texts[i], &size), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_number_is_bytes),
	        cmocka_unit_test(a_letter_multiplies_by_a_power_of_1024),
	        cmocka_unit_test(what_does_not_fit_is_refused_and_not_wrapped),
	        cmocka_unit_test(anything_else_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
