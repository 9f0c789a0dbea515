/* Records: a stored run answers as long as everything that it saw is still so, and no longer. */
#include "scratch.h"
#include "clock.h"
#include <pthread.h>
#include <xxhash.h>
#include <zvm/record.h>
#include "../../fs/watch.h"

static struct zvm_store *store;
static struct zvm_blobs *blobs;
static struct zvm_records *records;
static struct zvm_view *view;

static void open_all(unsigned flags)
{
	assert_int_equal(zvm_store_open(in_scratch("store"), flags, &store, NULL), 0);
	assert_int_equal(zvm_blobs_open(store, &blobs), 0);
	assert_int_equal(zvm_records_open(store, blobs, &records), 0);
}

static void close_all(void)
{
	zvm_records_close(records);
	zvm_blobs_close(blobs);
	zvm_store_close(store);
}

/* The next process. */
static void reopen(unsigned flags)
{
	close_all();
	open_all(flags);
}

static int set_up(void **state)
{
	clock_ahead = 0;
	if (scratch_make(state) || mkdir(in_scratch("scripts"), 0755))
		return -1;
	open_all(ZVM_STORE_CREATE);
	return zvm_view_open(in_scratch("scripts"), &view);
}

static int tear_down(void **state)
{
	zvm_view_close(view);
	close_all();
	return scratch_remove(state);
}

static void let_time_pass(void)
{
	clock_ahead += 10;
}

static void let_a_tick_pass(void)
{
	usleep(20000);
}

/* --- actions and runs --- */

static const char *const no_words[] = {NULL};

static struct zvm_action action(const char *script)
{
	return (struct zvm_action){.box_version = "box",
	                           .script = script,
	                           .arguments = no_words,
	                           .environment = no_words,
	                           .ok_statuses = "0"};
}

static const char *directory_of(const struct zvm_action *a)
{
	zvm_autobytes struct zvm_bytes bytes = {0};
	char text[ZVM_DIGEST_TEXT];
	assert_int_equal(zvm_action_encode(a, &bytes), 0);
	XXH128_hash_t hash = XXH3_128bits(bytes.data, bytes.size);
	zvm_digest_format(&(struct zvm_digest){hash.high64, hash.low64, 0, 0}, text);
	return in_scratch("store/records/%.2s/%s", text, text);
}

static struct zvm_dependency seen(enum zvm_ask_kind kind, const char *path)
{
	struct zvm_contents contents = zvm_blobs_contents(blobs);
	struct zvm_dependency d = {.question = {.kind = kind, .path = strdup(path)}};
	assert_int_equal(zvm_view_ask(view, &contents, &d.question, false, &d.answer, NULL), 0);
	return d;
}

static struct zvm_record *new_run(const char *out, uint64_t nonce, va_list paths)
{
	struct zvm_record *r = calloc(1, sizeof *r);
	const char *path;
	*r = (struct zvm_record){.end = ZVM_END_EXIT, .nonce = nonce, .references = 1};
	r->out.size = strlen(out);
	assert_int_equal(zvm_store_put(store, out, r->out.size, &r->out.digest), 0);
	r->dependencies = calloc(8, sizeof *r->dependencies);
	while ((path = va_arg(paths, const char *)))
		r->dependencies[r->dependency_count++] =
		        seen(*path == '?' ? ZVM_ASK_LOOKUP : ZVM_ASK_OPEN, path + (*path == '?'));
	return r;
}

/* Stores a run that wrote `out` and saw these paths, up to NULL; a path that begins with '?' was only looked up. */
static void save(const struct zvm_action *a, const char *out, uint64_t nonce, ...)
{
	va_list paths;
	va_start(paths, nonce);
	struct zvm_record *r = new_run(out, nonce, paths);
	va_end(paths);
	assert_int_equal(zvm_record_save(records, a, r), 0);
	zvm_record_free(r);
}

