/* A walk over a store shows every name in it, and says which are ours. */
#include "store.h"
#include "../../fs/survey.h"

struct seen {
	unsigned ours, strange;
	struct zvm_digest last;
	char strange_name[64];
};

static int note(void *context, const struct zvm_surveyed *found)
{
	struct seen *seen = context;
	seen->ours += found->ours;
	seen->strange += !found->ours;
	if (found->ours)
		seen->last = found->digest;
	else
		snprintf(seen->strange_name, sizeof seen->strange_name, "%s|%s", found->shelf_name, found->name);
	return 0;
}

static int stop(void *context, const struct zvm_surveyed *found)
{
	(void)found;
	++*(unsigned *)context;
	return 7;
}

static void every_object_is_shown_once(void **state)
{
	struct seen seen = {0};
	(void)state;
	put("one", 3);
	put("two", 3);
	struct zvm_digest three = put("three", 5);
	assert_int_equal(zvm_survey_objects(store, note, &seen), 0);
	assert_int_equal(seen.ours, 3);
	assert_int_equal(seen.strange, 0);
	seen = (struct seen){0};
	assert_int_equal(unlink(path_of(&three)), 0);
	assert_int_equal(zvm_survey_objects(store, note, &seen), 0);
	assert_int_equal(seen.ours, 2);
}

static void what_is_not_ours_is_shown_as_such(void **state)
{
	struct seen seen = {0};
	struct zvm_digest one = put("one", 3);
	(void)state;
	put_text(in_scratch("store/objects/stray"), "");
	assert_int_equal(zvm_survey_objects(store, note, &seen), 0);
	assert_string_equal(seen.strange_name, "|stray");
	unlink(in_scratch("store/objects/stray"));
	/* An object on another shelf than its own cannot be found there. */
	mkdir(in_scratch("store/objects/zz"), 0700);
	mkdir(in_scratch("store/objects/00"), 0700);
	const char *path = path_of(&one);
	assert_int_equal(rename(path, in_scratch("store/objects/00/%s", strrchr(path, '/') + 1)), 0);
	seen = (struct seen){0};
	assert_int_equal(zvm_survey_objects(store, note, &seen), 0);
	assert_int_equal(seen.ours, 0);
	assert_int_equal(seen.strange, 2); /* and zz is no shelf */
}

static void a_visitor_ends_the_walk(void **state)
{
	unsigned calls = 0;
	(void)state;
	put("one", 3);
	put("two", 3);
	assert_int_equal(zvm_survey_objects(store, stop, &calls), 7);
	assert_int_equal(calls, 1);
	assert_int_equal(zvm_survey_records(store, stop, &calls), 0);
	assert_int_equal(calls, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_STORE(every_object_is_shown_once),
	        WITH_STORE(what_is_not_ours_is_shown_as_such),
	        WITH_STORE(a_visitor_ends_the_walk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
