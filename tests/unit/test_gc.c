/* gc: what goes first, and that nobody is given anything wrong because of it. */
#include "store.h"
#include "clock.h"
#include <pthread.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <zvm/record.h>
#include "../../fs/derived.h"
#include "../../fs/gc.h"
#include "../../fs/record_file.h"
#include "../../fs/survey.h"
#include "../../fs/accord.h"

#define KEEP_ALL UINT64_MAX
#define BIG 20000 /* bytes of a content: five blocks of any filesystem */

static struct zvm_blobs *blobs;
static struct zvm_records *records;
static struct zvm_view *view;

static void open_all(void)
{
	assert_int_equal(zvm_store_open(HOME, ZVM_STORE_CREATE, &store, NULL), 0);
	assert_int_equal(zvm_blobs_open(store, &blobs), 0);
	assert_int_equal(zvm_records_open(store, blobs, &records), 0);
}

static void close_all(void)
{
	zvm_records_close(records);
	zvm_blobs_close(blobs);
	zvm_store_close(store);
}

static int set_up(void **state)
{
	clock_ahead = clock_stopped_at = 0;
	if (scratch_make(state) || mkdir(in_scratch("scripts"), 0755))
		return -1;
	open_all();
	return zvm_view_open(in_scratch("scripts"), &view);
}

static int tear_down(void **state)
{
	zvm_view_close(view);
	close_all();
	return scratch_remove(state);
}

static void next_process(void)
{
	close_all();
	open_all();
}

/* A content that begins like this. */
static struct zvm_digest content(const char *text)
{
	char bytes[BIG] = "";
	snprintf(bytes, sizeof bytes, "%s", text);
	return put(bytes, sizeof bytes);
}

static bool is_content(const struct zvm_digest *digest, const char *text)
{
	char bytes[BIG] = "";
	zvm_autofd int fd = -1;
	snprintf(bytes, sizeof bytes, "%s", text);
	return zvm_store_object(store, digest, &fd, NULL) == 0 && holds(fd, bytes, sizeof bytes);
}

static struct zvm_gc_summary gc_of(uint64_t max_bytes, bool dry_run)
{
	struct zvm_gc_summary summary;
	struct zvm_gc_options options = {.max_bytes = max_bytes, .dry_run = dry_run};
	assert_int_equal(zvm_gc(store, &options, &summary), 0);
	return summary;
}

static struct zvm_gc_summary gc(uint64_t max_bytes)
{
	return gc_of(max_bytes, false);
}

/* Once what nobody names is gone. */
static uint64_t taken(void)
{
	gc(KEEP_ALL);
	return gc(KEEP_ALL).bytes_left;
}

static bool is_free(const struct zvm_digest *digest)
{
	struct stat st;
	return lstat(path_of(digest), &st) < 0 && errno == ENOENT;
}

/* --- runs --- */

static const char *const no_words[] = {NULL};

static struct zvm_action action(const char *script, const struct zvm_digest *input)
{
	return (struct zvm_action){.box_version = "box",
	                           .script = script,
	                           .script_blob = put(script, strlen(script)),
	                           .arguments = no_words,
	                           .environment = no_words,
	                           .input_blob = *input,
	                           .ok_statuses = "0"};
}

static int save_run(const struct zvm_action *a, const struct zvm_digest *out)
{
	struct zvm_record r = {.end = ZVM_END_EXIT, .out = {.digest = *out, .size = BIG}};
	int result = zvm_record_save(records, a, &r);
	usleep(20000); /* the next one is used later, by the clock of the filesystem */
	return result;
}

static void save(const struct zvm_action *a, const struct zvm_digest *out)
{
	assert_int_equal(save_run(a, out), 0);
}

static bool is_hit(const struct zvm_action *a, const char *out)
{
	struct zvm_record *r;
	struct zvm_outputs outputs = {-1, -1};
	char bytes[BIG] = "";
	if (zvm_record_find(records, a, view, &r, &outputs))
		return false;
	snprintf(bytes, sizeof bytes, "%s", out);
	assert_true(holds(outputs.out_fd, bytes, sizeof bytes));
	zvm_close_pointer(&outputs.out_fd);
	zvm_record_free(r);
	return true;
}