/* The same, but it is only announced. */
static struct zvm_record *announce(const struct zvm_action *a, const char *out, uint64_t nonce, ...)
{
	va_list paths;
	va_start(paths, nonce);
	struct zvm_record *r = new_run(out, nonce, paths);
	va_end(paths);
	assert_int_equal(zvm_record_announce(records, a, r), 0);
	return r;
}

/* The nonce of the run that is found, 0 if none is. What it wrote is there. */
static uint64_t find(const struct zvm_action *a, const char *out)
{
	struct zvm_record *r;
	struct zvm_outputs outputs = {-1, -1};
	int result = zvm_record_find(records, a, view, &r, &outputs);
	if (result) {
		assert_int_equal(result, -ENOENT);
		return 0;
	}
	assert_int_equal(outputs.err_fd, -1);
	assert_true(*out ? holds(outputs.out_fd, out, strlen(out)) : outputs.out_fd == -1);
	uint64_t nonce = r->nonce;
	zvm_close_pointer(&outputs.out_fd);
	zvm_record_free(r);
	return nonce;
}

/* --- finding --- */

static void what_was_saved_is_found_and_nothing_else_is(void **state)
{
	struct zvm_action a = action("/script/a"), b = action("/script/b");
	(void)state;
	assert_int_equal(find(&a, ""), 0);
	save(&a, "output", 1, NULL);
	assert_int_equal(find(&a, "output"), 1);
	assert_int_equal(find(&b, ""), 0);
	reopen(0);
	assert_int_equal(find(&a, "output"), 1);
}

static void the_newest_run_is_the_one_that_is_found(void **state)
{
	struct zvm_action a = action("/script/a");
	(void)state;
	for (uint64_t n = 1; n <= 12; n++) {
		save(&a, "output", n, NULL);
		assert_int_equal(find(&a, "output"), n);
	}
	reopen(0);
	assert_int_equal(find(&a, "output"), 12);
}

static void variants_are_bounded(void **state)
{
	struct zvm_action a = action("/script/a");
	(void)state;
	for (uint64_t n = 1; n <= 30; n++) {
		save(&a, "output", n, NULL);
		assert_true(count_names(directory_of(&a)) <= 8);
	}
	assert_int_equal(count_names(directory_of(&a)), 8);
	assert_int_equal(find(&a, "output"), 30);
}

static void an_output_that_is_empty_needs_no_object(void **state)
{
	struct zvm_action a = action("/script/a");
	char text[ZVM_DIGEST_TEXT];
	struct zvm_digest digest;
	(void)state;
	save(&a, "", 1, NULL);
	assert_int_equal(zvm_store_put(store, "", 0, &digest), 0);
	zvm_digest_format(&digest, text);
	assert_int_equal(unlink(in_scratch("store/objects/%.2s/%s", text, text)), 0);
	assert_int_equal(find(&a, ""), 1);
}

static void a_run_whose_output_is_lost_or_damaged_is_not_found(void **state)
{
	struct zvm_action a = action("/script/a");
	struct zvm_digest digest;
	char text[ZVM_DIGEST_TEXT];
	(void)state;
	save(&a, "output", 1, NULL);
	assert_int_equal(zvm_store_put(store, "output", 6, &digest), 0);
	zvm_digest_format(&digest, text);
	assert_int_equal(chmod(in_scratch("store/objects/%.2s/%s", text, text), 0600), 0);
	put_text(in_scratch("store/objects/%.2s/%s", text, text), "OUTPUT");
	reopen(0);
	assert_int_equal(find(&a, "output"), 0);
	save(&a, "output", 2, NULL);
	assert_int_equal(find(&a, "output"), 2);
}

/* --- before it is saved --- */

