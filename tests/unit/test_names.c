/* The table of names: what it finds again, and what damage costs. */
#include "store.h"
#include "../../fs/names.h"

static const char *const scripts[] = {"/scripts", NULL};
static const char *const words[] = {"-l", NULL};

static struct zvm_action action(void)
{
	return (struct zvm_action){.box_version = "box",
	                           .script = "/usr/bin/wc",
	                           .arguments = words,
	                           .environment = words,
	                           .ok_statuses = "0"};
}

static struct zvm_name name_in(const char *inputs, const char *text, unsigned stage, const char *input)
{
	struct zvm_spec *spec;
	struct zvm_name name;
	assert_int_equal(zvm_spec_parse(text, &spec), 0);
	assert_int_equal(zvm_name_of(inputs, scripts, spec, stage, input, &name), 0);
	zvm_spec_free(spec);
	return name;
}

static struct zvm_name name_of(const char *text)
{
	return name_in("/inputs", text, 0, "x");
}

static void note(const char *text, uint64_t address)
{
	struct zvm_table *names;
	struct zvm_name name = name_of(text);
	struct zvm_action a = action();
	assert_int_equal(zvm_names_open(store, &names), 0);
	zvm_names_note(names, &name, &(struct zvm_digest){.high = address}, &a);
	zvm_table_close(names);
}

/* 0: it is not known. */
static uint64_t found(const char *text, bool kin)
{
	struct zvm_table *names;
	struct zvm_named named;
	struct zvm_name name = name_of(text);
	assert_int_equal(zvm_names_open(store, &names), 0);
	bool is_there = zvm_names_find(names, &name, &named);
	zvm_table_close(names);
	return is_there && named.is_kin == kin ? named.address.high : 0;
}

static void names_differ_by_all_that_they_are_made_of(void **state)
{
	struct zvm_name wc = name_of("wc -l");
	(void)state;
	assert_true(name_in("/other", "wc -l", 0, "x").name != wc.name);
	assert_true(name_in("/inputs", "wc -l", 0, "y").name != wc.name);
	assert_true(name_in("/inputs", "wc -c", 0, "x").name != wc.name);
	assert_true(name_in("/inputs", "cat | wc -l", 1, "x").name != wc.name);
	assert_true(name_in("/inputs", "tac | wc -l", 1, "x").name != name_in("/inputs", "cat | wc -l", 1, "x").name);
	/* But a later stage changes nothing, and arguments leave the kin. */
	assert_true(name_in("/inputs", "wc -l | cat", 0, "x").name == wc.name);
	assert_true(name_of("wc -c").kin == wc.kin);
	assert_true(name_of("cat -c").kin != wc.kin);
}

static void the_last_that_was_noted_is_found(void **state)
{
	(void)state;
	assert_int_equal(found("wc -l", false), 0);
	note("wc -l", 1);
	note("wc -l", 2);
	note("sort", 3);
	assert_int_equal(found("wc -l", false), 2);
	assert_int_equal(found("wc -c", true), 2);
	assert_int_equal(found("uniq", true), 0);
	note("wc -c", 4);
	assert_int_equal(found("wc -c", false), 4);
	assert_int_equal(found("wc -l", false), 2);
}

static void the_parts_say_what_is_another(void **state)
{
	struct zvm_action a = action(), b = action();
	uint32_t was[ZVM_PART_COUNT], is[ZVM_PART_COUNT];
	(void)state;
	b.limits.wall_ms = 7;
	b.script_mode = 0755;
	zvm_parts_of(&a, was);
	zvm_parts_of(&b, is);
	for (unsigned i = 0; i < ZVM_PART_COUNT; i++)
		assert_int_equal(was[i] != is[i], i == ZVM_PART_TIME || i == ZVM_PART_SCRIPT_MODE);
}

/* A name without arguments is not its own kin. */
static void a_name_is_told_from_its_kin(void **state)
{
	struct zvm_name name = name_of("wc");
	(void)state;
	assert_true(name.name != name.kin);
	note("wc -l", 1);
	assert_int_equal(found("wc", true), 1);
	assert_int_equal(found("wc", false), 0);
}

static void a_store_that_is_looked_at_is_not_written_to(void **state)
{
	struct stat st;
	(void)state;
	zvm_store_close(store);
	assert_int_equal(zvm_store_open(HOME, ZVM_STORE_READONLY, &store, NULL), 0);
	note("wc -l", 1);
	assert_int_equal(stat(in_scratch("store/stat/names"), &st), -1);
	assert_int_equal(found("wc -l", false), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_STORE(names_differ_by_all_that_they_are_made_of),
	        WITH_STORE(the_last_that_was_noted_is_found),
	        WITH_STORE(the_parts_say_what_is_another),
	        WITH_STORE(a_name_is_told_from_its_kin),
	        WITH_STORE(a_store_that_is_looked_at_is_not_written_to),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