/* --- what goes first --- */

static void within_its_limits_a_store_keeps_what_is_named(void **state)
{
	struct zvm_digest in = content("in"), out = content("out"), nobody_s = content("nobody's");
	struct zvm_action a = action("a", &in);
	(void)state;
	save(&a, &out);
	struct zvm_gc_summary s = gc(KEEP_ALL);
	assert_true(s.objects == 1 && s.records == 0 && s.records_left == 1 && s.objects_left == 3);
	assert_true(is_free(&nobody_s) && is_content(&in, "in") && is_hit(&a, "out"));
	s = gc(KEEP_ALL);
	assert_true(s.objects == 0 && s.records == 0 && s.bytes == 0);
}

static void what_a_run_may_be_about_to_name_stays_for_an_hour(void **state)
{
	struct zvm_digest fresh = content("fresh");
	int hold = -1;
	(void)state;
	assert_int_equal(zvm_store_hold(store, &hold), 0);
	assert_true(hold >= 0);
	assert_int_equal(gc(0).objects, 0);
	assert_true(is_content(&fresh, "fresh"));
	clock_ahead = 3700;
	assert_int_equal(gc(0).objects, 1);
	close(hold);
}

static void what_only_verifies_goes_first_then_the_least_recently_used(void **state)
{
	struct zvm_digest in[3], out[3];
	struct zvm_action a[3];
	char name[3][16];
	(void)state;
	for (int i = 0; i < 3; i++) {
		snprintf(name[i], sizeof name[i], "%d", i);
		in[i] = content(in_scratch("in %d", i));
		out[i] = content(name[i]);
		a[i] = action(name[i], &in[i]);
		save(&a[i], &out[i]);
	}
	uint64_t all = taken();
	struct zvm_gc_summary s = gc(all - 1);
	assert_true(s.records == 0 && s.objects > 0);
	assert_true(is_free(&in[0]) && !is_free(&in[2]));
	for (int i = 0; i < 3; i++) {
		assert_true(is_hit(&a[i], name[i]));
		usleep(20000);
	}
	for (uint64_t most = all; gc(most).records == 0; most -= most / 20)
		assert_true(most > 4096);
	assert_false(is_hit(&a[0], name[0]));
	assert_true(is_free(&in[1]) && is_free(&in[2]) && is_hit(&a[2], name[2]));
	assert_true(gc(0).records_left == 0);
	for (int i = 0; i < 3; i++)
		assert_true(is_free(&in[i]) && is_free(&out[i]) && !is_hit(&a[i], name[i]));
	assert_int_equal(count_names(in_scratch("store/tmp")), 0);
}

static void what_is_used_moves_to_the_end(void **state)
{
	struct zvm_digest in = content("in"), one = content("one"), two = content("two");
	struct zvm_action a = action("a", &in), b = action("b", &in);
	(void)state;
	save(&a, &one);
	save(&b, &two);
	clock_ahead = 120;
	assert_true(is_hit(&a, "one"));
	uint64_t most = taken();
	while (gc(most).records == 0)
		most -= most / 20;
	assert_true(is_hit(&a, "one") && !is_hit(&b, "two"));
}

static void an_output_of_two_runs_goes_with_the_last(void **state)
{
	struct zvm_digest in = content("in"), out = content("out"), err = content("err");
	struct zvm_action a = action("a", &in), b = action("b", &in);
	struct zvm_record r = {.end = ZVM_END_EXIT, .out = {out, BIG}, .err = {err, BIG}};
	(void)state;
	assert_int_equal(zvm_record_save(records, &a, &r), 0);
	save(&b, &out);
	uint64_t most = taken();
	while (gc(most).records == 0)
		most -= most / 20;
	assert_true(is_free(&err) && !is_hit(&a, "out") && is_hit(&b, "out"));
	assert_int_equal(gc(0).records, 1);
	assert_true(is_free(&out));
}