static void what_is_announced_is_found_before_it_is_on_file_and_afterwards(void **state)
{
	struct zvm_action a = action("/script/a"), b = action("/script/b");
	struct zvm_records *ours = records, *others;
	(void)state;
	save(&a, "output", 1, NULL);
	struct zvm_record *r = announce(&a, "other output", 2, NULL);
	assert_int_equal(find(&a, "other output"), 2);
	assert_int_equal(find(&b, ""), 0);
	assert_int_equal(count_names(directory_of(&a)), 1);
	assert_int_equal(zvm_records_open(store, blobs, &others), 0);
	records = others;
	assert_int_equal(find(&a, "output"), 1);
	records = ours;
	assert_int_equal(zvm_record_save(records, &a, r), 0);
	zvm_record_free(r);
	assert_int_equal(count_names(directory_of(&a)), 2);
	assert_int_equal(find(&a, "other output"), 2);
	records = others;
	assert_int_equal(find(&a, "other output"), 2);
	records = ours;
	zvm_records_close(others);
}

static void what_is_announced_holds_by_the_same_rules(void **state)
{
	struct zvm_action a = action("/script/a");
	char text[ZVM_DIGEST_TEXT];
	(void)state;
	put_text(in_scratch("scripts/f"), "one");
	struct zvm_record *r = announce(&a, "output", 1, "/script/f", "?/script/none", NULL);
	assert_int_equal(find(&a, "output"), 1);
	put_text(in_scratch("scripts/f"), "two");
	assert_int_equal(find(&a, ""), 0);
	put_text(in_scratch("scripts/f"), "one");
	assert_int_equal(find(&a, "output"), 1);
	put_text(in_scratch("scripts/none"), "");
	assert_int_equal(find(&a, ""), 0);
	assert_int_equal(unlink(in_scratch("scripts/none")), 0);
	zvm_digest_format(&r->out.digest, text);
	assert_int_equal(unlink(in_scratch("store/objects/%.2s/%s", text, text)), 0);
	assert_int_equal(find(&a, ""), 0);
	assert_int_equal(zvm_record_save(records, &a, r), -ESTALE);
	zvm_record_free(r);
}

static void what_was_announced_and_cannot_be_saved_is_not_there(void **state)
{
	struct zvm_action a = action("/script/a");
	char path[4096];
	(void)state;
	save(&a, "output", 1, NULL);
	snprintf(path, sizeof path, "%s/1", directory_of(&a));
	assert_int_equal(unlink(path), 0);
	struct zvm_record *r = announce(&a, "output", 2, NULL);
	assert_int_equal(rmdir(directory_of(&a)), 0);
	put_text(directory_of(&a), "in the way");
	assert_int_equal(find(&a, "output"), 2);
	assert_true(zvm_record_save(records, &a, r) < 0);
	assert_int_equal(find(&a, ""), 0);
	zvm_record_free(r);
}

/* --- dependencies --- */

static void a_changed_file_ends_it_and_the_same_bytes_again_bring_it_back(void **state)
{
	struct zvm_action a = action("/script/a");
	(void)state;
	for (int old = 0; old < 2; old++) {
		put_text(in_scratch("scripts/helper"), "one");
		if (old)
			let_time_pass();
		save(&a, "output", 1, "/script/helper", NULL);
		assert_int_equal(find(&a, "output"), 1);
		assert_int_equal(find(&a, "output"), 1);
		let_a_tick_pass();
		put_text(in_scratch("scripts/helper"), "two");
		assert_int_equal(find(&a, ""), 0);
		put_text(in_scratch("scripts/helper"), "one");
		assert_int_equal(find(&a, "output"), 1);
	}
}

static void a_touched_or_copied_file_does_not_end_it(void **state)
{
	struct zvm_action a = action("/script/a");
	(void)state;
	put_text(in_scratch("scripts/helper"), "one");
	let_time_pass();
	save(&a, "output", 1, "/script/helper", "/script", NULL);
	assert_int_equal(find(&a, "output"), 1);
	assert_int_equal(utimensat(AT_FDCWD, in_scratch("scripts/helper"), NULL, 0), 0);
	assert_int_equal(find(&a, "output"), 1);
	put_text(in_scratch("scripts/copy"), "one");
	assert_int_equal(rename(in_scratch("scripts/copy"), in_scratch("scripts/helper")), 0);
	assert_int_equal(find(&a, "output"), 1);
}

