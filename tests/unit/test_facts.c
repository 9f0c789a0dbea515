/* What a mount tells of itself is understood whole, or not at all. */
#include "scratch.h"
#include "../../fs/facts.h"

static void facts_come_back_as_they_were(void **state)
{
	char *scripts[] = {(char[]){"/a b"}, (char[]){"/c"}, NULL};
	struct zvm_facts facts = {.store = (char[]){"/s"},
	                          .inputs = (char[]){"/i"},
	                          .mountpoint = (char[]){"/m"},
	                          .scripts = scripts,
	                          .any_exit = true,
	                          .limits = {1, 2, 3}};
	struct zvm_facts *again;
	zvm_autobytes struct zvm_bytes bytes = {0};
	(void)state;
	assert_int_equal(zvm_facts_encode(&facts, &bytes), 0);
	assert_int_equal(zvm_facts_decode(bytes.data, bytes.size, &again), 0);
	assert_string_equal(again->store, "/s");
	assert_string_equal(again->inputs, "/i");
	assert_string_equal(again->mountpoint, "/m");
	assert_string_equal(again->scripts[0], "/a b");
	assert_string_equal(again->scripts[1], "/c");
	assert_null(again->scripts[2]);
	assert_true(again->any_exit && !again->follow);
	assert_int_equal(again->limits.wall_ms, 3);
	zvm_facts_free(again);
	for (size_t n = 0; n < bytes.size; n++)
		assert_int_equal(zvm_facts_decode(bytes.data, n, &again), -EBADMSG);
	zvm_bytes_append(&bytes, "", 1);
	assert_int_equal(zvm_facts_decode(bytes.data, bytes.size, &again), -EBADMSG);
	bytes.data[8] ^= 1;
	assert_int_equal(zvm_facts_decode(bytes.data, bytes.size - 1, &again), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(facts_come_back_as_they_were)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