static void an_output_that_is_an_input_too_stays_with_its_run(void **state)
{
	struct zvm_digest in = content("in"), middle = content("middle"), out = content("out");
	struct zvm_action first = action("first", &in), second = action("second", &middle);
	(void)state;
	save(&first, &middle);
	save(&second, &out);
	uint64_t all = taken();
	gc(all - 1);
	assert_true(is_hit(&first, "middle") && is_hit(&second, "out"));
}

static void a_dry_run_tells_and_changes_nothing(void **state)
{
	struct zvm_digest in = content("in"), out = content("out"), nobody_s = content("nobody's");
	struct zvm_action a = action("a", &in);
	(void)state;
	save(&a, &out);
	struct zvm_gc_summary told = gc_of(0, true);
	assert_true(is_content(&in, "in") && is_content(&nobody_s, "nobody's") && is_hit(&a, "out"));
	struct zvm_gc_summary done = gc(0);
	assert_true(told.records == done.records && told.objects == done.objects && done.records == 1);
}

static void the_free_space_floor_counts_too(void **state)
{
	struct zvm_digest in = content("in"), out = content("out");
	struct zvm_action a = action("a", &in);
	struct zvm_gc_summary summary;
	(void)state;
	save(&a, &out);
	assert_int_equal(zvm_gc(store, &(struct zvm_gc_options){KEEP_ALL, 1ull << 62, false}, &summary), 0);
	assert_true(summary.records == 1 && !is_hit(&a, "out"));
}

static void leftovers_of_the_day_before_go(void **state)
{
	(void)state;
	put_text(in_scratch("store/tmp/new-1-1"), "half");
	put_text(in_scratch("store/tmp/condemned-0"), "rotten");
	assert_int_equal(gc(KEEP_ALL).leftovers, 0);
	assert_int_equal(count_names(in_scratch("store/tmp")), 2);
	clock_ahead = 90000;
	assert_int_equal(gc(KEEP_ALL).leftovers, 2);
	assert_int_equal(count_names(in_scratch("store/tmp")), 0);
}

static void a_damaged_record_goes_at_once(void **state)
{
	struct zvm_digest in = content("in"), out = content("out");
	struct zvm_action a = action("a", &in);
	char path[sizeof scratch + 100];
	(void)state;
	save(&a, &out);
	snprintf(path, sizeof path, "find %s/store/records -type f -exec truncate -s 40 {} +", scratch);
	assert_int_equal(system(path), 0);
	assert_int_equal(gc(KEEP_ALL).records, 1);
	assert_true(is_free(&out) && is_free(&in));
}

/* --- names --- */

static void a_content_takes_its_own_name_back(void **state)
{
	struct zvm_digest in = content("in"), out = content("out");
	struct zvm_action a = action("a", &in);
	(void)state;
	save(&a, &out);
	gc(taken() - 1);
	assert_true(is_free(&in));
	assert_missing(&in);
	assert_int_equal(counters().condemned, 0);
	struct zvm_digest again = content("in");
	assert_true(zvm_digest_equal(&again, &in) && is_content(&in, "in"));
	assert_int_equal(counters().twins, 0);
	assert_int_equal(count_names(in_scratch("store/tmp")), 0);
	next_process();
	assert_true(is_content(&in, "in") && is_hit(&a, "out"));
}

/* Two contents of one hash, forged. */
static char *forged[2];
static size_t forged_size;

static void read_forged(int first)
{
	for (int i = 0; i < 2; i++)
		forged[i] = get_bytes((i ^ first) ? "tests/assets/xxh128-pair-b" : "tests/assets/xxh128-pair-a",
		                      &forged_size);
}

static void free_forged(void)
{
	free(forged[0]);
	free(forged[1]);
}