static void changed_permissions_end_it(void **state)
{
	struct zvm_action a = action("/script/a");
	(void)state;
	put_text(in_scratch("scripts/helper"), "one");
	let_time_pass();
	save(&a, "output", 1, "?/script/helper", NULL);
	assert_int_equal(find(&a, "output"), 1);
	assert_int_equal(chmod(in_scratch("scripts/helper"), 0755), 0);
	assert_int_equal(find(&a, ""), 0);
	assert_int_equal(chmod(in_scratch("scripts/helper"), 0644), 0);
	assert_int_equal(find(&a, "output"), 1);
}

static void what_was_absent_must_be_absent_still(void **state)
{
	struct zvm_action a = action("/script/a");
	(void)state;
	save(&a, "output", 1, "/script/nosuch", "?/script/nosuch/below", NULL);
	assert_int_equal(find(&a, "output"), 1);
	put_text(in_scratch("scripts/nosuch"), "now");
	assert_int_equal(find(&a, ""), 0);
	assert_int_equal(unlink(in_scratch("scripts/nosuch")), 0);
	assert_int_equal(find(&a, "output"), 1);
	assert_int_equal(symlink("nowhere", in_scratch("scripts/nosuch")), 0);
	assert_int_equal(find(&a, "output"), 1); /* a dangling link is as absent, to who follows it */
	assert_int_equal(unlink(in_scratch("scripts/nosuch")), 0);
	assert_int_equal(symlink("/tmp/guest", in_scratch("scripts/nosuch")), 0);
	assert_int_equal(find(&a, ""), 0); /* but this leads to where the guest has files of its own */
}

static void a_directory_that_became_a_link_ends_what_was_absent_in_it(void **state)
{
	struct zvm_action a = action("/script/a");
	(void)state;
	assert_int_equal(mkdir(in_scratch("scripts/directory"), 0755), 0);
	save(&a, "output", 1, "/script/directory/nosuch", NULL);
	assert_int_equal(find(&a, "output"), 1);
	assert_int_equal(rmdir(in_scratch("scripts/directory")), 0);
	assert_int_equal(find(&a, "output"), 1);
	assert_int_equal(symlink("/tmp", in_scratch("scripts/directory")), 0);
	assert_int_equal(find(&a, ""), 0);
}

static void a_removed_file_ends_it(void **state)
{
	struct zvm_action a = action("/script/a");
	(void)state;
	put_text(in_scratch("scripts/helper"), "one");
	let_time_pass();
	save(&a, "output", 1, "/script/helper", NULL);
	assert_int_equal(find(&a, "output"), 1);
	assert_int_equal(unlink(in_scratch("scripts/helper")), 0);
	assert_int_equal(find(&a, ""), 0);
}

static void another_name_in_a_listed_directory_ends_it(void **state)
{
	struct zvm_action a = action("/script/a");
	(void)state;
	let_time_pass();
	save(&a, "output", 1, "/script", NULL);
	assert_int_equal(find(&a, "output"), 1);
	let_a_tick_pass();
	put_text(in_scratch("scripts/new"), "");
	assert_int_equal(find(&a, ""), 0);
	assert_int_equal(unlink(in_scratch("scripts/new")), 0);
	assert_int_equal(find(&a, "output"), 1);
}

