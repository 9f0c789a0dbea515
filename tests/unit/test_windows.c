/*
 * Which system calls become jumps, and that they can be undone: small ELF files in which each way to find room beside a
 * call, and each way to find none, is alone. What boxes make of them is in test_jumps.c; libraries are in
 * test_prepare.c.
 */
#include "maker.h"
#include "plan.h"
#include "undo.h"

#define SYSCALL 0x0f, 0x05
#define CHECK 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff /* cmp $-4096, %rax */

/* What becomes of the made-up file; undoing it gives the file. */
static struct undo jumps_of(struct maker *m, struct zvm_prepared *p)
{
	static struct zvm_image plan;
	static unsigned char original[CODE_AT + CODE_ROOM + 4096], image[1 << 20];
	char interpreter[ZVM_PATH_MAX];
	const char *reason;
	zvm_autofd int fd = write_file(m);
	ssize_t size = pread(fd, original, sizeof original, 0);
	*p = prepare(m);
	struct undo undo = {&plan, &p->jumps, original, image, (size_t)size, 0, 0};
	assert_int_equal(zvm_plan_library(fd, &plan, interpreter, &reason), 0);
	if (p->fd < 0)
		return undo;
	assert_true(pread(p->fd, image, sizeof image, 0) >= size);
	const char *wrong = undo_jumps(&undo);
	if (wrong)
		fail_msg("%s", wrong);
	assert_memory_equal(original, image, (size_t)size);
	zvm_close_pointer(&p->fd);
	return undo;
}

static void assert_jumps(struct maker *m, size_t backward, size_t forward)
{
	struct zvm_prepared p;
	struct undo undo = jumps_of(m, &p);
	assert_int_equal(undo.backward, backward);
	assert_int_equal(undo.forward, forward);
	assert_int_equal(p.jumps.size > 0, backward + forward > 0);
	assert_int_equal(p.unproven, 0);
}

static void the_instruction_before_a_call_becomes_a_jump(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0xb8, 0x27, 0x00, 0x00, 0x00, SYSCALL, 0xc3);             /* mov $39, %eax */
	FUNCTION(&m, 0x48, 0xc7, 0xc0, 0x27, 0x00, 0x00, 0x00, SYSCALL, 0xc3); /* mov $39, %rax */
	FUNCTION(&m, 0x4c, 0x8b, 0x4c, 0x24, 0x08, SYSCALL, 0xc3);             /* mov 8(%rsp), %r9 */
	FUNCTION(&m, 0x48, 0x8d, 0x7c, 0x24, 0x10, SYSCALL, 0xc3);             /* lea 16(%rsp), %rdi */
	assert_jumps(&m, 4, 0);
}

static void a_call_and_the_check_behind_it_become_a_jump(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0x31, 0xc0, SYSCALL, CHECK, 0x77, 0x01, 0xc3, 0xc3);
	FUNCTION(&m, 0x31, 0xc0, SYSCALL, 0x3d, 0x01, 0xf0, 0xff, 0xff, 0xc3); /* cmp $-4095, %eax */
	assert_jumps(&m, 0, 2);
}

static void a_call_without_room_goes_on_to_trap(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0x31, 0xc0, SYSCALL, 0xc3);
	FUNCTION(&m, 0x31, 0xc0, SYSCALL, 0x48, 0x3d, 0x00, 0x00, 0x00, 0x00, 0xc3); /* cmp $0: anybody's */
	FUNCTION(&m, 0x48, 0x8d, 0x3d, 0x00, 0x00, 0x00, 0x00, SYSCALL, 0xc3);       /* lea 0(%rip), %rdi */
	FUNCTION(&m, 0xe8, 0x00, 0x00, 0x00, 0x00, SYSCALL, 0xc3);                   /* call */
	FUNCTION(&m, 0x66, 0x0f, 0x6f, 0x44, 0x24, 0x10, SYSCALL, 0xc3);             /* movdqa: no mov */
	assert_jumps(&m, 0, 0);
}

