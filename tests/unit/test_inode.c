/* Inodes: one per name, bound to one result, and numbered alike before and after computing and in the next mount. */
#include "scratch.h"
#include <pthread.h>
#include <zvm/inode.h>

static struct zvm_inodes *inodes;

static int set_up(void **state)
{
	(void)state;
	return zvm_inodes_open(&inodes);
}

static int tear_down(void **state)
{
	(void)state;
	zvm_inodes_close(inodes);
	return 0;
}

static struct zvm_inode *get(const char *spec, const char *path)
{
	struct zvm_inode *inode = zvm_inode_get(inodes, ZVM_INODE_FILE, ZVM_TREE_RUN, spec, path);
	assert_non_null(inode);
	return inode;
}

static void forget(struct zvm_inode *inode)
{
	zvm_inode_forget(inodes, inode, 1);
}

static struct zvm_result *result(uint64_t nonce)
{
	struct zvm_result *r = calloc(1, sizeof *r);
	assert_non_null(r);
	*r = (struct zvm_result){.nonce = nonce, .identity = nonce, .out_fd = -1, .err_fd = -1, .references = 1};
	return r;
}

/* --- names --- */

static void a_name_has_one_inode_as_long_as_it_is_held(void **state)
{
	struct zvm_inode *a = get("cat", "x"), *b = get("cat", "x");
	(void)state;
	assert_ptr_equal(a, b);
	uint64_t generation = a->generation;
	forget(a);
	assert_ptr_equal(get("cat", "x"), b);
	zvm_inode_forget(inodes, b, 2);
	struct zvm_inode *again = get("cat", "x");
	assert_true(again->generation > generation);
	forget(again);
}

static void different_names_are_different_inodes(void **state)
{
	struct zvm_inode *list[] = {
	        get("cat", "x"),
	        get("cat", "y"),
	        get("tac", "x"),
	        get("cat a", "b"),
	        get("cat", "a b"),
	        get("c", "atx"),
	        zvm_inode_get(inodes, ZVM_INODE_FILE, ZVM_TREE_ERR, "cat", "x"),
	        zvm_inode_get(inodes, ZVM_INODE_DIRECTORY, ZVM_TREE_RUN, "cat", "x"),
	        zvm_inode_get(inodes, ZVM_INODE_TREE, ZVM_TREE_RUN, "", ""),
	        zvm_inode_get(inodes, ZVM_INODE_TREE, ZVM_TREE_ERR, "", ""),
	        zvm_inode_get(inodes, ZVM_INODE_OBJECT, ZVM_TREE_RUN, "", "x"),
	};
	size_t n = sizeof list / sizeof list[0];
	(void)state;
	for (size_t i = 0; i < n; i++) {
		assert_non_null(list[i]);
		assert_true(list[i]->number > 1024);
		for (size_t k = 0; k < i; k++)
			assert_true(list[i] != list[k] && list[i]->number != list[k]->number);
	}
	for (size_t i = 0; i < n; i++)
		forget(list[i]);
}

static void an_inode_knows_its_name(void **state)
{
	struct zvm_inode *inode = get("sort | head -n 5", "a/b");
	(void)state;
	assert_string_equal(inode->path, "a/b");
	assert_int_equal(inode->spec->stage_count, 2);
	assert_true(inode->kind == ZVM_INODE_FILE && inode->tree == ZVM_TREE_RUN && inode->nonce);
	forget(inode);
	inode = zvm_inode_get(inodes, ZVM_INODE_ROOT, ZVM_TREE_RUN, "", "");
	assert_null(inode->spec);
	forget(inode);
}

static void a_spec_that_does_not_parse_leaves_no_name_behind(void **state)
{
	(void)state;
	assert_null(zvm_inode_get(inodes, ZVM_INODE_FILE, ZVM_TREE_RUN, "cat%00", "x"));
	assert_null(zvm_inode_get(inodes, ZVM_INODE_FILE, ZVM_TREE_RUN, "cat%00", "x"));
}

static void a_detached_inode_lives_on_and_its_name_gets_another(void **state)
{
	struct zvm_inode *old = get("cat", "x");
	(void)state;
	zvm_inode_detach(inodes, old);
	zvm_inode_detach(inodes, old);
	struct zvm_inode *next = get("cat", "x");
	assert_true(next != old && next->generation > old->generation);
	assert_string_equal(old->path, "x");
	forget(old);
	assert_ptr_equal(get("cat", "x"), next);
	zvm_inode_forget(inodes, next, 2);
}

