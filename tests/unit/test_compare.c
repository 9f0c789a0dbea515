/* The comparer of zvm run --verify: finds the first byte, the call and the stage where two runs part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "../../fs/compare.h"
#include "../../fs/content.h"

static int file_with(const void *data, size_t size)
{
	int fd = memfd_create("compared", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(zvm_write_all(fd, data, size), 0);
	return fd;
}

static int file_of(const char *text)
{
	return file_with(text, strlen(text));
}

/* -1: the same; else where they part. */
static long parts_at(const char *a, const char *b)
{
	zvm_autofd int x = file_of(a), y = file_of(b);
	uint64_t at, back;
	int r = zvm_compare_files(x, y, &at);
	assert_int_equal(zvm_compare_files(y, x, &back), r);
	assert_true(r == 0 || r == 1);
	assert_true(r == 0 || at == back);
	return r ? (long)at : -1;
}

static void equal_files_are_the_same(void **state)
{
	(void)state;
	assert_int_equal(parts_at("", ""), -1);
	assert_int_equal(parts_at("one\ntwo\n", "one\ntwo\n"), -1);
}

static void the_first_differing_byte_is_found(void **state)
{
	(void)state;
	assert_int_equal(parts_at("one", "two"), 0);
	assert_int_equal(parts_at("abcdef", "abcxef"), 3);
	assert_int_equal(parts_at("abcdeX", "abcdeY"), 5);
}

static void a_file_that_ends_early_parts_at_its_end(void **state)
{
	(void)state;
	assert_int_equal(parts_at("", "x"), 0);
	assert_int_equal(parts_at("abc", "abcd"), 3);
}

static void files_longer_than_a_piece_are_compared_whole(void **state)
{
	(void)state;
	static char data[200000];
	static const size_t places[] = {0, 65535, 65536, 65537, 131071, 131072, 199999};
	memset(data, 'a', sizeof data);
	zvm_autofd int whole = file_with(data, sizeof data), same = file_with(data, sizeof data);
	uint64_t at;
	assert_int_equal(zvm_compare_files(whole, same, &at), 0);
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		data[places[i]] = 'b';
		zvm_autofd int other = file_with(data, sizeof data), shorter = file_with(data, places[i]);
		data[places[i]] = 'a';
		assert_int_equal(zvm_compare_files(whole, other, &at), 1);
		assert_int_equal(at, places[i]);
		assert_int_equal(zvm_compare_files(whole, shorter, &at), 1);
		assert_int_equal(at, places[i]);
	}
	/* Lengths that are whole pieces, where the end is only seen by the next read. */
	zvm_autofd int piece = file_with(data, 65536), same_piece = file_with(data, 65536);
	assert_int_equal(zvm_compare_files(piece, same_piece, &at), 0);
}

static void the_position_of_a_descriptor_does_not_matter(void **state)
{
	(void)state;
	zvm_autofd int a = file_of("abc"), b = file_of("abd");
	uint64_t at;
	lseek(a, 2, SEEK_SET);
	assert_int_equal(zvm_compare_files(a, b, &at), 1);
	assert_int_equal(at, 2);
}

static void what_cannot_be_read_is_an_error_not_a_likeness(void **state)
{
	(void)state;
	zvm_autofd int a = file_of("abc");
	uint64_t at;
	assert_true(zvm_compare_files(a, -1, &at) < 0);
	assert_true(zvm_compare_files(-1, a, &at) < 0);
}

/* --- quoting --- */

static void assert_quote(const void *data, size_t size, uint64_t at, const char *expected)
{
	char text[512];
	zvm_autofd int fd = file_with(data, size);
	assert_int_equal(zvm_compare_quote(fd, at, text, sizeof text), 0);
	assert_string_equal(text, expected);
}

static void a_quote_shows_what_stands_around(void **state)
{
	(void)state;
	assert_quote("one\ntwo\n", 8, 4, "\"one\\ntwo\\n\"");
	assert_quote("a\0\x80\xff\"\\\x1b", 7, 0, "\"a\\x00\\x80\\xff\\\"\\\\\\x1b\"");
}

static void a_quote_says_where_the_file_ends(void **state)
{
	(void)state;
	assert_quote("", 0, 0, "end of file");
	assert_quote("abc", 3, 3, "\"abc\", end of file");
	assert_quote("abc", 3, 2, "\"abc\"");
}

static void a_quote_of_a_long_file_is_a_piece_of_it(void **state)
{
	(void)state;
	char data[1000], text[512];
	memset(data, 'a', sizeof data);
	data[500] = 'X';
	zvm_autofd int fd = file_with(data, sizeof data);
	assert_int_equal(zvm_compare_quote(fd, 500, text, sizeof text), 0);
	assert_true(!strncmp(text, "...\"aaa", 7));
	assert_non_null(strchr(text, 'X'));
	assert_string_equal(text + strlen(text) - 4, "\"...");
	assert_true(strlen(text) < 80);
}

