/*
 * System calls that jump, in real boxes: the same programs run with jumps and with every one of them undone, so that
 * each call traps, and everything that can be seen of the two runs must be the same: output, end, each call with its
 * arguments, its answer and the virtual time.
 */
#include "boxes.h"
#include <zvm/bytes.h>

#define OUTPUT_MAX (1u << 20)

enum { JUMPING, TRAPPING, WAYS };

static int set_up(void **state)
{
	static const struct zvm_launcher_options options[LAUNCHERS] = {
	        [JUMPING] = {.pool = 1}, [TRAPPING] = {.pool = 1, .no_jumps = true}};
	return open_boxes(state, options);
}

struct result {
	struct zvm_box_outcome outcome;
	char *text[2]; /* of stdout and stderr */
	struct zvm_bytes trace;
};

static void add_line(void *context, const char *line, size_t length)
{
	struct zvm_bytes *trace = context;
	zvm_bytes_append(trace, line, length);
	zvm_bytes_append(trace, "\n", 1);
}

static void run(int way, const char *guest, const char *const *arguments, const char *input, struct result *ret)
{
	static const char *const environment[] = {"PATH=/usr/bin:/bin", "HOME=/home/zvm", "LANG=C.UTF-8", NULL};
	struct zvm_box_request request = {
	        .arguments = arguments,
	        .environment = environment,
	        .limits = {.memory_bytes = 4096ull << 20, .output_bytes = OUTPUT_MAX - 1, .wall_ms = 60000},
	        .trace = add_line,
	        .trace_context = &ret->trace,
	};
	*ret = (struct result){0};
	run_guest(way, guest, input, &request, &ret->outcome);
	zvm_bytes_append(&ret->trace, "", 1);
	assert_int_equal(ret->trace.error, 0);
	ret->text[0] = take_output(&request.stdout_fd);
	ret->text[1] = take_output(&request.stderr_fd);
}

static void free_result(struct result *r)
{
	zvm_box_outcome_free(&r->outcome);
	zvm_bytes_free(&r->trace);
	free(r->text[0]);
	free(r->text[1]);
}

/* Fails with the first lines that differ. */
static void assert_same(const char *what, const char *jumping, const char *trapping)
{
	size_t line = 0;
	for (size_t i = 0; jumping[i] == trapping[i]; i++) {
		if (!jumping[i])
			return;
		if (jumping[i] == '\n')
			line = i + 1;
	}
	fail_msg("%s differs:\n  jumping   %.*s\n  trapping  %.*s", what, (int)strcspn(jumping + line, "\n"),
	         jumping + line, (int)strcspn(trapping + line, "\n"), trapping + line);
}

static void run_both_ways(const char *guest, const char *const *arguments, const char *input, struct result r[WAYS])
{
	for (int i = 0; i < WAYS; i++)
		run(i, guest, arguments, input, &r[i]);
	const struct zvm_box_outcome *a = &r[JUMPING].outcome, *b = &r[TRAPPING].outcome;
	print_message("# %s %s: %lu calls\n", guest, arguments[0] ? arguments[0] : "", a->system_calls);
	if (a->end != ZVM_END_EXIT)
		fail_msg("%s: end %d, signal %d: %s", guest, a->end, a->signal, a->message ? a->message : "");
	assert_same("stderr", r[JUMPING].text[1], r[TRAPPING].text[1]);
	assert_same("the trace", (const char *)r[JUMPING].trace.data, (const char *)r[TRAPPING].trace.data);
	assert_int_equal(a->end, b->end);
	assert_int_equal(a->exit_status, b->exit_status);
	assert_int_equal(a->system_calls, b->system_calls);
	assert_int_equal(a->virtual_ns, b->virtual_ns);
	assert_int_equal(a->peak_memory, b->peak_memory);
	assert_int_equal(a->not_vetted, b->not_vetted);
}

static void same(const char *guest, const char *const *arguments, const char *input)
{
	struct result r[WAYS];
	run_both_ways(guest, arguments, input, r);
	assert_same("stdout", r[JUMPING].text[0], r[TRAPPING].text[0]);
	for (int i = 0; i < WAYS; i++)
		free_result(&r[i]);
}

#define SAME(guest, input, ...) same(guest, (const char *const[]){__VA_ARGS__, NULL}, input)

/* An aspect of tests/box/jumps.c, dynamic and static: nothing is bad, and something is good. */
static void aspect(const char *name)
{
	static const char *const programs[] = {"jumps", "jumps_static"};
	for (size_t i = 0; i < 2; i++) {
		struct result r[WAYS];
		run_both_ways(programs[i], (const char *const[]){name, NULL}, "/dev/null", r);
		const char *bad = strstr(r[JUMPING].text[0], ": bad");
		if (bad || !strstr(r[JUMPING].text[0], ": good"))
			fail_msg("%s %s:\n%s", programs[i], name, r[JUMPING].text[0]);
		assert_same("stdout", r[JUMPING].text[0], r[TRAPPING].text[0]);
		for (int k = 0; k < WAYS; k++)
			free_result(&r[k]);
	}
}

static void registers_and_flags_are_as_the_kernel_leaves_them(void **state)
{
	(void)state;
	aspect("registers");
}

static void whoever_jumps_into_the_middle_finds_what_was_there(void **state)
{
	(void)state;
	aspect("middle");
}