/* To the host it is the same file, old and unchanged; but the guest's /home is another one. */
static void a_file_that_became_a_link_out_of_the_guests_view_ends_it(void **state)
{
	struct zvm_action a = action("/script/a");
	(void)state;
	assert_int_equal(mkdir(in_scratch("scripts/package"), 0755), 0);
	put_text(in_scratch("scripts/package/module"), "one");
	let_time_pass();
	save(&a, "output", 1, "/script/package/module", "?/script/package/module", NULL);
	assert_int_equal(find(&a, "output"), 1);
	assert_int_equal(rename(in_scratch("scripts/package"), in_scratch("moved")), 0);
	assert_int_equal(symlink(in_scratch("moved"), in_scratch("scripts/package")), 0);
	assert_int_equal(find(&a, ""), 0);
	assert_int_equal(unlink(in_scratch("scripts/package")), 0);
	assert_int_equal(rename(in_scratch("moved"), in_scratch("scripts/package")), 0);
	assert_int_equal(find(&a, "output"), 1);
}

static void a_link_that_was_turned_ends_it_though_the_file_is_the_same(void **state)
{
	struct zvm_action a = action("/script/a");
	(void)state;
	put_text(in_scratch("scripts/real"), "one");
	assert_int_equal(symlink("real", in_scratch("scripts/link")), 0);
	let_time_pass();
	save(&a, "output", 1, "?/script/link", NULL);
	assert_int_equal(find(&a, "output"), 1);
	assert_int_equal(unlink(in_scratch("scripts/link")), 0);
	assert_int_equal(symlink(in_scratch("scripts/real"), in_scratch("scripts/link")), 0);
	assert_int_equal(find(&a, ""), 0);
}

static void runs_of_different_worlds_live_side_by_side(void **state)
{
	struct zvm_action a = action("/script/a");
	(void)state;
	put_text(in_scratch("scripts/helper"), "one");
	save(&a, "output one", 1, "/script/helper", NULL);
	put_text(in_scratch("scripts/helper"), "two");
	save(&a, "output two", 2, "/script/helper", NULL);
	assert_int_equal(find(&a, "output two"), 2);
	put_text(in_scratch("scripts/helper"), "one");
	assert_int_equal(find(&a, "output one"), 1);
	put_text(in_scratch("scripts/helper"), "three");
	assert_int_equal(find(&a, ""), 0);
}

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What it costs to find a run that looked at so many files for the first time. */
static double cost_of_finding(unsigned count)
{
	char script[32];
	snprintf(script, sizeof script, "/script/%u", count);
	struct zvm_action a = action(script);
	struct zvm_record *r = calloc(1, sizeof *r);
	*r = (struct zvm_record){.end = ZVM_END_EXIT, .nonce = count, .references = 1};
	r->dependencies = calloc(count, sizeof *r->dependencies);
	put_text(in_scratch("scripts/0"), "");
	for (unsigned i = 1; i < count; i++)
		assert_true(link(in_scratch("scripts/0"), in_scratch("scripts/%u", i)) == 0 || errno == EEXIST);
	let_time_pass();
	for (unsigned i = 0; i < count; i++) {
		char path[32];
		snprintf(path, sizeof path, "/script/%u", i);
		r->dependencies[r->dependency_count++] = seen(ZVM_ASK_LOOKUP, path);
	}
	assert_int_equal(zvm_record_save(records, &a, r), 0);
	zvm_record_free(r);
	reopen(0);
	double before = cpu_seconds();
	assert_int_equal(find(&a, ""), count);
	return cpu_seconds() - before;
}

static void ten_times_the_files_cost_about_ten_times_as_much(void **state)
{
	(void)state;
	double few = cost_of_finding(1200), many = cost_of_finding(12000);
	print_message("1200 files: %.4f s, 12000 files: %.4f s\n", few, many);
	assert_true(many < 30 * few);
}

