/* Who is let in could have read everything himself: tried with every reader there is, against a model of the kernel. */
#include "scratch.h"
#include "../../fs/audience.h"

struct reader {
	uid_t uid;
	gid_t gid;
};

static bool allows(const struct stat *st, const struct reader *r, mode_t any)
{
	return st->st_mode & (r->uid == st->st_uid ? any << 6 : r->gid == st->st_gid ? any << 3 : any);
}

static struct stat file(uid_t uid, gid_t gid, mode_t mode)
{
	struct stat st = {.st_uid = uid, .st_gid = gid, .st_mode = S_IFREG | mode};
	return st;
}

/* Three users, three groups, all modes of two files. */
static void nobody_is_let_in_who_could_not_read_both(void **state)
{
	unsigned let_in = 0;
	(void)state;
	for (unsigned n = 0; n < 8 * 8 * 81; n++) {
		unsigned owners = n / 64;
		static const mode_t modes[8] = {0, 04, 040, 044, 0400, 0404, 0440, 0444};
		struct stat input = file(owners % 3, owners / 3 % 3, modes[n % 8]),
		            script = file(owners / 9 % 3, owners / 27 % 3, modes[n / 8 % 8]);
		struct zvm_audience a = zvm_audience_begin(&input);
		zvm_audience_narrow(&a, &script, S_IROTH);
		struct stat shown = file(a.uid, a.gid, a.mode);
		for (unsigned k = 0; k < 9; k++) {
			struct reader r = {k % 3, k / 3};
			if (!allows(&shown, &r, S_IROTH))
				continue;
			let_in++;
			assert_true(allows(&input, &r, S_IROTH));
			assert_true(allows(&script, &r, S_IROTH));
		}
	}
	assert_true(let_in > 1000);
}

static void what_all_may_read_stays_so(void **state)
{
	struct stat input = file(1, 1, 0644), script = file(0, 0, 0755);
	struct zvm_audience a = zvm_audience_begin(&input);
	(void)state;
	zvm_audience_narrow(&a, &script, S_IROTH | S_IXOTH);
	assert_int_equal(a.mode, 0444);
}

static void who_may_run_a_script_may_see_what_it_writes(void **state)
{
	struct stat input = file(1, 1, 0644), script = file(0, 0, 0711);
	struct zvm_audience a = zvm_audience_begin(&input);
	(void)state;
	zvm_audience_narrow(&a, &script, S_IROTH | S_IXOTH);
	assert_int_equal(a.mode, 0444);
	zvm_audience_narrow(&a, &script, S_IROTH);
	assert_int_equal(a.mode, 0);
}

static void a_closed_directory_on_the_way_counts(void **state)
{
	struct stat input;
	(void)state;
	assert_int_equal(chmod(scratch, 0755), 0);
	mkdir(in_scratch("open"), 0755);
	mkdir(in_scratch("open/closed"), 0700);
	put_text(in_scratch("open/file"), "");
	put_text(in_scratch("open/closed/file"), "");
	assert_int_equal(stat(in_scratch("open/file"), &input), 0);
	struct zvm_audience a = zvm_audience_begin(&input);
	zvm_audience_narrow_way(&a, in_scratch("open/closed/file"), S_IROTH);
	assert_int_equal(a.mode & (S_IRGRP | S_IROTH), 0);
	zvm_audience_narrow_way(&a, in_scratch("open/gone"), S_IROTH);
	assert_int_equal(a.mode, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(nobody_is_let_in_who_could_not_read_both),
	        cmocka_unit_test(what_all_may_read_stays_so),
	        cmocka_unit_test(who_may_run_a_script_may_see_what_it_writes),
	        cmocka_unit_test_setup_teardown(a_closed_directory_on_the_way_counts, scratch_make, scratch_remove),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
