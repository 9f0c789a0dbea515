/*
 * The life of a box, seen from the monitor.
 *
 *   zygote   the launcher's C code maps the monitor and jumps here. We unmap everything else, install the two filters
 *            and wait for orders. Each order forks a box: CLONE_PARENT makes it the launcher's child, to be reaped
 * there. box      maps its own arena, waits for its run order, loads the program and enters it. From then on the
 * monitor runs only when the guest traps. It ends with run_end: a report, and exit.
 *
 * If the launcher dies, the zygote reads end-of-file and exits, and so does a box that still waits; a box
 * that runs is killed with the pid namespace, by its parent-death signal, or by the daemon (launch.c).
 */
#include "internal.h"

struct zvm_handoff handoff;
static u8 packet[ZVM_PACKET_MAX];
static s64 launcher;
static u8 stack_slots[TASKS_MAX * STACK_SLOT_SIZE] __attribute__((aligned(4096)));

void zygote_main(const struct zvm_handoff *given) NORETURN;

u64 stack_slot_at(u32 slot)
{
	return (u64)stack_slots + slot * STACK_SLOT_SIZE;
}

void stack_slot_use(u32 slot)
{
	struct {
		u64 base;
		u32 flags, unused;
		u64 size;
	} stack = {stack_slot_at(slot), 0, 0, STACK_SLOT_SIZE};
	native_call(__NR_sigaltstack, (u64)&stack, 0, 0, 0, 0, 0);
	gate_stack_use(slot);
}

/* --- zygote --- */

static void unmap_the_rest(void)
{
	extern const char monitor_image_end[];
	u64 low_end = ZVM_MONITOR_BASE, high_start = page_up((u64)monitor_image_end), top = 0x7ffffffff000ull;
	native_unmap(0, low_end);
	if (native_unmap(high_start, top - high_start) == 0)
		return;
	/* Something up there is sealed (vDSO pages on kernels with sealed system mappings): leave that, take everything
	 * around it. */
	for (u64 at = high_start, step = 1ull << 40; at < top;) {
		u64 size = min_u64(step, top - at);
		if (native_unmap(at, size) == 0) {
			at += size;
			step = 1ull << 40;
		} else if (step > PAGE_SIZE) {
			step /= 2;
		} else {
			at += PAGE_SIZE;
		}
	}
}

/* execve would: the launcher's thread pointer is a random address that a guest could read. */
static void clear_segment_bases(void)
{
	native_call(__NR_arch_prctl, ARCH_SET_FS, 0, 0, 0, 0, 0);
	native_call(__NR_arch_prctl, ARCH_SET_GS, 0, 0, 0, 0, 0);
}

static void install_filter(const struct zvm_filter_instruction *instructions, u32 count)
{
	struct {
		u16 length, unused[3];
		u64 instructions;
	} program = {(u16)count, {0}, (u64)instructions};
	if (native_call(__NR_seccomp, 1 /* SECCOMP_SET_MODE_FILTER */, 0, (u64)&program, 0, 0, 0) < 0)
		native_exit(120);
}

/* To be said anew after each fork, which forgets it. A launcher that died before cannot be followed any more. */
void follow_launcher(void)
{
	native_call(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0);
	if (native_call(__NR_getppid, 0, 0, 0, 0, 0, 0) != launcher)
		native_exit(124);
}

static NORETURN void box_main(const struct zvm_fork_order *order, int socket, int arena_fd);

static s32 fork_box(const struct zvm_fork_order *order, const int fds[2])
{
	s64 pid = native_call(__NR_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		native_close(handoff.control);
		box_main(order, fds[0], fds[1]);
	}
	return (s32)pid;
}

static void answer_order(const struct zvm_fork_done *done)
{
	native_write(handoff.control, (u64)done, sizeof *done);
}

