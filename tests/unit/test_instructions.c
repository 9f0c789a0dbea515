/*
 * The instructions that tell machines apart, in real boxes: on a processor that traps cpuid, and on one that cannot,
 * where prepared images are all there is. The guest is tests/box/instructions.c, dynamic and static.
 */
#include "boxes.h"

#define OUTPUT_MAX 65536

enum { TRAPPING, NATIVE };

static int set_up(void **state)
{
	static const struct zvm_launcher_options options[LAUNCHERS] = {
	        [TRAPPING] = {.pool = 1}, [NATIVE] = {.pool = 1, .native_cpuid = true}};
	return open_boxes(state, options);
}

struct result {
	struct zvm_box_outcome outcome;
	char text[OUTPUT_MAX];
};

static void run_with(int launcher, const char *guest, const char *const *arguments, struct result *ret)
{
	static const char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
	struct zvm_box_request request = {
	        .arguments = arguments,
	        .environment = environment,
	        .limits = {.memory_bytes = 256u << 20, .output_bytes = OUTPUT_MAX - 1, .wall_ms = 60000},
	};
	run_guest(launcher, guest, "/dev/null", &request, &ret->outcome);
	ssize_t n = pread(request.stdout_fd, ret->text, sizeof ret->text - 1, 0);
	assert_true(n >= 0);
	ret->text[n] = 0;
	close(request.stdout_fd);
	close(request.stderr_fd);
	if (ret->outcome.end != ZVM_END_EXIT || ret->outcome.exit_status)
		fail_msg("%s %s: end %d, status %d: %s", guest, arguments[0], ret->outcome.end,
		         ret->outcome.exit_status, ret->outcome.message ? ret->outcome.message : "");
	if (!n)
		fail_msg("%s %s printed nothing", guest, arguments[0]);
}

static void run(int launcher, const char *guest, const char *aspect, struct result *ret)
{
	run_with(launcher, guest, (const char *const[]){aspect, NULL}, ret);
}

static bool stands(int launcher, const char *wall)
{
	struct zvm_wall_report walls[ZVM_WALLS_MAX];
	unsigned n = zvm_launcher_walls(launchers[launcher], walls);
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(walls[i].name, wall))
			return walls[i].stands;
	fail_msg("there is no wall named %s", wall);
	return false;
}

static void cpuid_can_be_left_as_it_is(void **state)
{
	(void)state;
	assert_false(stands(NATIVE, "cpuid trap"));
	assert_true(stands(NATIVE, "rdtsc trap"));
	if (!stands(TRAPPING, "cpuid trap")) { /* then the two ways are one, and what follows compares it with itself */
		print_message("           this processor cannot trap cpuid\n");
		skip();
	}
}

/* The same by a fault of the processor (where it has one) and by rewriting, in the program and in its libraries. */
static void same_by_both_ways(const char *aspect, const char *expected)
{
	static const char *const names[] = {"instructions", "instructions_static"};
	static struct result trapping, native;
	for (size_t i = 0; i < 2; i++) {
		run(TRAPPING, names[i], aspect, &trapping);
		run(NATIVE, names[i], aspect, &native);
		assert_string_equal(trapping.text, native.text);
		if (!strstr(native.text, expected))
			fail_msg("%s %s does not say \"%s\": %s", names[i], aspect, expected, native.text);
		zvm_box_outcome_free(&trapping.outcome);
		zvm_box_outcome_free(&native.outcome);
	}
}

static void every_leaf_of_cpuid_is_the_fixed_machines(void **state)
{
	(void)state;
	same_by_both_ways("cpuid", "00000000 0: 0000000d 756e6547 6c65746e 49656e69\n");
	same_by_both_ways("cpuid", "00000001 3: 000106a3 00010800 00982201 078bfbff\n");
	same_by_both_ways("cpuid", "00000004 3: 00000163 03c0003f 00001fff 00000006\n");
	same_by_both_ways("cpuid", "00000007 0: 00000000 00000000 00000000 00000000\n");
	same_by_both_ways("cpuid", "80000001 0: 00000000 00000000 00000001 20100800\n");
	same_by_both_ways("cpuid", "40000000 0: 00000000 00000000 00000000 00000000\n");
}

