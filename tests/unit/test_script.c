/* Scripts: which file a name means, what it declares, and that both follow the file when it changes. */
#include "scratch.h"
#include "clock.h"
#include "../../fs/script.h"

static struct zvm_store *store;
static struct zvm_blobs *blobs;
static struct zvm_scripts *scripts;

static int set_up(void **state)
{
	clock_ahead = 0;
	if (scratch_make(state) || mkdir(in_scratch("one"), 0755) || mkdir(in_scratch("two"), 0755) ||
	    zvm_store_open(in_scratch("store"), ZVM_STORE_CREATE, &store, NULL) || zvm_blobs_open(store, &blobs))
		return -1;
	static char one[4096], two[4096];
	snprintf(one, sizeof one, "%s", in_scratch("one"));
	snprintf(two, sizeof two, "%s", in_scratch("two"));
	return zvm_scripts_open((const char *const[]){one, two, NULL}, blobs, &scripts);
}

static int tear_down(void **state)
{
	zvm_scripts_close(scripts);
	zvm_blobs_close(blobs);
	zvm_store_close(store);
	return scratch_remove(state);
}

static void put_script(const char *name, const char *text)
{
	char path[4096];
	snprintf(path, sizeof path, "%s", in_scratch("%s", name));
	put_text(path, text);
	assert_int_equal(chmod(path, 0755), 0);
}

/* What is found, as "ERROR", "guest path", or "guest path: reason". */
static const char *found(const char *name, bool quick)
{
	static char text[512];
	struct zvm_script *script;
	int r = zvm_script_find(scripts, name, quick, &script);
	if (r)
		return strerrorname_np(-r);
	snprintf(text, sizeof text, "%s%s%s", script->guest_path, script->error ? ": " : "",
	         script->error ? script->reason : "");
	assert_int_equal(script->error != 0, script->reason != NULL);
	zvm_script_unref(script);
	return text;
}

static unsigned long timeout_of(const char *name)
{
	struct zvm_script *script;
	assert_int_equal(zvm_script_find(scripts, name, false, &script), 0);
	assert_int_equal(script->error, 0);
	unsigned long timeout = script->directives.timeout_s;
	zvm_script_unref(script);
	return timeout;
}

static const char *directory_of(const char *name)
{
	struct zvm_script *script;
	assert_int_equal(zvm_script_find(scripts, name, false, &script), 0);
	const char *directory = script->directory ? strrchr(script->directory, '/') + 1 : "host";
	zvm_script_unref(script);
	return directory;
}

/* --- where --- */

static void directories_are_searched_in_order_and_then_the_hosts(void **state)
{
	(void)state;
	put_script("one/both", "#!/bin/sh\n");
	put_script("two/both", "#!/bin/sh\n");
	put_script("two/second", "#!/bin/sh\n");
	put_script("two/sort", "#!/bin/sh\n");
	assert_string_equal(found("both", false), "/script/both");
	assert_string_equal(directory_of("both"), "one");
	assert_string_equal(directory_of("second"), "two");
	assert_string_equal(directory_of("sort"), "two");
	assert_string_equal(directory_of("cat"), "host");
	assert_string_equal(found("cat", false), "/usr/bin/cat");
}

static void what_is_not_there_is_not_found(void **state)
{
	static const char *const names[] = {"nosuch", "", ".", "..", "../one/x", "one/x", "/bin/sh"};
	(void)state;
	put_script("one/x", "#!/bin/sh\n");
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		assert_string_equal(found(names[i], false), "ENOENT");
}

static void what_may_not_be_run_is_forbidden_and_hides_what_comes_after(void **state)
{
	struct stat st;
	(void)state;
	put_text(in_scratch("one/plain"), "#!/bin/sh\n");
	put_script("two/plain", "#!/bin/sh\n");
	assert_int_equal(mkdir(in_scratch("one/directory"), 0755), 0);
	assert_int_equal(mkfifo(in_scratch("one/fifo"), 0777), 0);
	alarm(20); /* a FIFO must not be waited for */
	assert_string_equal(found("plain", false), "EACCES");
	assert_string_equal(found("directory", false), "EACCES");
	assert_string_equal(found("fifo", false), "EACCES");
	assert_int_equal(zvm_script_stat(scripts, "plain", &st), -EACCES);
	assert_true(S_ISREG(st.st_mode));
	alarm(0);
}