static void a_return_from_a_signal_stays_as_unwinders_know_it(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, SYSCALL, 0x90);
	FUNCTION(&m, 0xb8, 0x0f, 0x00, 0x00, 0x00, SYSCALL, 0x90, 0xc3);
	assert_jumps(&m, 0, 0);
}

static void what_is_not_reached_is_no_call(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0xeb, 0x07, 0xb8, 0x27, 0x00, 0x00, 0x00, SYSCALL, 0xc3); /* jmp over it */
	FUNCTION(&m, 0xeb, 0x05, 0xb8, 0x27, 0x00, 0x00, 0x00, SYSCALL, 0xc3); /* jmp to the call: it may jump alone */
	FUNCTION(&m, 0x48, 0xb8, 0xb8, 0x27, 0x00, 0x00, 0x00, SYSCALL, 0xc3, 0xc3); /* movabs */
	assert_jumps(&m, 0, 0);
}

static void a_window_behind_a_call_lies_in_one_page(void **state)
{
	(void)state;
	static unsigned char nops[4100];
	static struct maker m;
	memset(nops, 0x90, sizeof nops);
	for (size_t beyond = 0; beyond < 10; beyond++) { /* bytes of it that are in the next page */
		start(&m);
		add_function(&m, nops, 4096 - 8 + beyond);
		CODE(&m, SYSCALL, CHECK, 0xc3);
		m.f.symbols[0].st_size = m.size;
		assert_jumps(&m, 0, beyond == 0 || beyond >= 8);
	}
}

/* It faults where the mov did, if the second page is missing. */
static void a_jump_may_lie_in_two_pages_as_the_mov_did(void **state)
{
	(void)state;
	static unsigned char nops[4100];
	static struct maker m;
	memset(nops, 0x90, sizeof nops);
	for (size_t beyond = 0; beyond < 8; beyond++) {
		start(&m);
		add_function(&m, nops, 4096 - 7 + beyond);
		CODE(&m, 0xb8, 0x27, 0x00, 0x00, 0x00, SYSCALL, 0xc3);
		m.f.symbols[0].st_size = m.size;
		assert_jumps(&m, 1, 0);
	}
}

static void two_pieces_of_text_have_no_jumps(void **state)
{
	(void)state;
	static struct maker m;
	struct zvm_prepared prepared;
	start(&m);
	FUNCTION(&m, 0xb8, 0x27, 0x00, 0x00, 0x00, SYSCALL, 0xc3);
	zvm_autofd int fd = write_file(&m);
	Elf64_Phdr program = m.f.program;
	program.p_flags |= PF_W; /* nor has one that can be written to */
	assert_int_equal(pwrite(fd, &program, sizeof program, offsetof(struct file, program)), sizeof program);
	assert_int_equal(zvm_prepare(fd, &prepared), 0);
	assert_true(prepared.fd < 0 && !prepared.jumps.size);
}

/* More forward ones that want the same slots than there are, and none of them is put where it would not trap. */
static void calls_that_compete_for_slots_find_others_or_trap(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	for (int i = 0; i < 24; i++)
		FUNCTION(&m, 0x31, 0xc0, SYSCALL, CHECK, 0xc3);
	assert_jumps(&m, 0, 24);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_instruction_before_a_call_becomes_a_jump),
	        cmocka_unit_test(a_call_and_the_check_behind_it_become_a_jump),
	        cmocka_unit_test(a_call_without_room_goes_on_to_trap),
	        cmocka_unit_test(a_return_from_a_signal_stays_as_unwinders_know_it),
	        cmocka_unit_test(what_is_not_reached_is_no_call),
	        cmocka_unit_test(a_window_behind_a_call_lies_in_one_page),
	        cmocka_unit_test(a_jump_may_lie_in_two_pages_as_the_mov_did),
	        cmocka_unit_test(two_pieces_of_text_have_no_jumps),
	        cmocka_unit_test(calls_that_compete_for_slots_find_others_or_trap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