static void a_forged_dependency_ends_it(void **state)
{
	struct zvm_action a = action("/script/a");
	size_t size[2];
	zvm_autofree char *one = get_bytes("tests/assets/xxh128-pair-a", &size[0]),
	                  *other = get_bytes("tests/assets/xxh128-pair-b", &size[1]);
	(void)state;
	put_bytes(in_scratch("scripts/helper"), one, size[0]);
	save(&a, "output", 1, "/script/helper", NULL);
	put_bytes(in_scratch("scripts/helper"), other, size[1]);
	assert_int_equal(find(&a, ""), 0);
	put_bytes(in_scratch("scripts/helper"), one, size[0]);
	assert_int_equal(find(&a, "output"), 1);
}

/* --- quick --- */

static int find_quick(const struct zvm_action *a)
{
	struct zvm_record *r;
	struct zvm_outputs outputs = {-1, -1};
	struct zvm_standing *standing = NULL;
	int result = zvm_record_find_quick(records, a, view, &r, &outputs, &standing);
	zvm_standing_free(standing);
	if (result)
		return result;
	zvm_close_pointer(&outputs.out_fd);
	zvm_record_free(r);
	return 0;
}

/* The same, for what it stands on; NULL: only finding it again can tell. */
static struct zvm_standing *find_standing(const struct zvm_action *a)
{
	struct zvm_record *r;
	struct zvm_outputs outputs = {-1, -1};
	struct zvm_standing *standing = NULL;
	assert_int_equal(zvm_record_find_quick(records, a, view, &r, &outputs, &standing), 0);
	zvm_close_pointer(&outputs.out_fd);
	zvm_record_free(r);
	return standing;
}

static bool holds_now(struct zvm_standing *standing)
{
	zvm_watch_refresh(zvm_blobs_watch(blobs));
	return zvm_standing_holds(standing);
}

static void a_run_that_was_found_stands_until_an_answer_changes(void **state)
{
	struct zvm_action a = action("/script/a");
	(void)state;
	put_text(in_scratch("scripts/helper"), "one");
	save(&a, "output", 2, "/script/helper", "/script/none", NULL);
	assert_null(find_standing(&a)); /* no stat proves a file that is so young */
	let_time_pass();
	assert_int_equal(find(&a, "output"), 2);
	struct zvm_standing *standing = find_standing(&a);
	assert_non_null(standing);
	for (unsigned i = 0; i < 10; i++) /* first by stats, then by guards */
		assert_true(holds_now(standing));
	put_text(in_scratch("scripts/unrelated"), "");
	assert_true(holds_now(standing));
	put_text(in_scratch("scripts/none"), "");
	assert_false(holds_now(standing));
	unlink(in_scratch("scripts/none"));
	assert_true(holds_now(standing));
	put_text(in_scratch("scripts/helper"), "two");
	assert_false(holds_now(standing));
	zvm_standing_free(standing);
}

static void a_quick_look_never_reads_a_large_file(void **state)
{
	struct zvm_action a = action("/script/a");
	(void)state;
	assert_int_equal(find_quick(&a), -ENOENT);
	put_text(in_scratch("scripts/large"), "");
	assert_int_equal(truncate(in_scratch("scripts/large"), 17 << 20), 0);
	save(&a, "output", 1, "/script/large", NULL);
	assert_int_equal(find_quick(&a), -EAGAIN);
	assert_int_equal(find(&a, "output"), 1);
	let_time_pass();
	assert_int_equal(find(&a, "output"), 1);
	assert_int_equal(find_quick(&a), 0);
}

/* --- damage --- */

static unsigned long condemned(void)
{
	struct zvm_store_counters c;
	zvm_store_counters(store, &c);
	return c.condemned;
}

static void assert_damage_is_a_miss(const struct zvm_action *a, const char *path, const void *data, size_t size)
{
	unsigned long before = condemned();
	put_bytes(path, data, size);
	assert_int_equal(find(a, ""), 0);
	assert_int_equal(condemned(), before + 1);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(find(a, ""), 0);
	assert_int_equal(condemned(), before + 1);
}

