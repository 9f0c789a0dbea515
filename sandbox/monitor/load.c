/*
 * Putting a program into the address space, as execve would: segments where the plan says, stack, arguments,
 * auxiliary vector. The plan was made and checked by the host (plan.c), so nothing of the ELF file is parsed here.
 * Every address follows from the plan and the fixed layout alone.
 */
#include "internal.h"

/* Constant values of the auxiliary vector: the fixed machine of trap.c, no vDSO. */
#define HARDWARE_CAPABILITIES 0x078bfbffull
#define MINIMUM_SIGNAL_STACK 5120 /* frame, siginfo and STATE_ROOM */

struct stack_builder {
	u64 at; /* grows down */
	bool failed;
};

static u64 push_bytes(struct stack_builder *b, const void *data, size_t n)
{
	b->at -= n;
	if (guest_write(b->at, data, n))
		b->failed = true;
	return b->at;
}

/* The guest's own limit has been counted by now: what is left is the host's shortage. */
static int map(u64 at, u64 size, int protection, int flags, int fd, u64 offset)
{
	s64 r = native_map(at, size, protection, flags, fd, offset);
	if (r == -ENOMEM || r == -EAGAIN)
		host_failed("the host has no memory to map", r);
	return r < 0 ? (int)r : 0;
}

/* The file's part of a segment, and the zeros behind it. */
static int map_segment(const struct zvm_segment *segment, u64 bias, int fd, u32 name, u32 image_flags)
{
	u64 start = page_down(bias + segment->address);
	u64 file_end = bias + segment->address + segment->file_size;
	u64 memory_end = bias + segment->address + segment->memory_size;
	u64 mapped_end = segment->file_size ? page_up(file_end) : start;
	int protection = (int)segment->protection;
	u32 flags = segment->protection & PROT_WRITE ? AREA_CHARGED : 0;
	if ((protection & PROT_EXEC) && (flags || segment->memory_size > segment->file_size))
		arena->remarks |= ZVM_REMARK_NOT_VETTED; /* code may appear there of which the file tells nothing */
	u64 end = page_up(memory_end);
	if (end == start)
		return 0;
	if (flags && memory_charge(end - start))
		return -ENOMEM;
	if (mapped_end > start) {
		int r = map(start, mapped_end - start, protection, MAP_PRIVATE | MAP_NORESERVE, fd,
		            page_down(segment->file_offset));
		if (r)
			return r;
		memory_add(start, mapped_end, segment->protection, flags | image_flags, page_down(segment->file_offset),
		           1, name, NO_INDEX);
	}
	/*
	 * The page that holds the end of the file part holds the first zeros as well, up to its own end (ld.so
	 * allocates from what is left there); a read-only one stays as it is, as under Linux.
	 */
	if (memory_end > file_end && mapped_end > file_end && (protection & PROT_WRITE) &&
	    guest_zero(file_end, mapped_end - file_end))
		return -EFAULT;
	if (end > mapped_end) {
		int r = map(mapped_end, end - mapped_end, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		            0);
		if (r)
			return r;
		memory_add(mapped_end, end, segment->protection, flags, 0, 0, NO_INDEX, NO_INDEX);
	}
	return 0;
}

static int map_image(const struct zvm_image *image, u64 bias, int fd, const char *path, u64 *end)
{
	u32 name = string_keep(path);
	*end = 0;
	if (image->unvetted)
		arena->remarks |= ZVM_REMARK_NOT_VETTED;
	if (!image->segment_count || image->segment_count > ZVM_SEGMENTS_MAX ||
	    !guest_range(bias + image->low, image->high - image->low))
		return -ENOEXEC;
	jumps_give_way(bias + image->low, bias + image->high);
	for (u32 i = 0; i < image->segment_count; i++) {
		const struct zvm_segment *s = &image->segments[i];
		int r = map_segment(s, bias, fd, name, image->prepared ? AREA_PREPARED : 0);
		if (r == 0 && (s->protection & PROT_EXEC))
			r = jumps_map(page_down(bias + s->address), page_down(s->file_offset), &image->jumps, fd, 0);
		if (r)
			return r;
		*end = bias + image->segments[i].address + image->segments[i].memory_size;
	}
	return 0;
}

static void auxv_add(struct process *p, u64 type, u64 value)
{
	p->auxv[p->auxv_count++] = type;
	p->auxv[p->auxv_count++] = value;
}