static void forge(int first)
{
	int fd;
	read_forged(first);
	struct zvm_digest one = put(forged[0], forged_size), out = content("out");
	struct zvm_action a = action("a", &one);
	save(&a, &out);
	gc(taken() - 1);
	assert_true(is_free(&one));
	next_process();
	struct zvm_digest other = put(forged[1], forged_size);
	assert_true(other.twin == 0 && !zvm_digest_equal(&one, &other));
	struct zvm_action b = action("a", &other);
	assert_false(is_hit(&b, "out"));
	assert_true(is_hit(&a, "out"));
	assert_int_equal(zvm_store_object(store, &one, &fd, NULL), -ENOENT);
	struct zvm_digest again = put(forged[0], forged_size);
	assert_int_equal(again.twin, 1);
	assert_object(&again, forged[0], forged_size);
	assert_object(&other, forged[1], forged_size);
	gc(0);
	again = put(forged[0], forged_size);
	other = put(forged[1], forged_size);
	assert_true(again.twin == 0 && other.twin == 1);
	struct zvm_action c = action("a", &again), d = action("a", &other);
	assert_true(!is_hit(&c, "out") && !is_hit(&d, "out"));
	free_forged();
}

static void a_forged_content_never_gets_a_removed_one_s_result(void **state)
{
	(void)state;
	forge(0);
}

static void nor_in_the_other_order(void **state)
{
	(void)state;
	forge(1);
}

static struct zvm_digest blob_of(const char *path)
{
	struct zvm_digest digest;
	uint64_t size;
	zvm_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(zvm_blob_of_file(blobs, fd, &digest, &size, NULL), 0);
	return digest;
}

/* The name may be another's by then: no shortcut leads there, in memory or on disk. */
static void a_shortcut_does_not_outlive_the_meaning_of_a_name(int first, bool other_process)
{
	read_forged(first);
	put_bytes(in_scratch("one"), forged[0], forged_size);
	put_bytes(in_scratch("other"), forged[1], forged_size);
	clock_ahead = 10;
	struct zvm_digest one = blob_of(in_scratch("one"));
	assert_int_equal(one.twin, 0);
	assert_int_equal(gc(0).objects, 1);
	assert_true(is_free(&one));
	struct zvm_digest other = put(forged[1], forged_size);
	assert_int_equal(other.twin, 0);
	if (other_process)
		next_process();
	struct zvm_digest again = blob_of(in_scratch("one"));
	assert_int_equal(again.twin, 1);
	assert_object(&again, forged[0], forged_size);
	other = blob_of(in_scratch("other"));
	assert_int_equal(other.twin, 0);
	free_forged();
}

static void a_freed_name_is_not_believed_by_who_remembers_it(void **state)
{
	(void)state;
	a_shortcut_does_not_outlive_the_meaning_of_a_name(0, false);
}

static void nor_by_who_reads_the_shortcuts_later(void **state)
{
	(void)state;
	a_shortcut_does_not_outlive_the_meaning_of_a_name(1, true);
}

static void a_record_is_not_saved_when_its_output_is_gone(void **state)
{
	struct zvm_digest in = content("in"), out = content("out");
	struct zvm_action a = action("a", &in), b = action("b", &in);
	(void)state;
	save(&a, &out);
	gc(taken() - 1);
	assert_true(is_free(&in) && is_free(&b.script_blob));
	assert_int_equal(save_run(&b, &out), 0);
	struct zvm_digest gone = content("gone");
	gc(KEEP_ALL);
	assert_int_equal(save_run(&b, &gone), -ESTALE);
	assert_true(is_hit(&a, "out") && is_hit(&b, "out"));
}

static int count_named(void *context, const struct zvm_digest *named)
{
	(void)named;
	++*(unsigned *)context;
	return 0;
}

static void what_is_saved_during_a_gc_is_in_its_journal(void **state)
{
	struct zvm_digest in = content("in"), out = content("out");
	struct zvm_action a = action("a", &in);
	int alone = -1, lock = -1;
	uint64_t at = 0;
	unsigned named = 0;
	(void)state;
	save(&a, &out);
	assert_int_equal(zvm_accord_become_gc(store, &alone), 0);
	assert_int_equal(zvm_accord_lock(store, &lock), 0);
	assert_int_equal(zvm_accord_start_journal(store), 0);
	close(lock);
	save(&a, &out);
	assert_int_equal(zvm_accord_read_journal(store, &at, count_named, &named), 0);
	assert_int_equal(named, 4);
	save(&a, &out);
	assert_int_equal(truncate(in_scratch("store/stat/gc"), (off_t)at + 32 * 4 - 5), 0); /* a full disk */
	save(&a, &out);
	assert_int_equal(zvm_accord_read_journal(store, &at, count_named, &named), 0);
	assert_int_equal(named, 4 + 3 + 4);
	close(alone);
	save(&a, &out);
	assert_int_equal(zvm_accord_read_journal(store, &at, count_named, &named), 0);
	assert_int_equal(named, 11);
}