/* --- what --- */

static void what_is_no_program_is_known_before_it_is_run(void **state)
{
	(void)state;
	put_script("one/text", "just text\n");
	put_script("one/empty", "");
	put_script("one/nameless", "#!\n");
	put_script("one/cut", "\177ELF\2\1\1");
	assert_non_null(strstr(found("text", false), "/script/text: "));
	assert_non_null(strstr(found("empty", false), "/script/empty: "));
	assert_non_null(strstr(found("nameless", false), "names no interpreter"));
	assert_non_null(strstr(found("cut", false), "/script/cut: "));
}

static void a_bad_directive_is_an_error_with_its_line(void **state)
{
	struct zvm_script *script;
	(void)state;
	put_script("one/bad", "#!/bin/sh\n# zvm: nonsense\n");
	assert_non_null(strstr(found("bad", false), "line 2: \"nonsense\""));
	assert_int_equal(zvm_script_find(scripts, "bad", false, &script), 0);
	assert_int_equal(script->error, -EINVAL);
	zvm_script_unref(script);
}

static void a_directive_is_never_cut_where_reading_ends(void **state)
{
	char *text = NULL;
	(void)state;
	/* The 64th KiB ends behind "timeout=30". */
	const char *line = "# zvm: timeout=300\n";
	int padding = 65536 - (int)strlen("#!/bin/sh\n#\n") - (int)strlen("# zvm: timeout=30");
	assert_true(asprintf(&text, "#!/bin/sh\n#%0*d\n%s", padding, 0, line) > 65536);
	put_script("one/long", text);
	free(text);
	assert_int_equal(timeout_of("long"), 0);
}

/* --- changes --- */

static void a_changed_script_declares_anew(void **state)
{
	(void)state;
	for (int old = 0; old < 2; old++) {
		for (int i = 1; i <= 5; i++) {
			char text[64];
			snprintf(text, sizeof text, "#!/bin/sh\n# zvm: timeout=%d\n", i);
			put_script("one/x", text);
			if (old)
				clock_ahead += 10;
			assert_int_equal(timeout_of("x"), i);
			assert_int_equal(timeout_of("x"), i);
		}
	}
}

static void what_was_learned_is_remembered_while_the_file_is_the_same(void **state)
{
	struct zvm_script *first, *again;
	(void)state;
	put_script("one/x", "#!/bin/sh\n");
	clock_ahead += 10;
	assert_int_equal(zvm_script_find(scripts, "x", false, &first), 0);
	assert_int_equal(zvm_script_find(scripts, "x", false, &again), 0);
	assert_ptr_equal(first, again);
	assert_int_equal(chmod(in_scratch("one/x"), 0700), 0);
	zvm_script_unref(again);
	assert_int_equal(zvm_script_find(scripts, "x", false, &again), 0);
	assert_ptr_not_equal(first, again);
	assert_int_equal(again->st.st_mode & 0777, 0700);
	assert_true(zvm_digest_equal(&first->digest, &again->digest));
	zvm_script_unref(first);
	zvm_script_unref(again);
}

static void a_quick_look_stores_nothing(void **state)
{
	struct zvm_store_counters counters;
	(void)state;
	put_script("one/x", "#!/bin/sh\n# zvm: timeout=3\n");
	assert_string_equal(found("x", true), "EAGAIN");
	zvm_store_counters(store, &counters);
	assert_int_equal(counters.objects_written, 0);
	assert_int_equal(timeout_of("x"), 3);
	assert_string_equal(found("x", true), "/script/x");
}

#define WITH_SCRIPTS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_SCRIPTS(directories_are_searched_in_order_and_then_the_hosts),
	        WITH_SCRIPTS(what_is_not_there_is_not_found),
	        WITH_SCRIPTS(what_may_not_be_run_is_forbidden_and_hides_what_comes_after),
	        WITH_SCRIPTS(what_is_no_program_is_known_before_it_is_run),
	        WITH_SCRIPTS(a_bad_directive_is_an_error_with_its_line),
	        WITH_SCRIPTS(a_directive_is_never_cut_where_reading_ends),
	        WITH_SCRIPTS(a_changed_script_declares_anew),
	        WITH_SCRIPTS(what_was_learned_is_remembered_while_the_file_is_the_same),
	        WITH_SCRIPTS(a_quick_look_stores_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