static void handlers_are_told_the_guests_own_addresses(void **state)
{
	(void)state;
	aspect("signals");
}

static void interrupted_calls_are_made_again(void **state)
{
	(void)state;
	aspect("restart");
}

static void faults_in_displaced_instructions_are_the_guests_own(void **state)
{
	(void)state;
	aspect("faults");
}

static void threads_keep_their_vector_registers(void **state)
{
	(void)state;
	aspect("threads");
}

static void children_call_too(void **state)
{
	(void)state;
	aspect("processes");
}

static void trampolines_give_way_to_the_guest(void **state)
{
	(void)state;
	aspect("places");
	aspect("heap");
}

static void text_may_be_mapped_twice_in_part_and_moved(void **state)
{
	(void)state;
	aspect("copies");
}

static void behind_the_end_of_a_file_is_nothing(void **state)
{
	(void)state;
	aspect("end");
}

static void handlers_may_leave_by_a_long_jump(void **state)
{
	(void)state;
	aspect("long jumps");
}

static void unwinders_find_their_way(void **state)
{
	(void)state;
	aspect("unwinds");
}

static void stepping_guests_see_no_trampoline(void **state)
{
	(void)state;
	aspect("steps");
}

static void undoing_a_jump_gives_the_text(void **state)
{
	(void)state;
	struct result r[WAYS];
	run_both_ways("jumps", (const char *const[]){"text", NULL}, "/dev/null", r);
	assert_string_equal(r[TRAPPING].text[0], "b86e0000000f05c30f00480000f0ffff\n");
	assert_memory_equal(r[JUMPING].text[0], "e9", 2);
	assert_string_equal(r[JUMPING].text[0] + 10, "0f05c3e900f40000fafafa\n");
	for (int i = 0; i < WAYS; i++)
		free_result(&r[i]);
}

static void programs_are_the_same_both_ways(void **state)
{
	(void)state;
	static const char python[] =
	        "import json, re, threading, os, time, random, signal, ctypes\n"
	        "r = []\n"
	        "ts = [threading.Thread(target=lambda i=i: (time.sleep(.01 * i), r.append((i, time.time())))) for i in "
	        "range(5)]\n"
	        "[t.start() for t in ts]; [t.join() for t in ts]\n"
	        "a, b = os.pipe()\n"
	        "pid = os.fork()\n"
	        "if not pid: os.write(b, b'child'); os._exit(3)\n"
	        "print(json.dumps(r), os.read(a, 9), os.waitpid(pid, 0), random.random(), os.getpid())\n"
	        "signal.signal(signal.SIGALRM, lambda *a: print('alarm', time.time()))\n"
	        "signal.setitimer(signal.ITIMER_REAL, .5); time.sleep(1)\n"
	        "print(open('/proc/self/maps').read())\n"
	        "print(ctypes.CDLL(None).getpid(), sorted(os.listdir('/tmp')), os.stat('/usr').st_ino)\n";
	SAME("/usr/bin/python3", "/dev/null", "-c", python);
	SAME("/usr/bin/perl", "/etc/passwd", "-ne", "$n{length $_}++; END { print \"$_ $n{$_}\\n\" for sort keys %n }");
	SAME("/usr/bin/gawk", "/etc/passwd", "{ n += length($0); system(\"\") } END { print n, rand(), systime() }");
	SAME("/usr/bin/sort", "/etc/passwd", "-R");
	SAME("/usr/bin/cat", "/etc/passwd", "-", "/etc/mime.types", "/no/such/file");
	SAME("/usr/bin/find", "/dev/null", "/usr/share/doc/bash", "-ls");
	SAME("/bin/dash", "/dev/null", "-c",
	     "(sleep 1; echo a) & (echo b; kill -USR1 $$) & trap 'echo c' USR1; wait; wait; echo $(echo d)");
	SAME("/bin/busybox", "/etc/passwd", "sha256sum");
	SAME("/usr/bin/xz", "/etc/services", "-T2", "-c");
	SAME("first", "/dev/null", "x");
	SAME("structures", "/dev/null", "x");
	SAME("moments", "/dev/null", "x");
	SAME("faults", "/dev/null", "x");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	        cmocka_unit_test(registers_and_flags_are_as_the_kernel_leaves_them),
	        cmocka_unit_test(whoever_jumps_into_the_middle_finds_what_was_there),
	        cmocka_unit_test(handlers_are_told_the_guests_own_addresses),
	        cmocka_unit_test(interrupted_calls_are_made_again),
	        cmocka_unit_test(faults_in_displaced_instructions_are_the_guests_own),
	        cmocka_unit_test(threads_keep_their_vector_registers),
	        cmocka_unit_test(children_call_too),
	        cmocka_unit_test(trampolines_give_way_to_the_guest),
	        cmocka_unit_test(text_may_be_mapped_twice_in_part_and_moved),
	        cmocka_unit_test(behind_the_end_of_a_file_is_nothing),
	        cmocka_unit_test(handlers_may_leave_by_a_long_jump),
	        cmocka_unit_test(unwinders_find_their_way),
	        cmocka_unit_test(stepping_guests_see_no_trampoline),
	        cmocka_unit_test(undoing_a_jump_gives_the_text),
	        cmocka_unit_test(programs_are_the_same_both_ways),
	};
	return cmocka_run_group_tests(tests, set_up, close_boxes);
}