static void there_is_one_gc_at_a_time(void **state)
{
	struct zvm_gc_summary summary;
	int alone = -1;
	(void)state;
	assert_int_equal(zvm_accord_become_gc(store, &alone), 0);
	assert_int_equal(zvm_gc(store, &(struct zvm_gc_options){0, 0, false}, &summary), -EBUSY);
	close(alone);
	assert_int_equal(zvm_gc(store, &(struct zvm_gc_options){0, 0, false}, &summary), 0);
}

static void a_store_knows_what_it_takes(void **state)
{
	(void)state;
	assert_int_equal(gc(KEEP_ALL).objects, 0);
	uint64_t before = counters().bytes;
	struct zvm_digest in = content("in"), out = content("out");
	struct zvm_action a = action("a", &in);
	save(&a, &out);
	uint64_t after = counters().bytes;
	assert_true(after >= before + 2 * BIG);
	struct zvm_gc_summary s = gc(KEEP_ALL);
	assert_int_equal(counters().bytes, s.bytes_left);
	gc(0);
	assert_true(counters().bytes < s.bytes_left - 2 * BIG);
	assert_true(counters().gc_runs == 3 && counters().gc_records == 1);
}

/* As where a page that has been written back needs room again, and there is none. */
static void what_cannot_be_counted_kills_nobody(void **state)
{
	(void)state;
	assert_int_equal(truncate(in_scratch("store/stat/gc"), 0), 0);
	struct zvm_digest in = content("in"), out = content("out");
	struct zvm_action a = action("a", &in);
	save(&a, &out);
	assert_true(is_hit(&a, "out"));
	next_process();
	assert_int_equal(counters().bytes, 0);
	struct zvm_gc_summary s = gc(KEEP_ALL);
	assert_true(s.bytes_left > 2 * BIG && counters().bytes == s.bytes_left);
}

/* Whoever removes it must not have every run forgotten until the next mount. */
static void without_the_file_of_locks_runs_are_remembered(void **state)
{
	(void)state;
	struct zvm_digest in = content("in"), out = content("out");
	zvm_autofd int hold = -1;
	assert_int_equal(unlink(in_scratch("store/stat/gc")), 0);
	struct zvm_action a = action("a", &in), b = action("b", &in);
	assert_int_equal(zvm_store_hold(store, &hold), 0);
	assert_int_equal(hold, -1);
	save(&a, &out);
	assert_true(is_hit(&a, "out"));
	next_process();
	gc(KEEP_ALL);
	save(&b, &out);
	assert_true(is_hit(&a, "out") && is_hit(&b, "out"));
	gc(0);
	assert_false(is_hit(&a, "out") || is_hit(&b, "out"));
}

static unsigned long blocks_free; /* 0: as many as there are */

/* Instead of libc's. */
int fstatvfs(int fd, struct statvfs *st)
{
	struct statfs real;
	if (fstatfs(fd, &real) < 0)
		return -1;
	*st = (struct statvfs){.f_blocks = real.f_blocks,
	                       .f_frsize = blocks_free ? 1 : (unsigned long)real.f_bsize,
	                       .f_bavail = blocks_free ? blocks_free : real.f_bavail};
	return 0;
}

static void a_dry_run_counts_on_what_nobody_names(void **state)
{
	(void)state;
	struct zvm_digest in = content("in"), out = content("out");
	struct zvm_gc_summary s;
	struct zvm_action a = action("a", &in);
	save(&a, &out);
	content("garbage");
	blocks_free = 1000000;
	struct zvm_gc_options options = {KEEP_ALL, blocks_free + BIG, true};
	int r = zvm_gc(store, &options, &s);
	assert_true(r == 0 && s.objects == 1 && s.records == 0);
	options.min_free += 2 * BIG;
	r = zvm_gc(store, &options, &s);
	blocks_free = 0;
	assert_true(r == 0 && s.objects > 1 && s.records == 1);
}

