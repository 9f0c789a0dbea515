/* The one encoding that keys and records are written in, and digests as text. */
#include "scratch.h"
#include <zvm/bytes.h>
#include <zvm/digest.h>

/* --- writing --- */

static void numbers_are_little_endian_and_of_fixed_width(void **state)
{
	zvm_autobytes struct zvm_bytes b = {0};
	(void)state;
	zvm_bytes_number(&b, 0x0102030405060708u);
	zvm_bytes_number(&b, 0);
	assert_int_equal(b.size, 16);
	assert_memory_equal(b.data, "\x08\x07\x06\x05\x04\x03\x02\x01\0\0\0\0\0\0\0", 16);
}

static void encode_two(struct zvm_bytes *b, const char *first, const char *second)
{
	zvm_bytes_string(b, first);
	zvm_bytes_string(b, second);
}

static void no_two_pairs_of_strings_encode_alike(void **state)
{
	static const char *const pairs[][2] = {{"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"", "abc"}, {"ab", "C"}};
	(void)state;
	for (size_t i = 0; i < 5; i++)
		for (size_t k = 0; k < i; k++) {
			zvm_autobytes struct zvm_bytes x = {0}, y = {0};
			encode_two(&x, pairs[i][0], pairs[i][1]);
			encode_two(&y, pairs[k][0], pairs[k][1]);
			assert_true(x.size != y.size || memcmp(x.data, y.data, x.size));
		}
}

/* A string whose bytes are an encoding is no encoding. */
static void a_string_cannot_pretend_to_be_two(void **state)
{
	zvm_autobytes struct zvm_bytes inner = {0}, pretender = {0}, honest = {0};
	(void)state;
	encode_two(&inner, "a", "b");
	zvm_bytes_part(&pretender, inner.data, inner.size);
	encode_two(&honest, "a", "b");
	assert_true(pretender.size != honest.size);
}

static void it_grows_and_keeps_what_it_holds(void **state)
{
	zvm_autobytes struct zvm_bytes b = {0};
	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		zvm_bytes_append(&b, &(unsigned char){(unsigned char)(i % 251)}, 1);
	assert_int_equal(b.error, 0);
	assert_int_equal(b.size, 100000);
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(b.data[i], i % 251);
	zvm_bytes_free(&b);
	assert_true(!b.data && !b.size && !b.room);
}

static void appending_nothing_is_nothing(void **state)
{
	zvm_autobytes struct zvm_bytes b = {0};
	(void)state;
	zvm_bytes_append(&b, NULL, 0);
	assert_true(!b.data && !b.size && !b.error);
	zvm_bytes_part(&b, NULL, 0);
	assert_int_equal(b.size, 8);
}

static void an_impossible_append_sticks_and_changes_nothing(void **state)
{
	zvm_autobytes struct zvm_bytes b = {0};
	(void)state;
	zvm_bytes_string(&b, "before");
	size_t size = b.size;
	assert_null(zvm_bytes_reserve(&b, SIZE_MAX));
	assert_int_equal(b.error, -ENOMEM);
	zvm_bytes_string(&b, "after");
	assert_int_equal(b.size, size);
	assert_int_equal(b.error, -ENOMEM);
}

/* --- reading --- */

static void what_was_written_is_read(void **state)
{
	zvm_autobytes struct zvm_bytes b = {0};
	size_t n;
	(void)state;
	zvm_bytes_number(&b, UINT64_MAX);
	zvm_bytes_string(&b, "");
	zvm_bytes_string(&b, "two words");
	zvm_bytes_part(&b, "a\0b", 3);
	struct zvm_reader r = {.data = b.data, .left = b.size};
	assert_true(zvm_read_number(&r) == UINT64_MAX);
	zvm_autofree char *empty = zvm_read_string(&r), *words = zvm_read_string(&r);
	assert_string_equal(empty, "");
	assert_string_equal(words, "two words");
	assert_memory_equal(zvm_read_part(&r, &n), "a\0b", 3);
	assert_int_equal(n, 3);
	assert_true(!r.error && !r.left);
}

static void a_short_read_sticks(void **state)
{
	static const unsigned char data[] = {1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0};
	struct zvm_reader r = {.data = data, .left = sizeof data};
	size_t n = 42;
	(void)state;
	assert_int_equal(zvm_read_number(&r), 1);
	assert_int_equal(zvm_read_number(&r), 0);
	assert_int_equal(r.error, -EBADMSG);
	/* There are three bytes left, but nothing is read from them any more. */
	assert_null(zvm_read_raw(&r, 1));
	assert_null(zvm_read_raw(&r, 0));
	assert_null(zvm_read_part(&r, &n));
	assert_int_equal(n, 0);
	assert_null(zvm_read_string(&r));
	assert_int_equal(r.error, -EBADMSG);
}

static void a_length_beyond_the_end_is_refused(void **state)
{
	static const uint64_t lengths[] = {5, 6, UINT64_MAX, UINT64_MAX - 7, 1ull << 63, 1ull << 32};
	(void)state;
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		zvm_autobytes struct zvm_bytes b = {0};
		zvm_bytes_number(&b, lengths[i]);
		zvm_bytes_append(&b, "four", 4);
		struct zvm_reader r = {.data = b.data, .left = b.size};
		assert_null(zvm_read_string(&r));
		assert_int_equal(r.error, -EBADMSG);
	}
}

static void a_string_with_a_nul_inside_is_refused(void **state)
{
	static const char *const parts[] = {"\0ab", "a\0b", "ab\0"};
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		zvm_autobytes struct zvm_bytes b = {0};
		zvm_bytes_part(&b, parts[i], 3);
		struct zvm_reader r = {.data = b.data, .left = b.size};
		assert_null(zvm_read_string(&r));
		assert_int_equal(r.error, -EBADMSG);
	}
}

