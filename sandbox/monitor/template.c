/*
 * Parting: where a run begins to differ from others of the same program.
 *
 * Until a program looks at its input, all its runs with the same arguments are one: the same calls, the same answers,
 * the same chance (which is drawn from what they have in common). So the first call that needs the input, or shows
 * something to the world (an output, another process, the end), is where they part, and from there on chance follows
 * from the input as well. A run that was ordered as a template stops there. It is then what the zygote is to a box that
 * begins: for each order it forks one that goes on, with an arena that the launcher has copied.
 *
 * Nothing of any input has ever been in a template, and what goes on is as much alone as a box that has begun by
 * itself: all that it shares with its template are pages that are copied when written to.
 *
 * A template that dies, or cannot stop (pages of the arena are mapped by the guest, which no copy would be), is the
 * host's to do without.
 */
#include "files.h"
#include "internal.h"

/* Beyond, most of a mapping is likely to be room for more. */
#define WRITTEN_MAX (8ull << 20)
#define WRITTEN_ALL (16ull << 20)
#define READ_MAX (16ull << 20)

static bool can_stop(void)
{
	const struct process *p = &arena->processes[0];
	if (arena->process_count != 1)
		return false;
	for (u32 i = 0; i < p->area_count; i++)
		if (p->areas[i].node != NO_INDEX)
			return false;
	return true;
}

/* All that knows the run's own streams by a native descriptor. */
static void connect_streams(void)
{
	for (u32 i = 0; i < files()->description_count; i++) {
		struct description *d = description_at(i);
		if (d->kind == KIND_INPUT)
			d->native_fd = arena->input_fd;
		else if (d->kind == KIND_OUTPUT)
			d->native_fd = arena->output_fd[d->device];
	}
}

/* The part of a mapping that a run is likely to write to: of a stack what is in use. */
static u64 written_start(const struct area *a)
{
	const frame_t *frame = task_frame(current_task);
	u64 top = frame ? page_down(frame->uc_mcontext.rsp) : 0;
	if (a->flags & AREA_STACK)
		return top >= a->start && top < a->end ? top : a->end;
	return a->end - a->start <= WRITTEN_MAX ? a->start : a->end;
}

/*
 * While it waits: a fork has none of the pages that files are mapped to, and each page that it writes to has to be
 * copied first. That is a fault each, and some 6 us of a run; all at once it is less than one. Kernels before 5.14
 * cannot.
 */
static void populate(void)
{
	const struct process *p = &arena->processes[0];
	u64 left = WRITTEN_ALL;
	for (u32 i = 0; i < p->area_count; i++) {
		const struct area *a = &p->areas[i];
		u64 start = a->protection & PROT_WRITE ? written_start(a) : a->start, size = a->end - start;
		if (!(a->protection & PROT_READ) || a->flags & AREA_SHARED || !size)
			continue;
		if (!(a->protection & PROT_WRITE) && size <= READ_MAX)
			native_advise(start, size, MADV_POPULATE_READ);
		if (!(a->protection & PROT_WRITE) || size > left)
			continue;
		native_advise(start, size, MADV_POPULATE_WRITE);
		left -= size;
	}
}

/* And what it will write to in the arena. */
static void touch_arena(void)
{
	const struct process *p = &arena->processes[0];
	touch_ahead(arena, offsetof(arena_layout, tasks) + arena->task_count * sizeof(struct task));
	touch_ahead(p, offsetof(struct process, areas) + p->area_count * sizeof p->areas[0]);
	touch_ahead(&p->charged, sizeof *p - offsetof(struct process, charged));
	touch_ahead(files()->descriptions, (files()->description_count + 1) * sizeof files()->descriptions[0]);
	ask_warm();
}

/* In the fork: everything is as it was where the template stopped, but for what leads outside. */
static void become_copy(const struct zvm_fork_order *order, const int given[2])
{
	struct zvm_part_order part;
	int fds[3];
	u32 fd_count;
	int template_socket = arena->socket, template_arena = arena->arena_fd;
	follow_launcher();
	if (native_map(ZVM_ARENA_BASE, order->arena_size, PROT_READ | PROT_WRITE, MAP_SHARED, given[1], 0) < 0)
		native_exit(122);
	native_close(template_socket);
	native_close(template_arena);
	arena->box = order->box;
	arena->socket = given[0];
	arena->arena_fd = given[1];
	touch_arena();
	populate();
	s64 got = host_receive(arena->socket, &part, sizeof part, fds, 3, &fd_count);
	if (got != sizeof part || part.magic != ZVM_ORDER_MAGIC || fd_count != 3)
		native_exit(got == 0 ? 0 : 123);
	arena->input_fd = fds[0];
	arena->output_fd[0] = fds[1];
	arena->output_fd[1] = fds[2];
	arena->input_size = part.input_size;
	memcpy(arena->own_seed, part.own_seed, sizeof arena->own_seed);
	connect_streams();
}

/* Returns in each fork. */
static void stop_here(void)
{
	if (!can_stop())
		native_exit(126);
	host_send(ZVM_ASK_KIND_STOPPED, 0, NULL, 0);
	for (;;) {
		struct zvm_fork_order order;
		int fds[2];
		u32 fd_count;
		s64 got = host_receive(arena->socket, &order, sizeof order, fds, 2, &fd_count);
		if (got != sizeof order || order.magic != ZVM_ORDER_MAGIC || fd_count != 2)
			native_exit(got == 0 ? 0 : 121);
		s64 pid = native_call(__NR_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0, 0);
		if (pid == 0) {
			become_copy(&order, fds);
			return;
		}
		struct zvm_fork_done done = {order.box, (s32)pid};
		native_close(fds[0]);
		native_close(fds[1]);
		native_write(arena->socket, (u64)&done, sizeof done);
	}
}

void runs_part(void)
{
	if (arena->parted)
		return;
	arena->parted = true;
	if (arena->template)
		stop_here();
	random_seed(arena->own_seed);
}
