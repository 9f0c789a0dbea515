/* A check of a store finds what is wrong, says nothing of what is not, and repairs what it finds. */
#include "store.h"
#include "../../fs/fsck.h"
#include <xxhash.h>
#include <zvm/record.h>

struct seen {
	unsigned count;
	char lines[4096];
};

static void note(void *context, const struct zvm_finding *finding)
{
	struct seen *seen = context;
	size_t n = strlen(seen->lines);
	seen->count++;
	assert_int_equal(finding->error, 0);
	snprintf(seen->lines + n, sizeof seen->lines - n, "%s: %s\n", finding->path, finding->wrong);
}

static struct zvm_fsck check(bool repair, struct seen *seen)
{
	*seen = (struct seen){0};
	struct zvm_fsck fsck = {.store = store, .repair = repair, .found = note, .context = seen};
	assert_int_equal(zvm_fsck(&fsck), 0);
	return fsck;
}

static void assert_clean(void)
{
	struct seen seen;
	check(false, &seen);
	assert_string_equal(seen.lines, "");
}

/* One finding, with these words, before and while it is repaired, and none afterwards. */
static void assert_found_and_repaired(const char *words)
{
	struct seen seen;
	assert_int_equal(check(false, &seen).problems, 1);
	assert_non_null(strstr(seen.lines, words));
	struct zvm_fsck fsck = check(true, &seen);
	assert_non_null(strstr(seen.lines, words));
	assert_int_equal(fsck.problems, 1);
	assert_int_equal(fsck.repaired, 1);
	assert_clean();
}

/* A run of `script` that was given `input` and wrote `out`; its file. */
static const char *save_run(const char *script, const char *input, const char *out)
{
	static const char *const no_words[] = {NULL};
	struct zvm_action action = {.box_version = "box",
	                            .script = script,
	                            .script_blob = put(script, strlen(script)),
	                            .arguments = no_words,
	                            .environment = no_words,
	                            .input_blob = put(input, strlen(input)),
	                            .ok_statuses = "0"};
	struct zvm_record record = {.end = ZVM_END_EXIT, .references = 1};
	struct zvm_blobs *blobs;
	struct zvm_records *records;
	zvm_autobytes struct zvm_bytes bytes = {0};
	struct zvm_digest address = {0};
	char text[ZVM_DIGEST_TEXT];
	record.out.size = strlen(out);
	record.out.digest = put(out, record.out.size);
	assert_int_equal(zvm_blobs_open(store, &blobs), 0);
	assert_int_equal(zvm_records_open(store, blobs, &records), 0);
	assert_int_equal(zvm_record_save(records, &action, &record), 0);
	zvm_records_close(records);
	zvm_blobs_close(blobs);
	assert_int_equal(zvm_action_encode(&action, &bytes), 0);
	XXH128_hash_t hash = XXH3_128bits(bytes.data, bytes.size);
	address.high = hash.high64;
	address.low = hash.low64;
	zvm_digest_format(&address, text);
	return in_scratch("store/records/%.2s/%s/1", text, text);
}

static void a_store_in_order_is_clean(void **state)
{
	struct seen seen;
	(void)state;
	assert_clean();
	save_run("script", "input", "output");
	save_run("script", "input", "output");
	put("another", 7);
	struct zvm_fsck fsck = check(true, &seen);
	assert_int_equal(seen.count, 0);
	assert_int_equal(fsck.objects, 4);
	assert_int_equal(fsck.object_bytes, 6 + 5 + 6 + 7);
	assert_int_equal(fsck.runs, 2);
	assert_int_equal(fsck.unverifiable, 0);
}

static void damaged_objects(void **state)
{
	struct seen seen;
	(void)state;
	struct zvm_digest one = put("one", 3), two = put("two", 3);
	damage(&one, 0, "x", 3);
	assert_int_equal(chmod(path_of(&one), 0400), 0);
	assert_found_and_repaired("its bytes do not match its name");
	assert_missing(&one);
	assert_int_equal(count_names(in_scratch("store/tmp")), 1);
	assert_int_equal(check(false, &seen).leftovers, 1);

	assert_int_equal(chmod(path_of(&two), 0644), 0);
	assert_found_and_repaired("its mode is not 0400");
	assert_object(&two, "two", 3);

	one = put("one", 3);
	damage(&one, 0, "", 2);
	assert_int_equal(chmod(path_of(&one), 0400), 0);
	assert_found_and_repaired("its bytes do not match its name");
	assert_int_equal(unlink(path_of(&two)), 0);
	assert_int_equal(symlink("/etc/passwd", path_of(&two)), 0);
	assert_found_and_repaired("it is a symbolic link");
	assert_int_equal(mkdir(path_of(&two), 0700), 0);
	assert_found_and_repaired("it is no regular file");
	if (geteuid() == 0) {
		one = put("one", 3);
		assert_int_equal(chown(path_of(&one), 1, 1), 0);
		assert_found_and_repaired("it belongs to another user");
	}
}