static void the_counter_is_the_boxs_clock(void **state)
{
	(void)state;
	same_by_both_ways("counter", " on 0\n");
}

static void chance_is_the_seeds(void **state)
{
	(void)state;
	static struct result r;
	same_by_both_ways("chance", "rdrand rax: ");
	run(NATIVE, "instructions", "chance", &r);
	unsigned lines = 0;
	/* Carry is set; parity, adjust, zero, sign and overflow, which were set before, are not; direction stays. */
	for (char *line = strtok(r.text, "\n"); line; line = strtok(NULL, "\n"), lines++)
		if (!strstr(line, "flags 401"))
			fail_msg("%s", line);
	assert_int_equal(lines, 14);
	zvm_box_outcome_free(&r.outcome);
}

/* What the register held in its upper part stays with 16 bits, and goes with 32. */
static void operands_have_their_size(void **state)
{
	(void)state;
	same_by_both_ways("chance", "rdrand cx: 112233445566");
	same_by_both_ways("chance", "rdrand ebx: 00000000");
	same_by_both_ways("chance", "rdrand r9d: 00000000");
	same_by_both_ways("chance", "rdseed r13w: 112233445566");
	same_by_both_ways("chance", "rdseed r12d: 00000000");
}

static void there_is_one_processor(void **state)
{
	(void)state;
	same_by_both_ways("processor", "rdpid: 0 0\n");
}

static void segments_tell_of_one_processor_and_no_end(void **state)
{
	(void)state;
	same_by_both_ways("segments", "lsl 7b: 0 0 1122334455660000 zero 1\n"
	                              "lsl ffff0000007b: 0 0 1122334455660000 zero 1\n"
	                              "lsl 33: ffffffff ffffffff 112233445566ffff zero 1\n"
	                              "lsl 2b: ffffffff ffffffff 112233445566ffff zero 1\n"
	                              "lsl 23: ffffffff ffffffff 112233445566ffff zero 1\n"
	                              "lsl 0: 1122334455667788 1122334455667788 1122334455667788 zero 0\n"
	                              "lsl 53: 1122334455667788 1122334455667788 1122334455667788 zero 0\n");
}

static void what_the_fixed_machine_lacks_is_undefined(void **state)
{
	(void)state;
	same_by_both_ways("undefined", "xgetbv: SIGILL, code 2\nrdpru: SIGILL, code 2\nud2: SIGILL, code 2\n");
}

static void a_true_hlt_is_a_fault(void **state)
{
	(void)state;
	same_by_both_ways("halt", "hlt: SIGSEGV, code 128\nhlt, xor: SIGSEGV, code 128\nhlt, a2: SIGSEGV, code 128\n"
	                          "hlt, c7: SIGSEGV, code 128\n");
}

static void data_and_the_insides_of_instructions_stay(void **state)
{
	(void)state;
	same_by_both_ways("lookalikes", "310fa20ff0c70ff9 90f0c70f310fa20f f9010fa2\n");
}

static void whoever_reads_the_file_gets_the_file(void **state)
{
	(void)state;
	same_by_both_ways("self", "the file has cpuid in it\n");
}

static void files_mapped_by_hand_are_prepared_too(void **state)
{
	(void)state;
	same_by_both_ways("by-hand", "leaf 0: 0000000d 6c65746e 49656e69\n");
	same_by_both_ways("by-hand-later", "leaf 0: 0000000d 6c65746e 49656e69\n");
	same_by_both_ways("by-hand-moved", "leaf 0: 0000000d 6c65746e 49656e69\n");
}