static void a_quote_never_passes_its_room(void **state)
{
	(void)state;
	char data[100], text[64];
	memset(data, 1, sizeof data);
	zvm_autofd int fd = file_with(data, sizeof data);
	for (size_t room = 1; room < 40; room++) {
		memset(text, '#', sizeof text);
		assert_int_equal(zvm_compare_quote(fd, 50, text, room), 0);
		assert_true(strlen(text) < room);
		assert_int_equal(text[room], '#');
	}
}

/* --- traces --- */

static const char trace[] = "1 0.000001 open() = 0x3\n"
                            "1 0.000002 read() = 0x10\n"
                            "== sort: exit status 0, stdout 0123\n"
                            "1 0.000001 write() = 0x4\n"
                            "== uniq: exit status 1, stdout 4567\n";

static struct zvm_compare_line line_with(const char *text, const char *what)
{
	struct zvm_compare_line line;
	zvm_autofd int fd = file_of(text);
	uint64_t at = what ? (uint64_t)(strstr(text, what) - text) : strlen(text);
	assert_int_equal(zvm_compare_find_line(fd, at, &line), 0);
	return line;
}

static void calls_are_counted_from_one_in_each_stage(void **state)
{
	(void)state;
	struct zvm_compare_line line = line_with(trace, "pen()");
	assert_int_equal(line.stage, 1);
	assert_int_equal(line.number, 1);
	assert_string_equal(line.text, "1 0.000001 open() = 0x3");
	line = line_with(trace, "read");
	assert_int_equal(line.number, 2);
	line = line_with(trace, "write");
	assert_int_equal(line.stage, 2);
	assert_int_equal(line.number, 1);
}

static void the_end_of_a_stage_is_no_call(void **state)
{
	(void)state;
	struct zvm_compare_line line = line_with(trace, "0123");
	assert_int_equal(line.stage, 1);
	assert_int_equal(line.number, 0);
	assert_string_equal(line.text, "== sort: exit status 0, stdout 0123");
	line = line_with(trace, "4567");
	assert_int_equal(line.stage, 2);
	assert_int_equal(line.number, 0);
}

static void a_newline_belongs_to_the_line_it_ends(void **state)
{
	(void)state;
	assert_int_equal(line_with(trace, "\n1 0.000002").number, 1);
}

static void behind_the_end_of_a_trace_is_an_empty_line(void **state)
{
	(void)state;
	struct zvm_compare_line line = line_with(trace, NULL);
	assert_int_equal(line.stage, 3);
	assert_string_equal(line.text, "");
	line = line_with("1 0.000001 open() = 0x3\n", NULL);
	assert_int_equal(line.stage, 1);
	assert_int_equal(line.number, 2);
	assert_string_equal(line.text, "");
	line = line_with("", NULL);
	assert_int_equal(line.number, 1);
	assert_string_equal(line.text, "");
}

static void a_line_longer_than_its_room_is_cut_and_counted_once(void **state)
{
	(void)state;
	char text[2000];
	memset(text, 'x', sizeof text);
	memcpy(text + 1000, "\nsecond", 7);
	text[sizeof text - 1] = 0;
	struct zvm_compare_line line = line_with(text, "second");
	assert_int_equal(line.number, 2);
	assert_int_equal(strlen(line.text), sizeof line.text - 1);
	assert_true(!strncmp(line.text, "secondxxx", 9));
	/* Where they part may lie in what was cut off. */
	zvm_autofd int fd = file_of(text);
	assert_int_equal(zvm_compare_find_line(fd, 900, &line), 0);
	assert_int_equal(line.number, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(equal_files_are_the_same),
	        cmocka_unit_test(the_first_differing_byte_is_found),
	        cmocka_unit_test(a_file_that_ends_early_parts_at_its_end),
	        cmocka_unit_test(files_longer_than_a_piece_are_compared_whole),
	        cmocka_unit_test(the_position_of_a_descriptor_does_not_matter),
	        cmocka_unit_test(what_cannot_be_read_is_an_error_not_a_likeness),
	        cmocka_unit_test(a_quote_shows_what_stands_around),
	        cmocka_unit_test(a_quote_says_where_the_file_ends),
	        cmocka_unit_test(a_quote_of_a_long_file_is_a_piece_of_it),
	        cmocka_unit_test(a_quote_never_passes_its_room),
	        cmocka_unit_test(calls_are_counted_from_one_in_each_stage),
	        cmocka_unit_test(the_end_of_a_stage_is_no_call),
	        cmocka_unit_test(a_newline_belongs_to_the_line_it_ends),
	        cmocka_unit_test(behind_the_end_of_a_trace_is_an_empty_line),
	        cmocka_unit_test(a_line_longer_than_its_room_is_cut_and_counted_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