void zygote_main(const struct zvm_handoff *given)
{
	memcpy(&handoff, given, sizeof handoff);
	launcher = native_call(__NR_getppid, 0, 0, 0, 0, 0, 0);
	unmap_the_rest();
	clear_segment_bases();
	stack_slot_use(0);
	trap_install();
	state_learn();
	install_filter(handoff.redirect, handoff.redirect_count);
	install_filter(handoff.wall, handoff.wall_count);
	for (;;) {
		struct zvm_fork_order order;
		int fds[2];
		u32 fd_count;
		s64 got = host_receive(handoff.control, &order, sizeof order, fds, 2, &fd_count);
		if (got != sizeof order || order.magic != ZVM_ORDER_MAGIC || fd_count != 2)
			native_exit(got == 0 ? 0 : 121);
		struct zvm_fork_done done = {order.box, fork_box(&order, fds)};
		native_close(fds[0]);
		native_close(fds[1]);
		answer_order(&done);
	}
}

/* --- box --- */

static void set_limit(u32 resource, u64 value)
{
	u64 limit[2] = {value, value};
	native_call(__NR_prlimit64, 0, resource, (u64)limit, 0, 0, 0);
}

static void first_process(void)
{
	struct process *p = &arena->processes[0];
	struct task *t = &arena->tasks[0];
	arena->task_count = arena->process_count = 1;
	arena->next_pid = 2;
	p->in_use = 1;
	p->pid = p->group = p->session = 1;
	p->umask = 022;
	for (u32 i = 0; i < DESCRIPTORS_MAX; i++)
		p->descriptors[i].description = NO_INDEX;
	format(p->directory, sizeof p->directory, "/home/zvm");
	limits_start(p);
	p->dumpable = 1;
	p->timer_slack = 50000;
	t->state = TASK_RUNNABLE;
	t->tid = 1;
	t->deadline = NEVER;
}

void touch_ahead(const void *at, size_t size)
{
	for (u64 page = page_down((u64)at); page < (u64)at + size; page += PAGE_SIZE) {
		volatile u8 *byte = (volatile u8 *)page;
		*byte = *byte;
	}
}

/*
 * While it waits in the pool: all of a run that needs no order, and the pages that every run writes to, so that their
 * faults (some 1.2 us each) are not on its way. The memfd holds no more than ZVM_ARENA_FIRST yet.
 */
static void prepare_arena(const struct zvm_fork_order *order, int socket, int arena_fd)
{
	const size_t first_areas = 64 * sizeof(struct area), first_data = 24 * PAGE_SIZE, packet_pages = 4 * PAGE_SIZE;
	const struct process *p = &arena->processes[0];
	arena->magic = ZVM_ORDER_MAGIC;
	arena->box = order->box;
	arena->socket = socket;
	arena->arena_fd = arena_fd;
	arena->clock_ns = EPOCH_NS;
	arena->next_timer = NEVER;
	arena->memory_limit = UINT64_MAX;
	arena_start(ZVM_ARENA_FIRST);
	first_process();
	files_start();
	ask_warm();
	touch_ahead(p->areas, first_areas);
	touch_ahead(&p->charged, sizeof *p - offsetof(struct process, charged));
	touch_ahead(page_at(arena_next_page()), first_data);
	touch_ahead(packet, packet_pages);
	touch_ahead((const void *)(stack_slot_at(1) - STACK_SLOT_SIZE / 2), STACK_SLOT_SIZE / 2);
}

static void start_arena(const struct zvm_run_order *run, const int fds[3])
{
	arena->size = run->arena_size;
	arena->template = run->flags & ZVM_RUN_TEMPLATE;
	arena->input_fd = arena->template ? -1 : fds[0];
	arena->output_fd[0] = arena->template ? -1 : fds[1];
	arena->output_fd[1] = arena->template ? -1 : fds[2];
	arena->input_size = run->input_size;
	arena->output_limit = run->output_limit;
	arena->memory_limit = run->memory_limit;
	arena->trace = run->flags & ZVM_RUN_TRACE;
	random_seed(run->seed);
	memcpy(arena->own_seed, run->own_seed, sizeof arena->own_seed);
	arena_extend(run->arena_size);
	files_connect();
}