static bool cannot_remove_runs;

/* Instead of libc's: of a disk that fails. */
int unlinkat(int directory, const char *name, int flags)
{
	if (cannot_remove_runs && !strcmp(name, "1")) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_unlinkat, directory, name, flags);
}

static void a_run_that_cannot_be_removed_keeps_what_it_wrote(void **state)
{
	(void)state;
	struct zvm_digest in = content("in"), out = content("out");
	struct zvm_action a = action("a", &in);
	save(&a, &out);
	cannot_remove_runs = true;
	gc(0);
	cannot_remove_runs = false;
	assert_true(is_hit(&a, "out"));
	gc(0);
	assert_false(is_hit(&a, "out"));
}

/* --- prepared images --- */

static void what_was_made_of_a_content_is_kept_with_it(void **state)
{
	struct zvm_digest program = content("program"), out = content("out"), in = content("in");
	struct zvm_derived *derived;
	unsigned char note[ZVM_NOTE_SIZE] = "";
	int kept = -1, found = -1;
	struct zvm_action a = action("a", &in);
	(void)state;
	a.script_blob = program;
	save(&a, &out);
	put_text(in_scratch("image"), "the image");
	zvm_autofd int image = open(in_scratch("image"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(zvm_derived_open(store, &derived), 0);
	assert_int_equal(zvm_derived_keep(derived, "prepared", &program, note, image, &kept), 0);
	gc(KEEP_ALL);
	assert_int_equal(zvm_derived_find(derived, "prepared", &program, note, &found), 0);
	assert_true(holds(found, "the image", 9));
	close(found);
	gc(0);
	content("program");
	assert_int_equal(zvm_derived_find(derived, "prepared", &program, note, &found), -ENOENT);
	close(kept);
	zvm_derived_close(derived);
}

/* --- beside others, and killed --- */

static atomic_bool ended;

static void *use(void *context)
{
	unsigned seed = (unsigned)(uintptr_t)context, wrong = 0;
	while (!atomic_load(&ended)) {
		char text[16];
		struct zvm_digest out;
		struct zvm_record *r;
		struct zvm_outputs outputs = {-1, -1};
		char bytes[BIG] = "";
		zvm_autofd int hold = -1;
		seed = seed * 1103515245 + 12345;
		snprintf(text, sizeof text, "%u", seed >> 16 & 15);
		snprintf(bytes, sizeof bytes, "%s", text);
		wrong += zvm_store_hold(store, &hold) != 0;
		struct zvm_action a = {.box_version = "box",
		                       .script = "s",
		                       .arguments = no_words,
		                       .environment = no_words,
		                       .ok_statuses = "0"};
		wrong += zvm_store_put(store, text, strlen(text), &a.script_blob) != 0;
		wrong += zvm_store_put(store, "", 0, &a.input_blob) != 0;
		if (zvm_record_find(records, &a, view, &r, &outputs) == 0) {
			wrong += !holds(outputs.out_fd, bytes, sizeof bytes);
			zvm_close_pointer(&outputs.out_fd);
			zvm_record_free(r);
			continue;
		}
		struct zvm_record fresh = {.end = ZVM_END_EXIT, .out.size = BIG};
		wrong += zvm_store_put(store, bytes, sizeof bytes, &out) != 0;
		fresh.out.digest = out;
		int saved = zvm_record_save(records, &a, &fresh);
		wrong += saved && saved != -ESTALE;
	}
	return (void *)(uintptr_t)wrong;
}

static void start_users(pthread_t *threads, uintptr_t count)
{
	atomic_store(&ended, false);
	for (uintptr_t i = 0; i < count; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use, (void *)(i + 1)), 0);
}

static void end_users(pthread_t *threads, unsigned count)
{
	atomic_store(&ended, true);
	for (unsigned i = 0; i < count; i++) {
		void *wrong;
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
}

static int assert_outputs(void *context, const struct zvm_surveyed *found)
{
	char path[sizeof scratch + 100];
	snprintf(path, sizeof path, "%s/store/records/%s/%s", scratch, found->shelf_name, found->name);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *d; (d = readdir(dir));) {
		struct zvm_action *a;
		struct zvm_record *r;
		if (*d->d_name == '.')
			continue;
		assert_int_equal(zvm_record_file_read_any(dirfd(dir), d->d_name, &a, &r), 0);
		assert_true(zvm_store_has(store, &r->out.digest));
		zvm_action_free(a);
		zvm_record_free(r);
		++*(unsigned *)context;
	}
	closedir(dir);
	return 0;
}

/* Every record that there is has its outputs. */
static void assert_whole(void)
{
	unsigned count = 0;
	assert_int_equal(zvm_survey_records(store, assert_outputs, &count), 0);
}

static void others_go_on_while_gc_collects(void **state)
{
	pthread_t threads[3];
	uint64_t removed = 0;
	(void)state;
	start_users(threads, 3);
	for (int i = 0; i < 60 || removed <= 60; i++) {
		struct zvm_gc_summary s = gc(i % 3 ? 200000 : 0);
		removed += s.records;
		assert_true(s.pause_ns < 500000000);
	}
	end_users(threads, 3);
	assert_whole();
}

static void a_gc_that_is_killed_leaves_a_store(void **state)
{
	pthread_t threads[2];
	(void)state;
	start_users(threads, 2);
	for (int i = 0; i < 80; i++) {
		pid_t pid = fork();
		if (!pid) {
			struct zvm_gc_summary s;
			for (;;)
				zvm_gc(store, &(struct zvm_gc_options){i % 2 ? 100000 : 0, 0, false}, &s);
		}
		usleep((useconds_t)(i * 7919 % 30000));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	end_users(threads, 2);
	assert_whole();
	gc(0);
	assert_int_equal(count_names(in_scratch("store/tmp")), 0);
}

#define WITH_ALL(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_ALL(within_its_limits_a_store_keeps_what_is_named),
	        WITH_ALL(what_a_run_may_be_about_to_name_stays_for_an_hour),
	        WITH_ALL(what_only_verifies_goes_first_then_the_least_recently_used),
	        WITH_ALL(what_is_used_moves_to_the_end),
	        WITH_ALL(an_output_of_two_runs_goes_with_the_last),
	        WITH_ALL(an_output_that_is_an_input_too_stays_with_its_run),
	        WITH_ALL(a_dry_run_tells_and_changes_nothing),
	        WITH_ALL(the_free_space_floor_counts_too),
	        WITH_ALL(leftovers_of_the_day_before_go),
	        WITH_ALL(a_damaged_record_goes_at_once),
	        WITH_ALL(a_content_takes_its_own_name_back),
	        WITH_ALL(a_forged_content_never_gets_a_removed_one_s_result),
	        WITH_ALL(nor_in_the_other_order),
	        WITH_ALL(a_freed_name_is_not_believed_by_who_remembers_it),
	        WITH_ALL(nor_by_who_reads_the_shortcuts_later),
	        WITH_ALL(a_record_is_not_saved_when_its_output_is_gone),
	        WITH_ALL(what_is_saved_during_a_gc_is_in_its_journal),
	        WITH_ALL(there_is_one_gc_at_a_time),
	        WITH_ALL(a_store_knows_what_it_takes),
	        WITH_ALL(what_cannot_be_counted_kills_nobody),
	        WITH_ALL(without_the_file_of_locks_runs_are_remembered),
	        WITH_ALL(a_dry_run_counts_on_what_nobody_names),
	        WITH_ALL(a_run_that_cannot_be_removed_keeps_what_it_wrote),
	        WITH_ALL(what_was_made_of_a_content_is_kept_with_it),
	        WITH_ALL(others_go_on_while_gc_collects),
	        WITH_ALL(a_gc_that_is_killed_leaves_a_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