/* --- results --- */

static void a_summary_of_the_first_result_is_bound_and_kept(void **state)
{
	struct zvm_inode *inode = get("cat", "x");
	struct zvm_result *one = result(inode->nonce), *bound;
	bool is_new = false;
	(void)state;
	assert_null(zvm_inode_result(inodes, inode));
	assert_int_equal(zvm_inode_bind(inodes, inode, one, &is_new), 0);
	assert_true(is_new);
	/* A summary, which holds no descriptor: the kernel may remember very many inodes. */
	assert_int_equal(one->references, 1);
	bound = zvm_inode_result(inodes, inode);
	assert_true(zvm_result_same(bound, one) && bound->out_fd == -1 && bound->err_fd == -1);
	zvm_result_unref(bound);
	assert_int_equal(zvm_inode_bind(inodes, inode, one, &is_new), 0);
	assert_false(is_new);
	forget(inode);
	assert_int_equal(one->references, 1);
	zvm_result_unref(one);
}

static void the_same_run_found_again_is_the_same(void **state)
{
	struct zvm_inode *inode = get("cat", "x");
	struct zvm_result *one = result(7), *same = result(7), *bound;
	bool is_new = false;
	(void)state;
	assert_int_equal(zvm_inode_bind(inodes, inode, one, &is_new), 0);
	assert_int_equal(zvm_inode_bind(inodes, inode, same, &is_new), 0);
	assert_false(is_new);
	bound = zvm_inode_result(inodes, inode);
	assert_true(zvm_result_same(bound, one));
	zvm_result_unref(bound);
	forget(inode);
	zvm_result_unref(one);
	zvm_result_unref(same);
}

static void another_result_of_the_same_bytes_is_as_good_to_who_reads_them(void **state)
{
	struct zvm_inode *inode = get("cat", "x"),
	                 *story = zvm_inode_get(inodes, ZVM_INODE_FILE, ZVM_TREE_ERR, "cat", "x");
	struct zvm_result *one = result(7), *other = result(8), *failed = result(9), *bound;
	bool is_new = false;
	(void)state;
	failed->failed = true;
	assert_int_equal(zvm_inode_bind(inodes, inode, one, &is_new), 0);
	uint64_t number = inode->number;
	assert_int_equal(zvm_inode_bind(inodes, inode, other, &is_new), 0);
	assert_true(!is_new && inode->number == number);
	bound = zvm_inode_result(inodes, inode);
	assert_true(zvm_result_same(bound, other));
	zvm_result_unref(bound);
	assert_int_equal(zvm_inode_bind(inodes, inode, failed, &is_new), -ESTALE);
	/* What was written to standard error may differ. */
	assert_int_equal(zvm_inode_bind(inodes, story, one, &is_new), 0);
	assert_int_equal(zvm_inode_bind(inodes, story, other, &is_new), -ESTALE);
	forget(inode);
	forget(story);
	zvm_result_unref(one);
	zvm_result_unref(other);
	zvm_result_unref(failed);
}

static void another_result_makes_the_inode_stale_but_does_not_take_its_bytes(void **state)
{
	struct zvm_inode *inode = get("cat", "x");
	struct zvm_result *one = result(7), *other = result(8), *bound;
	bool is_new = true;
	(void)state;
	other->out_digest.low ^= 1;
	assert_int_equal(zvm_inode_bind(inodes, inode, one, &is_new), 0);
	assert_int_equal(zvm_inode_bind(inodes, inode, other, &is_new), -ESTALE);
	assert_false(is_new);
	bound = zvm_inode_result(inodes, inode);
	assert_true(zvm_result_same(bound, one));
	zvm_result_unref(bound);
	struct zvm_inode *next = get("cat", "x");
	assert_ptr_not_equal(next, inode);
	assert_null(zvm_inode_result(inodes, next));
	assert_int_equal(zvm_inode_bind(inodes, next, other, &is_new), 0);
	assert_int_not_equal(next->number, inode->number);
	forget(inode);
	forget(next);
	assert_true(one->references == 1 && other->references == 1);
	zvm_result_unref(one);
	zvm_result_unref(other);
}

/* --- numbers --- */

