/* A table in a file gives back what was put, or nothing: whatever happens to the file. */
#include "scratch.h"
#include <pthread.h>
#include "../../fs/table.h"

struct number {
	uint64_t n;
};

static const struct zvm_table_shape shape = {sizeof(struct number), 3 * sizeof(uint64_t), 64};
static struct zvm_table *table;
static int home = -1;

static void open_table(bool readonly)
{
	assert_int_equal(zvm_table_open(home, "table", readonly, &shape, &table), 0);
}

static int set_up(void **state)
{
	int r = scratch_make(state);
	home = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	open_table(false);
	return r;
}

static int tear_down(void **state)
{
	zvm_table_close(table);
	close(home);
	return scratch_remove(state);
}

static void put(uint64_t n)
{
	const uint64_t value[3] = {n, ~n, n * 7};
	zvm_table_put(table, &(struct number){n}, value);
}

/* What is found is always right. */
static bool found(uint64_t n)
{
	uint64_t value[3];
	if (!zvm_table_find(table, &(struct number){n}, value))
		return false;
	assert_int_equal(value[0], n);
	assert_int_equal(value[1], ~n);
	assert_int_equal(value[2], n * 7);
	return true;
}

static void what_was_put_is_found_also_by_the_next_process(void **state)
{
	(void)state;
	assert_false(found(1));
	for (uint64_t n = 0; n < 100; n++)
		put(n);
	for (uint64_t n = 0; n < 100; n++)
		assert_true(found(n));
	assert_false(found(100));
	zvm_table_close(table);
	open_table(true);
	assert_true(found(7));
	put(100);
	assert_false(found(100)); /* only to be read */
}

static void the_last_value_of_a_key_counts(void **state)
{
	const uint64_t other[3] = {1, 2, 3};
	uint64_t value[3];
	(void)state;
	for (unsigned i = 0; i < 20; i++)
		put(5);
	zvm_table_put(table, &(struct number){5}, other);
	assert_true(zvm_table_find(table, &(struct number){5}, value));
	assert_memory_equal(value, other, sizeof other);
}

static void a_full_table_forgets_and_goes_on(void **state)
{
	struct stat st;
	unsigned kept = 0;
	(void)state;
	for (uint64_t n = 0; n < 10000; n++) {
		put(n);
		assert_true(found(n));
	}
	for (uint64_t n = 0; n < 10000; n++)
		kept += found(n);
	assert_int_equal(kept, 64 * ZVM_TABLE_SLOTS);
	assert_int_equal(stat(in_scratch("table"), &st), 0);
	assert_int_equal(st.st_size, 64 * ZVM_TABLE_SLOTS * 40);
}

static void damage_anywhere_is_no_entry(void **state)
{
	uint64_t entries, damaged;
	(void)state;
	put(1);
	put(2);
	for (uint64_t at = 0; at < 64 * ZVM_TABLE_SLOTS * 40; at += 13) {
		unsigned char byte;
		zvm_autofd int fd = open(in_scratch("table"), O_RDWR | O_CLOEXEC);
		ssize_t n = pread(fd, &byte, 1, (off_t)at);
		if (n == 0)
			break;
		byte ^= 1;
		assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	}
	assert_false(found(1));
	assert_false(found(2));
	assert_int_equal(zvm_table_check(table, false, &entries, &damaged), 0);
	assert_int_equal(entries, 0);
	assert_true(damaged > 2);
	put(1);
	assert_true(found(1));
	assert_int_equal(zvm_table_check(table, true, &entries, &damaged), 0);
	assert_int_equal(entries, 1);
	assert_int_equal(zvm_table_check(table, false, &entries, &damaged), 0);
	assert_int_equal(entries, 1);
	assert_int_equal(damaged, 0);
}

static void a_table_cut_short_or_gone_is_an_empty_one(void **state)
{
	(void)state;
	put(1);
	assert_int_equal(truncate(in_scratch("table"), 3), 0);
	assert_false(found(1));
	put(1);
	assert_true(found(1));
	zvm_table_close(table);
	assert_int_equal(unlink(in_scratch("table")), 0);
	assert_int_equal(mkdir(in_scratch("table"), 0700), 0);
	open_table(false); /* what cannot be opened finds nothing */
	put(1);
	assert_false(found(1));
}

static void *put_many(void *context)
{
	for (unsigned round = 0; round < 200; round++)
		for (uint64_t n = 0; n < 50; n++) {
			put(n);
			found(n + 1); /* never a torn one, found() sees to it */
		}
	return context;
}

static void threads_and_processes_share_it(void **state)
{
	pthread_t threads[4];
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, put_many, NULL), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (uint64_t n = 0; n < 50; n++)
		put(n);
	for (uint64_t n = 0; n < 50; n++)
		assert_true(found(n));
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH(what_was_put_is_found_also_by_the_next_process),
	        WITH(the_last_value_of_a_key_counts),
	        WITH(a_full_table_forgets_and_goes_on),
	        WITH(damage_anywhere_is_no_entry),
	        WITH(a_table_cut_short_or_gone_is_an_empty_one),
	        WITH(threads_and_processes_share_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
