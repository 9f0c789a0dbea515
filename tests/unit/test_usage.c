/* What boxes that run have used, as the daemon is told: with every wall that there is, and with no namespace at all. */
#include "boxes.h"
#include <pthread.h>
#include <signal.h>
#include <time.h>

/* A private file of 32 MiB, whose writers have ended, and a child that spins, beside a shell that waits for it. */
static const char *const spins[] = {"-c", "yes | head -c 33554432 >/tmp/x; (while :; do :; done) & wait", NULL};
static const char *const environment[] = {"PATH=/usr/bin", NULL};

struct watch {
	int launcher;
	struct zvm_box_meter meter;
	int result;
	struct zvm_box_usage last;
	bool fell;
};

static void look(struct watch *watch)
{
	struct zvm_box_usage usages[2] = {{0}, {.box = INT32_MAX}};
	zvm_box_meter_read(&watch->meter, &usages[0]);
	if (!usages[0].box)
		return;
	int r = zvm_launcher_usage(launchers[watch->launcher], usages, 2);
	watch->result = watch->result ? watch->result : r;
	watch->result = usages[1].processes ? -EBADMSG : watch->result; /* nobody's */
	watch->fell |= usages[0].processes && usages[0].cpu_us + 20000 < watch->last.cpu_us;
	if (usages[0].processes)
		watch->last = usages[0];
}

static volatile bool over;

static void *watch_main(void *context)
{
	while (!over) {
		look(context);
		nanosleep(&(struct timespec){0, 20000000}, NULL);
	}
	return NULL;
}

static struct zvm_box_outcome run_watched(struct watch *watch)
{
	struct zvm_box_outcome outcome;
	struct zvm_box_request request = {.arguments = spins,
	                                  .environment = environment,
	                                  .limits = {.memory_bytes = 1ull << 30, .output_bytes = 1000, .wall_ms = 2000},
	                                  .meter = &watch->meter};
	pthread_t thread;
	put_bytes(in_scratch("input"), "", 0);
	over = false;
	assert_int_equal(pthread_create(&thread, NULL, watch_main, watch), 0);
	run_guest(watch->launcher, "/usr/bin/dash", in_scratch("input"), &request, &outcome);
	over = true;
	pthread_join(thread, NULL);
	zvm_close_pointer(&request.stdout_fd);
	zvm_close_pointer(&request.stderr_fd);
	return outcome;
}

static void it_is_told_while_it_runs(void **state)
{
	(void)state;
	for (int launcher = 0; launcher < LAUNCHERS; launcher++) {
		struct watch watch = {.launcher = launcher, .meter = ZVM_BOX_METER};
		struct zvm_box_outcome outcome = run_watched(&watch);
		assert_int_equal(outcome.end, ZVM_END_TIME);
		assert_int_equal(watch.result, 0);
		assert_int_equal(watch.last.processes, 2); /* those who wrote the file are gone */
		assert_in_range(watch.last.memory_kib, 32 << 10, 128 << 10);
		assert_in_range(watch.last.cpu_us, 200000, outcome.cpu_us + 20000);
		assert_false(watch.fell);
		/* Afterwards it has no number, and the one that it had is nobody's. */
		struct zvm_box_usage usage;
		zvm_box_meter_read(&watch.meter, &usage);
		assert_true(!usage.box && !usage.memory_kib);
		usage.box = watch.last.box;
		assert_int_equal(zvm_launcher_usage(launchers[launcher], &usage, 1), 0);
		assert_int_equal(usage.processes, 0);
		zvm_box_outcome_free(&outcome);
	}
}

static int set_up(void **state)
{
	return open_boxes(state, (struct zvm_launcher_options[LAUNCHERS]){{.pool = 1}, {.pool = 1, .plain = true}});
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(it_is_told_while_it_runs)};
	return cmocka_run_group_tests_name("usage", tests, set_up, close_boxes);
}