static void a_number_stays_when_the_promised_result_comes(void **state)
{
	struct zvm_inode *inode = get("cat", "x");
	uint64_t before = inode->number;
	struct zvm_result *one = result(inode->nonce);
	bool is_new;
	(void)state;
	assert_int_equal(zvm_inode_bind(inodes, inode, one, &is_new), 0);
	assert_int_equal(inode->number, before);
	forget(inode);
	zvm_result_unref(one);
}

static void a_number_is_the_same_in_the_next_mount(void **state)
{
	struct zvm_inode *inode = get("cat", "x"), *again, *directory, *directory_again;
	struct zvm_result *one = result(inode->nonce);
	bool is_new;
	(void)state;
	directory = zvm_inode_get(inodes, ZVM_INODE_DIRECTORY, ZVM_TREE_RUN, "cat", "d");
	uint64_t number = inode->number, directory_number = directory->number;
	forget(inode);
	forget(directory);
	zvm_inodes_close(inodes);
	assert_int_equal(zvm_inodes_open(&inodes), 0);
	again = get("cat", "x");
	assert_int_not_equal(again->number, number);
	assert_int_equal(zvm_inode_bind(inodes, again, one, &is_new), 0);
	assert_int_equal(again->number, number);
	directory_again = zvm_inode_get(inodes, ZVM_INODE_DIRECTORY, ZVM_TREE_RUN, "cat", "d");
	assert_int_equal(directory_again->number, directory_number);
	forget(again);
	forget(directory_again);
	zvm_result_unref(one);
}

static void what_the_kernel_never_forgot_goes_with_the_table(void **state)
{
	struct zvm_result *one = result(7);
	bool is_new;
	(void)state;
	assert_int_equal(zvm_inode_bind(inodes, get("cat", "x"), one, &is_new), 0);
	get("cat", "y");
	zvm_inodes_close(inodes);
	assert_int_equal(one->references, 1);
	zvm_result_unref(one);
	assert_int_equal(zvm_inodes_open(&inodes), 0);
	zvm_inodes_close(NULL);
}

static void *work(void *context)
{
	struct zvm_result *results = context;
	for (unsigned i = 0; i < 3000; i++) {
		bool is_new;
		char path[16];
		snprintf(path, sizeof path, "%u", i % 5);
		struct zvm_inode *inode = zvm_inode_get(inodes, ZVM_INODE_FILE, ZVM_TREE_RUN, "cat", path);
		if (!inode || strcmp(inode->path, path))
			return NULL;
		int r = zvm_inode_bind(inodes, inode, &results[i % 3], &is_new);
		struct zvm_result *bound = zvm_inode_result(inodes, inode);
		if ((r && r != -ESTALE) || !bound)
			return NULL;
		zvm_result_unref(bound);
		zvm_inode_forget(inodes, inode, 1);
	}
	return context;
}

static void many_threads_may_look_bind_and_forget(void **state)
{
	pthread_t threads[4];
	struct zvm_result results[3];
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		results[i] = (struct zvm_result){
		        .nonce = i + 1, .identity = i + 1, .out_fd = -1, .err_fd = -1, .references = 1};
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, results), 0);
	for (int i = 0; i < 4; i++) {
		void *done;
		pthread_join(threads[i], &done);
		assert_ptr_equal(done, results);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(results[i].references, 1);
}

#define WITH_INODES(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_INODES(a_name_has_one_inode_as_long_as_it_is_held),
	        WITH_INODES(different_names_are_different_inodes),
	        WITH_INODES(an_inode_knows_its_name),
	        WITH_INODES(a_spec_that_does_not_parse_leaves_no_name_behind),
	        WITH_INODES(a_detached_inode_lives_on_and_its_name_gets_another),
	        WITH_INODES(a_summary_of_the_first_result_is_bound_and_kept),
	        WITH_INODES(the_same_run_found_again_is_the_same),
	        WITH_INODES(another_result_of_the_same_bytes_is_as_good_to_who_reads_them),
	        WITH_INODES(another_result_makes_the_inode_stale_but_does_not_take_its_bytes),
	        WITH_INODES(a_number_stays_when_the_promised_result_comes),
	        WITH_INODES(a_number_is_the_same_in_the_next_mount),
	        WITH_INODES(what_the_kernel_never_forgot_goes_with_the_table),
	        WITH_INODES(many_threads_may_look_bind_and_forget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
