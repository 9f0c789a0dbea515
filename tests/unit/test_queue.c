/* Users take turns, whatever any of them has lined up. */
#include "scratch.h"
#include "../../fs/queue.h"

static struct zvm_queued items[1000];

static unsigned take(struct zvm_queue *queue)
{
	struct zvm_queued *item = zvm_queue_take(queue);
	return item ? (unsigned)(item - items) : 9999;
}

static void one_user_is_served_in_order(void **state)
{
	struct zvm_queue queue = {0};
	(void)state;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(zvm_queue_add(&queue, &items[i], 7), 0);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(take(&queue), i);
	assert_int_equal(take(&queue), 9999);
	assert_true(zvm_queue_is_empty(&queue));
	for (unsigned i = 0; i < 10; i++)
		zvm_queue_done(&queue, 7);
	assert_null(queue.users); /* nobody is remembered for ever */
}

static void what_is_parked_makes_room_and_comes_back_first(void **state)
{
	struct zvm_queue queue = {.limit = 1};
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(zvm_queue_add(&queue, &items[i], 7), 0);
	assert_int_equal(take(&queue), 0);
	assert_int_equal(take(&queue), 9999);
	zvm_queue_park(&queue, 7);
	assert_int_equal(take(&queue), 1);
	zvm_queue_again(&queue, &items[0]);
	assert_int_equal(take(&queue), 9999);
	zvm_queue_done(&queue, 7);
	assert_int_equal(take(&queue), 0);
	zvm_queue_park(&queue, 7);
	assert_int_equal(take(&queue), 2);
	zvm_queue_done(&queue, 7);
	assert_true(zvm_queue_is_empty(&queue) && queue.users); /* its user is remembered while it is parked */
	zvm_queue_again(&queue, &items[0]);
	assert_int_equal(take(&queue), 0);
	zvm_queue_done(&queue, 7);
	assert_null(queue.users);
}

static void a_newcomer_is_next(void **state)
{
	struct zvm_queue queue = {0};
	(void)state;
	for (unsigned i = 0; i < 100; i++)
		zvm_queue_add(&queue, &items[i], 1);
	assert_int_equal(take(&queue), 0);
	assert_int_equal(take(&queue), 1);
	zvm_queue_add(&queue, &items[500], 2);
	zvm_queue_add(&queue, &items[501], 2);
	assert_int_equal(take(&queue), 500);
	assert_int_equal(take(&queue), 501); /* still fewer than the other has */
	assert_int_equal(take(&queue), 2);
	zvm_queue_free(&queue);
}

static void with_as_many_under_way_they_alternate(void **state)
{
	struct zvm_queue queue = {0};
	unsigned turns[2] = {0};
	(void)state;
	for (unsigned i = 0; i < 100; i++)
		zvm_queue_add(&queue, &items[i], i % 2);
	for (unsigned i = 0; i < 50; i++) {
		struct zvm_queued *item = zvm_queue_take(&queue);
		turns[item->uid]++;
		zvm_queue_done(&queue, item->uid);
		assert_true(turns[0] - turns[1] + 1 <= 2);
	}
	zvm_queue_free(&queue);
}

static void nobody_has_more_under_way_than_the_limit(void **state)
{
	struct zvm_queue queue = {.limit = 2};
	(void)state;
	for (unsigned i = 0; i < 10; i++)
		zvm_queue_add(&queue, &items[i], 1);
	assert_int_equal(take(&queue), 0);
	assert_int_equal(take(&queue), 1);
	assert_int_equal(take(&queue), 9999);
	assert_false(zvm_queue_is_empty(&queue));
	zvm_queue_add(&queue, &items[50], 2);
	assert_int_equal(take(&queue), 50);
	zvm_queue_done(&queue, 1);
	assert_int_equal(take(&queue), 2);
	assert_int_equal(take(&queue), 9999);
	zvm_queue_free(&queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(one_user_is_served_in_order),
	        cmocka_unit_test(what_is_parked_makes_room_and_comes_back_first),
	        cmocka_unit_test(a_newcomer_is_next),
	        cmocka_unit_test(with_as_many_under_way_they_alternate),
	        cmocka_unit_test(nobody_has_more_under_way_than_the_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