static void a_damaged_record_is_a_miss_and_goes(void **state)
{
	struct zvm_action a = action("/script/a");
	char path[4096];
	size_t size;
	(void)state;
	save(&a, "output", 1, "/script/nosuch", NULL);
	snprintf(path, sizeof path, "%s/1", directory_of(&a));
	zvm_autofree char *data = get_bytes(path, &size);
	for (size_t cut = 0; cut < size; cut += 1 + size / 40)
		assert_damage_is_a_miss(&a, path, data, cut);
	for (size_t at = 0; at < size; at += 1 + size / 80) {
		data[at] ^= 0x10;
		assert_damage_is_a_miss(&a, path, data, size);
		data[at] ^= 0x10;
	}
	put_bytes(path, data, size);
	assert_int_equal(find(&a, "output"), 1);
}

static void beside_a_damaged_record_the_others_are_found(void **state)
{
	struct zvm_action a = action("/script/a");
	(void)state;
	save(&a, "output", 1, NULL);
	save(&a, "output", 2, NULL);
	put_text(in_scratch("%s/2", directory_of(&a) + strlen(scratch) + 1), "garbage, but long enough to be one");
	assert_int_equal(find(&a, "output"), 1);
	save(&a, "output", 3, NULL);
	assert_int_equal(find(&a, "output"), 3);
}

static void foreign_names_beside_records_are_left_alone(void **state)
{
	static const char *const names[] = {"README", "-1", "1.tmp", "0x1", "99999999999999999999999", " 3"};
	struct zvm_action a = action("/script/a");
	char directory[4096];
	(void)state;
	save(&a, "output", 1, NULL);
	snprintf(directory, sizeof directory, "%s", directory_of(&a));
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		char path[4200];
		snprintf(path, sizeof path, "%s/%s", directory, names[i]);
		put_text(path, "not yours");
	}
	assert_int_equal(find(&a, "output"), 1);
	save(&a, "output", 2, NULL);
	assert_int_equal(find(&a, "output"), 2);
	assert_int_equal(count_names(directory), 2 + sizeof names / sizeof names[0]);
	assert_int_equal(condemned(), 0);
}

/* As two actions of one hash would lie there. */
static void a_record_of_another_action_does_not_answer_and_is_left_alone(void **state)
{
	struct zvm_action a = action("/script/a"), b = action("/script/b");
	char from[4096], to[4096];
	(void)state;
	save(&a, "output a", 1, NULL);
	save(&b, "output b", 2, NULL);
	snprintf(from, sizeof from, "%s/1", directory_of(&a));
	snprintf(to, sizeof to, "%s/7", directory_of(&b));
	assert_int_equal(link(from, to), 0);
	assert_int_equal(find(&b, "output b"), 2);
	assert_int_equal(access(to, F_OK), 0);
	assert_int_equal(condemned(), 0);
}

static void a_read_only_store_keeps_even_what_is_damaged(void **state)
{
	struct zvm_action a = action("/script/a");
	char path[4096];
	struct zvm_record *r, fresh = {.end = ZVM_END_EXIT};
	(void)state;
	save(&a, "output", 1, NULL);
	snprintf(path, sizeof path, "%s/2", directory_of(&a));
	put_text(path, "garbage, but long enough to be one");
	reopen(ZVM_STORE_READONLY);
	assert_int_equal(find(&a, "output"), 1);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(zvm_record_save(records, &a, &fresh), -EROFS);
	assert_int_equal(zvm_record_find(records, &a, view, &r, &(struct zvm_outputs){-1, -1}) == 0, 1);
	zvm_record_free(r);
	reopen(0);
}

/* --- company --- */