static void build_auxv(struct process *p, const struct zvm_image *image, u64 random_at, u64 platform_at,
                       u64 executable_at)
{
	p->auxv_count = 0;
	auxv_add(p, AT_HWCAP, HARDWARE_CAPABILITIES);
	auxv_add(p, AT_PAGESZ, PAGE_SIZE);
	auxv_add(p, AT_CLKTCK, 100);
	auxv_add(p, AT_PHDR, p->program_headers);
	auxv_add(p, AT_PHENT, 56);
	auxv_add(p, AT_PHNUM, image->program_header_count);
	auxv_add(p, AT_BASE, p->interpreter_base);
	auxv_add(p, AT_FLAGS, 0);
	auxv_add(p, AT_ENTRY, p->entry);
	auxv_add(p, AT_UID, 1000);
	auxv_add(p, AT_EUID, 1000);
	auxv_add(p, AT_GID, 1000);
	auxv_add(p, AT_EGID, 1000);
	auxv_add(p, AT_SECURE, 0);
	auxv_add(p, AT_RANDOM, random_at);
	auxv_add(p, AT_HWCAP2, 0);
	auxv_add(p, AT_MINSIGSTKSZ, MINIMUM_SIGNAL_STACK);
	auxv_add(p, AT_EXECFN, executable_at);
	auxv_add(p, AT_PLATFORM, platform_at);
	auxv_add(p, AT_NULL, 0);
}

/*
 * From the top: a null word, the executable's name, the strings, then (aligned) platform and random bytes, auxv,
 * environment pointers, argument pointers, argc.
 */
static int build_stack(const struct program_order *order, u64 *stack)
{
	struct process *p = process_self();
	struct stack_builder b = {.at = STACK_TOP - 8};
	u8 random[16];
	u64 executable_at = push_bytes(&b, order->name, strlen(order->name) + 1);
	u64 strings_at = push_bytes(&b, order->strings, order->strings_size);
	u64 platform_at = push_bytes(&b, "x86_64", 7);
	random_bytes(random, sizeof random);
	b.at &= ~15ull;
	u64 random_at = push_bytes(&b, random, sizeof random);
	build_auxv(p, order->program, random_at, platform_at, executable_at);
	u64 words = 1 + order->argument_count + 1 + order->environment_count + 1 + p->auxv_count;
	u64 at = (b.at - words * 8) & ~15ull;
	if (b.failed || at < p->stack_low)
		return -E2BIG;
	u64 argc = order->argument_count, zero = 0, word = at, string = strings_at;
	bool failed = GUEST_PUT(word, argc);
	word += 8;
	p->arguments_start = string;
	for (u32 i = 0; i < order->argument_count + order->environment_count; i++) {
		if (i == order->argument_count) {
			failed |= GUEST_PUT(word, zero) != 0;
			word += 8;
			p->arguments_end = p->environment_start = string;
		}
		failed |= GUEST_PUT(word, string) != 0;
		word += 8;
		string += strlen(order->strings + (string - strings_at)) + 1;
	}
	if (!order->environment_count) {
		failed |= GUEST_PUT(word, zero) != 0;
		word += 8;
		p->arguments_end = p->environment_start = string;
	}
	p->environment_end = string;
	failed |= GUEST_PUT(word, zero) != 0;
	word += 8;
	failed |= guest_write(word, p->auxv, p->auxv_count * 8) != 0;
	*stack = at;
	return failed ? -EFAULT : 0;
}

static void name_process(struct process *p, const char *name, const char *executable)
{
	const char *slash = strrchr(name, '/');
	format(p->name, sizeof p->name, "%s", slash ? slash + 1 : name);
	format(task_self()->name, sizeof task_self()->name, "%s", p->name);
	format(p->executable, sizeof p->executable, "%s", executable);
}

int program_load(const struct program_order *order, u64 *instruction, u64 *stack)
{
	struct process *p = process_self();
	const struct zvm_image *image = order->program;
	u64 bias = image->relocatable ? PROGRAM_BASE - image->low : 0, end;
	int r = map_image(image, bias, order->program_fd, order->executable, &end);
	if (r)
		return r;
	p->break_start = p->break_end = page_up(end);
	p->program_headers = image->program_headers ? bias + image->program_headers : 0;
	p->program_header_count = image->program_header_count;
	p->entry = bias + image->entry;
	*instruction = p->entry;
	p->interpreter_base = 0;
	if (order->interpreter) {
		u64 at = memory_place(page_up(order->interpreter->high - order->interpreter->low));
		u64 interpreter_bias = order->interpreter->relocatable ? at - order->interpreter->low : 0;
		if (!at)
			return -ENOMEM;
		r = map_image(order->interpreter, interpreter_bias, order->interpreter_fd,
		              "/lib64/ld-linux-x86-64.so.2", &end);
		if (r)
			return r;
		p->interpreter_base = interpreter_bias + order->interpreter->low;
		*instruction = interpreter_bias + order->interpreter->entry;
	}
	r = stack_map(image->executable_stack, order->strings_size + strlen(order->name) +
	                                               8 * (order->argument_count + order->environment_count));
	if (r)
		return r;
	name_process(p, order->name, order->executable);
	return build_stack(order, stack);
}