static void twins_need_no_neighbours(void **state)
{
	(void)state;
	struct zvm_digest one = put("one", 3), twin = one;
	twin.twin = 3;
	char *from = strdup(path_of(&one));
	assert_int_equal(rename(from, path_of(&twin)), 0);
	free(from);
	assert_clean();
}

static void runs_that_lead_nowhere(void **state)
{
	struct seen seen;
	struct zvm_digest output = {0};
	char *kept = strdup((save_run("script", "input", "kept"))), *path;
	(void)state;
	path = strdup(save_run("script", "other input", "output"));
	output = put("output", 6);
	assert_int_equal(unlink(path_of(&output)), 0);
	assert_found_and_repaired("what it wrote is not there");
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access(kept, F_OK), 0);

	save_run("script", "other input", "output");
	damage(&output, 0, "O", 6);
	assert_int_equal(chmod(path_of(&output), 0400), 0);
	struct zvm_fsck fsck = check(true, &seen); /* the object, and the run that names it */
	assert_int_equal(fsck.problems, 2);
	assert_int_equal(fsck.repaired, 2);
	assert_clean();

	put_text(path, "no run at all, but long enough to be one");
	assert_found_and_repaired("it is damaged");

	size_t size;
	char *other = get_bytes(kept, &size);
	put_bytes(path, other, size);
	assert_found_and_repaired("it is a run of another action than its place says");
	free(other);
	free(path);
	free(kept);
}

static void what_was_used_may_go(void **state)
{
	struct seen seen;
	(void)state;
	save_run("script", "input", "output");
	struct zvm_digest input = put("input", 5);
	assert_int_equal(unlink(path_of(&input)), 0);
	assert_int_equal(check(true, &seen).unverifiable, 1);
	assert_int_equal(seen.count, 0);
}

static void tables(void **state)
{
	const char *const tables[] = {in_scratch("store/stat/shortcuts"), in_scratch("store/stat/derived"),
	                              in_scratch("store/stat/names")};
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		put_text(tables[i], "rubbish");
		assert_found_and_repaired("entries of it that are damaged: 1");
		assert_int_equal(unlink(tables[i]), 0);
		assert_int_equal(symlink("/etc/passwd", tables[i]), 0);
		assert_found_and_repaired("it is a symbolic link");
		assert_int_equal(access("/etc/passwd", F_OK), 0);
	}
}

static void strangers(void **state)
{
	struct seen seen;
	(void)state;
	struct zvm_digest one = put("one", 3);
	put_text(in_scratch("store/notes"), "mine");
	assert_int_equal(check(true, &seen).problems, 0);
	assert_string_equal(seen.lines, "notes: it is not part of a store\n");
	assert_int_equal(unlink(in_scratch("store/notes")), 0);
	put_text(in_scratch("store/objects/%.2s/stray", strrchr(path_of(&one), '/') + 1), "");
	assert_found_and_repaired("no object is called that here");
	mkdir(in_scratch("store/records/ab"), 0700);
	put_text(in_scratch("store/records/ab/stray"), "");
	assert_found_and_repaired("records/ab/stray: no action's runs are kept there");
	char *run = strdup(save_run("script", "input", "output"));
	strcpy(strrchr(run, '/'), "/x");
	put_text(run, "");
	free(run);
	assert_found_and_repaired("no run is called that");
}

static void a_reader_changes_nothing(void **state)
{
	struct seen seen;
	(void)state;
	struct zvm_digest one = put("one", 3);
	damage(&one, 0, "x", 3);
	zvm_store_close(store);
	assert_int_equal(zvm_store_open(HOME, ZVM_STORE_READONLY, &store, NULL), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(check(false, &seen).problems, 2); /* bytes and mode */
	assert_int_equal(count_names(in_scratch("store/tmp")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_STORE(a_store_in_order_is_clean),
	        WITH_STORE(damaged_objects),
	        WITH_STORE(twins_need_no_neighbours),
	        WITH_STORE(runs_that_lead_nowhere),
	        WITH_STORE(what_was_used_may_go),
	        WITH_STORE(tables),
	        WITH_STORE(strangers),
	        WITH_STORE(a_reader_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