/* stdin, stdout and stderr, unless it is for a template, which has none. */
static u32 stream_count(const struct zvm_run_order *run)
{
	return run->flags & ZVM_RUN_TEMPLATE ? 0 : 3;
}

/* The order is the host's, but checked all the same: a slip here should not become a puzzle. */
static bool run_order_valid(const struct zvm_run_order *run, s64 got, u32 fd_count)
{
	return got >= (s64)sizeof *run && run->magic == ZVM_ORDER_MAGIC && run->size == got &&
	       run->strings_size == (u64)got - sizeof *run &&
	       fd_count == stream_count(run) + 1 + run->has_interpreter && run->strings_size && packet[got - 1] == 0;
}

static NORETURN void box_main(const struct zvm_fork_order *order, int socket, int arena_fd)
{
	int fds[5];
	u32 fd_count;
	follow_launcher();
	if (native_map(ZVM_ARENA_BASE, order->arena_size, PROT_READ | PROT_WRITE, MAP_SHARED, arena_fd, 0) < 0)
		native_exit(122);
	prepare_arena(order, socket, arena_fd);
	s64 got = host_receive(socket, packet, sizeof packet, fds, 5, &fd_count);
	const struct zvm_run_order *run = (const void *)packet;
	if (!run_order_valid(run, got, fd_count))
		native_exit(got == 0 ? 0 : 123);
	set_limit(RLIMIT_CPU, run->cpu_seconds);
	set_limit(RLIMIT_DATA, run->data_limit);
	set_limit(RLIMIT_FSIZE, run->output_limit);
	start_arena(run, fds);
	const int *files = fds + stream_count(run);

	const char *strings = (const char *)(run + 1);
	size_t executable_size = strlen(strings) + 1;
	struct program_order program = {
	        .program = &run->program,
	        .interpreter = run->has_interpreter ? &run->interpreter : NULL,
	        .program_fd = files[0],
	        .interpreter_fd = run->has_interpreter ? files[1] : -1,
	        .name = strings,
	        .executable = strings,
	        .strings = strings + executable_size,
	        .strings_size = run->strings_size - executable_size,
	        .argument_count = run->argument_count,
	        .environment_count = run->environment_count,
	};
	u64 instruction, stack;
	int r = program_load(&program, &instruction, &stack);
	if (r == -EPERM)
		host_failed("the host does not let the store's files be executed (is it mounted noexec?)", r);
	if (r)
		run_end(ZVM_REPORT_START_FAILED, -r, "the program could not be loaded");
	native_close(files[0]);
	if (run->has_interpreter)
		native_close(files[1]);
	guest_enter(instruction, stack, handoff.host_features & 1);
}

/* --- the end --- */

void run_end(u32 end, int status, const char *message)
{
	if (end != ZVM_REPORT_HOST_FAILED && end != ZVM_REPORT_START_FAILED)
		runs_part();
	struct zvm_report report = {.end = end,
	                            .status = status,
	                            .system_calls = arena->calls,
	                            .virtual_ns = arena->clock_ns - EPOCH_NS,
	                            .peak_memory = arena->memory_peak,
	                            .bytes_read = arena->bytes_read,
	                            .bytes_written = arena->bytes_written,
	                            .remarks = arena->remarks,
	                            .refused_count = arena->refused_count};
	memcpy(report.calls_by_number, arena->calls_by_number, sizeof report.calls_by_number);
	memcpy(report.refused, arena->refused, sizeof report.refused);
	memcpy(report.refused_detail, arena->refused_detail, sizeof report.refused_detail);
	if (end == ZVM_REPORT_SIGNAL && arena->fault_name) {
		report.fault_offset = arena->fault_offset;
		format(report.fault_file, sizeof report.fault_file, "%s", string_at(arena->fault_name));
	}
	if (message)
		format(report.message, sizeof report.message, "%s", message);
	host_send(ZVM_ASK_KIND_REPORT, 0, &report, sizeof report);
	native_exit(0);
}

void host_failed(const char *what, s64 error)
{
	run_end(ZVM_REPORT_HOST_FAILED, (int)-error, what);
}