/* A reader that ran out of memory must not be taken for damaged data, which is thrown away. */
static void the_first_error_is_the_one_that_stays(void **state)
{
	static const unsigned char data[64] = {1};
	struct zvm_reader r = {.data = data, .left = sizeof data, .error = -ENOMEM};
	size_t n;
	(void)state;
	assert_int_equal(zvm_read_number(&r), 0);
	assert_null(zvm_read_part(&r, &n));
	assert_null(zvm_read_string(&r));
	assert_int_equal(r.error, -ENOMEM);
}

/* --- digests --- */

static void a_digest_reads_back_as_it_was_written(void **state)
{
	static const uint32_t twins[] = {0, 1, 9, 10, 1023, 4294967295u};
	(void)state;
	for (size_t i = 0; i < sizeof twins / sizeof twins[0]; i++) {
		struct zvm_digest back, digest = {0x00123456789abcdeu, 0xfedcba9876543210u, twins[i], 0};
		char text[ZVM_DIGEST_TEXT];
		zvm_digest_format(&digest, text);
		assert_int_equal(zvm_digest_parse(text, &back), 0);
		assert_true(zvm_digest_equal(&digest, &back) && back.print == digest.print);
	}
}

static void digests_look_as_xxh128sum_prints_them(void **state)
{
	char text[ZVM_DIGEST_TEXT];
	(void)state;
	zvm_digest_format(&(struct zvm_digest){0x0a, 0xb0u, 0, 0}, text);
	assert_string_equal(text, "000000000000000a00000000000000b0");
	zvm_digest_format(&(struct zvm_digest){0x0a, 0xb0u, 17, 0}, text);
	assert_string_equal(text, "000000000000000a00000000000000b0.17");
}

static void any_other_spelling_is_no_digest(void **state)
{
#define D "0123456789abcdef0123456789abcdef"
	static const char *const texts[] = {"",
	                                    "0123",
	                                    D "0",
	                                    D ".",
	                                    D ".0",
	                                    D ".01",
	                                    D ".-1",
	                                    D ".1x",
	                                    D " ",
	                                    D ".4294967296",
	                                    D ".99999999999999999999",
	                                    "0123456789ABCDEF0123456789ABCDEF",
	                                    "0123456789abcdef0123456789abcde",
	                                    "0123456789abcdef0123456789abcdeg",
	                                    " 123456789abcdef0123456789abcdef",
	                                    "../../../../../../../etc/shadow/"};
#undef D
	struct zvm_digest digest = {1, 2, 3, 0};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		assert_int_equal(zvm_digest_parse(texts[i], &digest), -EINVAL);
	assert_true(digest.high == 1 && digest.low == 2 && digest.twin == 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(numbers_are_little_endian_and_of_fixed_width),
	        cmocka_unit_test(no_two_pairs_of_strings_encode_alike),
	        cmocka_unit_test(a_string_cannot_pretend_to_be_two),
	        cmocka_unit_test(it_grows_and_keeps_what_it_holds),
	        cmocka_unit_test(appending_nothing_is_nothing),
	        cmocka_unit_test(an_impossible_append_sticks_and_changes_nothing),
	        cmocka_unit_test(what_was_written_is_read),
	        cmocka_unit_test(a_short_read_sticks),
	        cmocka_unit_test(a_length_beyond_the_end_is_refused),
	        cmocka_unit_test(a_string_with_a_nul_inside_is_refused),
	        cmocka_unit_test(the_first_error_is_the_one_that_stays),
	        cmocka_unit_test(a_digest_reads_back_as_it_was_written),
	        cmocka_unit_test(digests_look_as_xxh128sum_prints_them),
	        cmocka_unit_test(any_other_spelling_is_no_digest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
