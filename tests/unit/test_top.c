/* How zvm top looks: whatever a mount tells, and however narrow it is. */
#include "scratch.h"
#include "../../fs/top.h"

static char *page_of(const char *before, const char *now, unsigned width)
{
	struct zvm_top_mount mount = {.at = (char[]){"/mnt"}, .fd = -1, .before_ns = 1000000000, .now_ns = 3000000000};
	struct zvm_top top = {.named = mount.at, .mounts = &mount, .count = 1};
	char *text;
	mount.now = json_loads(now, 0, NULL);
	mount.before = before ? json_loads(before, 0, NULL) : NULL;
	assert_non_null(mount.now);
	assert_int_equal(zvm_top_text(&top, width, &text), 0);
	json_decref(mount.now);
	json_decref(mount.before);
	return text;
}

static void assert_shows(const char *before, const char *now, const char *wanted)
{
	zvm_autofree char *text = page_of(before, now, 0);
	if (!strstr(text, wanted))
		fail_msg("not %s but\n%s", wanted, text);
}

#define JOB(id, stage, run, cpu)                                                                                    \
	"{\"jobs\":[{\"id\":" #id ",\"state\":\"running\",\"spec\":\"sort -u\",\"input\":\"d/x\",\"stage\":" #stage \
	",\"stages\":2,\"uid\":4000000000,\"reader_uids\":[4000000000,4000000001],\"run_us\":" #run                 \
	",\"asked_us\":9000000,\"cpu_us\":" #cpu ",\"memory_kib\":2048,\"stdout_bytes\":1000,"                      \
	"\"stderr_bytes\":500}]}"

static void what_a_job_shows(void **state)
{
	(void)state;
	assert_shows(NULL, JOB(7, 1, 4000000, 1000000),
	             "\n400000+1  running   4.0s   1.0s   25   2.0M   1.5K 1/2   sort -u/d/x\n");
	/* Since the last look; or since it began, where that was another stage, or another job. */
	assert_shows(JOB(7, 1, 2000000, 0), JOB(7, 1, 4000000, 1000000), "   50   2.0M");
	assert_shows(JOB(7, 2, 2000000, 0), JOB(7, 1, 4000000, 1000000), "   25   2.0M");
	assert_shows(JOB(6, 1, 2000000, 0), JOB(7, 1, 4000000, 1000000), "   25   2.0M");
	assert_shows(JOB(7, 1, 2000000, 2000000), JOB(7, 1, 4000000, 1000000), "    0   2.0M");
	assert_shows(NULL, JOB(7, 1, 754000000, 100000000), " 12:34   1:40   13 ");
	assert_shows(NULL, JOB(7, 1, 11520000000, 1000), "  3h12   0.0s    0 ");
}

static void how_many_hits(void **state)
{
	(void)state;
	static const char first[] = "{\"counters\":{\"cache_hits\":10,\"cache_misses\":10,\"box_runs\":10}}";
	static const char then[] = "{\"counters\":{\"cache_hits\":13,\"cache_misses\":11,\"box_runs\":11}}";
	static const char anew[] = "{\"counters\":{\"cache_hits\":0,\"cache_misses\":0,\"box_runs\":0}}";
	assert_shows(NULL, first, ", 50.0% hits\n");
	assert_shows(first, then, ", 54.2% hits (now 75%), 1.5 hits/s, 0.5 runs/s\n");
	assert_shows(then, then, ", 54.2% hits, 0.0 hits/s, 0.0 runs/s\n");
	assert_shows(then, anew, "/mnt: 0 running of 0\n"); /* it was mounted again */
	assert_shows(NULL, "{}", "/mnt: 0 running of 0\n");
}

/* Each value is taken as a stranger's. */
static const char *const odd[] = {
        "null", "-1",        "1e308", "-1e308", "4611686018427387904", "\"\\u001b[2J\\u007f\\u009b\\n\\u0007\"", "[]",
        "[[]]", "{\"a\":1}", "true",  "0.5",
};

static void assert_fits(const char *text, unsigned width)
{
	while (*text) {
		size_t length = strcspn(text, "\n");
		if (length > width)
			fail_msg("%zu of %u: %s", length, width, text);
		for (size_t i = 0; i < length; i++)
			assert_in_range(text[i], ' ', '~');
		text += length + 1;
	}
}

static void whatever_a_mount_tells(void **state)
{
	static const char *const keys[] = {"id",     "state",      "spec",         "input",       "stage",
	                                   "stages", "uid",        "reader_uids",  "run_us",      "asked_us",
	                                   "cpu_us", "memory_kib", "stdout_bytes", "stderr_bytes"};
	(void)state;
	for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
		char all[4096] = "{\"running\":", *at = all + strlen(all);
		at += sprintf(at, "%s,\"max_jobs\":%s,\"queued\":%s,\"all\":%s,\"left_out\":%s,\"counters\":%s,",
		              odd[i], odd[i], odd[i], odd[i], odd[i], odd[i]);
		at += sprintf(at, "\"jobs\":[%s,{", odd[i]);
		for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
			at += sprintf(at, "%s\"%s\":%s", k ? "," : "", keys[k], odd[i]);
		sprintf(at, "}]}");
		for (unsigned width = 1; width < 130; width++) {
			zvm_autofree char *text = page_of(all, all, width);
			assert_fits(text, width);
		}
		zvm_autofree char *jobs = NULL, *endless = page_of(NULL, all, 0);
		assert_fits(endless, 4096);
		assert_true(asprintf(&jobs, "{\"jobs\":%s,\"counters\":{\"cache_hits\":%s}}", odd[i], odd[i]) > 0);
		zvm_autofree char *text = page_of(jobs, jobs, 80);
		assert_fits(text, 80);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_a_job_shows), cmocka_unit_test(how_many_hits),
	                                   cmocka_unit_test(whatever_a_mount_tells)};
	return cmocka_run_group_tests_name("top", tests, NULL, NULL);
}