static void what_another_process_saves_is_found_though_ours_was_remembered(void **state)
{
	struct zvm_action a = action("/script/a");
	struct zvm_records *others, *ours = records;
	(void)state;
	save(&a, "output", 1, NULL);
	let_time_pass();
	assert_int_equal(find(&a, "output"), 1);
	assert_int_equal(find(&a, "output"), 1);
	let_a_tick_pass();
	assert_int_equal(zvm_records_open(store, blobs, &others), 0);
	records = others;
	save(&a, "output", 2, NULL);
	records = ours;
	assert_int_equal(find(&a, "output"), 2);
	zvm_records_close(others);
}

static void *save_and_find(void *context)
{
	struct zvm_action a = action("/script/a");
	struct zvm_record r = {.end = ZVM_END_EXIT, .nonce = 1}, *found;
	struct zvm_outputs outputs;
	if (zvm_record_save(records, &a, &r) || zvm_record_find(records, &a, view, &found, &outputs))
		return NULL;
	zvm_record_free(found);
	return context;
}

/* Fewer at once than there are variants: so what one has saved is there until it has looked. */
static void many_may_save_and_find_at_once(void **state)
{
	struct zvm_action a = action("/script/a");
	pthread_t threads[4];
	unsigned before = open_descriptors();
	(void)state;
	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 4; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, save_and_find, &a), 0);
		for (int i = 0; i < 4; i++) {
			void *result;
			pthread_join(threads[i], &result);
			assert_ptr_equal(result, &a);
		}
		if (round == 20)
			let_time_pass(); /* from now on readings are kept and shared */
	}
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(condemned(), 0);
	assert_true(count_names(directory_of(&a)) <= 8 + 4);
}

#define WITH_RECORDS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_RECORDS(what_was_saved_is_found_and_nothing_else_is),
	        WITH_RECORDS(the_newest_run_is_the_one_that_is_found),
	        WITH_RECORDS(variants_are_bounded),
	        WITH_RECORDS(an_output_that_is_empty_needs_no_object),
	        WITH_RECORDS(a_run_whose_output_is_lost_or_damaged_is_not_found),
	        WITH_RECORDS(what_is_announced_is_found_before_it_is_on_file_and_afterwards),
	        WITH_RECORDS(what_is_announced_holds_by_the_same_rules),
	        WITH_RECORDS(what_was_announced_and_cannot_be_saved_is_not_there),
	        WITH_RECORDS(a_changed_file_ends_it_and_the_same_bytes_again_bring_it_back),
	        WITH_RECORDS(a_touched_or_copied_file_does_not_end_it),
	        WITH_RECORDS(changed_permissions_end_it),
	        WITH_RECORDS(what_was_absent_must_be_absent_still),
	        WITH_RECORDS(a_directory_that_became_a_link_ends_what_was_absent_in_it),
	        WITH_RECORDS(a_removed_file_ends_it),
	        WITH_RECORDS(another_name_in_a_listed_directory_ends_it),
	        WITH_RECORDS(a_file_that_became_a_link_out_of_the_guests_view_ends_it),
	        WITH_RECORDS(a_link_that_was_turned_ends_it_though_the_file_is_the_same),
	        WITH_RECORDS(runs_of_different_worlds_live_side_by_side),
	        WITH_RECORDS(ten_times_the_files_cost_about_ten_times_as_much),
	        WITH_RECORDS(a_forged_dependency_ends_it),
	        WITH_RECORDS(a_run_that_was_found_stands_until_an_answer_changes),
	        WITH_RECORDS(a_quick_look_never_reads_a_large_file),
	        WITH_RECORDS(a_damaged_record_is_a_miss_and_goes),
	        WITH_RECORDS(beside_a_damaged_record_the_others_are_found),
	        WITH_RECORDS(foreign_names_beside_records_are_left_alone),
	        WITH_RECORDS(a_record_of_another_action_does_not_answer_and_is_left_alone),
	        WITH_RECORDS(a_read_only_store_keeps_even_what_is_damaged),
	        WITH_RECORDS(what_another_process_saves_is_found_though_ours_was_remembered),
	        WITH_RECORDS(many_may_save_and_find_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