static void every_kind_of_task_is_answered(void **state)
{
	(void)state;
	static const char leaf[] = "00000000 0: 0000000d 756e6547 6c65746e 49656e69\n";
	static struct result r;
	unsigned answers = 0;
	same_by_both_ways("tasks", "rdpid: 0 0\n");
	run(NATIVE, "instructions", "tasks", &r);
	for (const char *at = r.text; (at = strstr(at, leaf)); at += sizeof leaf - 1)
		answers++;
	assert_int_equal(answers, 3);
	zvm_box_outcome_free(&r.outcome);
}

/* What the loader and libcrypto make of the processor: all that they asked, as they print it themselves. */
static void libraries_find_the_fixed_machine(void **state)
{
	(void)state;
	static const char *const programs[][4] = {{"/lib64/ld-linux-x86-64.so.2", "--list-diagnostics", NULL},
	                                          {"/usr/bin/openssl", "version", "-c", NULL}};
	/* OSXSAVE, AVX, AES and RDRAND are not there, SSE4.2 and POPCNT are. */
	static const char *const expected[] = {"x86.cpu_features.basic.model=0x1a", "OPENSSL_ia32cap=0x982201"};
	static struct result trapping, native;
	for (size_t i = 0; i < 2; i++) {
		run_with(TRAPPING, programs[i][0], programs[i] + 1, &trapping);
		run_with(NATIVE, programs[i][0], programs[i] + 1, &native);
		assert_string_equal(trapping.text, native.text);
		if (!strstr(native.text, expected[i]))
			fail_msg("%s: %s", programs[i][0], native.text);
		zvm_box_outcome_free(&trapping.outcome);
		zvm_box_outcome_free(&native.outcome);
	}
}

static void libm_gives_the_same_bits(void **state)
{
	(void)state;
	same_by_both_ways("libm", "\n");
}

static void assert_vetted(const char *aspect, bool vetted)
{
	static struct result r;
	run(NATIVE, "instructions", aspect, &r);
	if (r.outcome.not_vetted == vetted)
		fail_msg("%s is%s said not to be vetted", aspect, vetted ? "" : " not");
	zvm_box_outcome_free(&r.outcome);
}

static void code_that_a_guest_makes_is_said_not_to_be_vetted(void **state)
{
	(void)state;
	assert_vetted("cpuid", true);
	assert_vetted("by-hand", true);
	assert_vetted("by-hand-later", true);
	assert_vetted("by-hand-changed", false);
	assert_vetted("anonymous", false);
	assert_vetted("anonymous-later", false);
	assert_vetted("private", false);
	assert_vetted("private-later", false);
}

static void unproven_places_are_named(void **state)
{
	(void)state;
	static struct result r;
	run(NATIVE, "instructions", "cpuid", &r);
	assert_int_equal(r.outcome.unproven_count, 1);
	assert_string_equal(r.outcome.unproven[0], "/script/instructions: 3");
	zvm_box_outcome_free(&r.outcome);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	        cmocka_unit_test(cpuid_can_be_left_as_it_is),
	        cmocka_unit_test(every_leaf_of_cpuid_is_the_fixed_machines),
	        cmocka_unit_test(the_counter_is_the_boxs_clock),
	        cmocka_unit_test(chance_is_the_seeds),
	        cmocka_unit_test(operands_have_their_size),
	        cmocka_unit_test(there_is_one_processor),
	        cmocka_unit_test(segments_tell_of_one_processor_and_no_end),
	        cmocka_unit_test(what_the_fixed_machine_lacks_is_undefined),
	        cmocka_unit_test(a_true_hlt_is_a_fault),
	        cmocka_unit_test(data_and_the_insides_of_instructions_stay),
	        cmocka_unit_test(whoever_reads_the_file_gets_the_file),
	        cmocka_unit_test(files_mapped_by_hand_are_prepared_too),
	        cmocka_unit_test(every_kind_of_task_is_answered),
	        cmocka_unit_test(libraries_find_the_fixed_machine),
	        cmocka_unit_test(libm_gives_the_same_bits),
	        cmocka_unit_test(code_that_a_guest_makes_is_said_not_to_be_vetted),
	        cmocka_unit_test(unproven_places_are_named),
	};
	return cmocka_run_group_tests(tests, set_up, close_boxes);
}
