/* What a process is told of its address space. Trampolines (jump.c) are no part of that. */
#include "files.h"

/* The child of a vfork has none of its own. */
static const struct process *memory_of(const struct process *p)
{
	for (u32 i = 0; i < arena->task_count; i++)
		if (task_lives(i) && &arena->processes[arena->tasks[i].process] == p)
			return &arena->processes[arena->tasks[i].host];
	return p;
}

static void maps_line(const struct area *area, struct text *text)
{
	const char *name = "";
	if (area->name != NO_INDEX)
		name = string_at(area->name);
	else if (area->flags & AREA_STACK)
		name = "[stack]";
	else if (area->flags & AREA_HEAP)
		name = "[heap]";
	char line[128];
	int n = format(line, sizeof line, "%08lx-%08lx %c%c%c%c %08lx %s %lu ", area->start, area->end,
	               area->protection & PROT_READ ? 'r' : '-', area->protection & PROT_WRITE ? 'w' : '-',
	               area->protection & PROT_EXEC ? 'x' : '-', area->flags & AREA_SHARED ? 's' : 'p',
	               area->inode ? area->offset : 0,
	               area->flags & AREA_PRIVATE_FILE ? "00:14"
	               : area->inode                   ? "08:01"
	                                               : "00:00",
	               area->inode);
	text_add(text, "%-73s%s\n", n < 73 && !*name ? (line[n - 1] = 0, line) : line, name);
}

void memory_maps_text(const struct process *process, struct text *text, bool smaps)
{
	const struct process *p = memory_of(process);
	for (u32 i = 0; i < p->area_count; i++) {
		const struct area *area = &p->areas[i];
		maps_line(area, text);
		if (smaps)
			text_add(text, "Size:           %8lu kB\nRss:            %8lu kB\n",
			         (area->end - area->start) / 1024, (area->end - area->start) / 1024);
	}
}

u64 memory_mapped_bytes(const struct process *process)
{
	const struct process *p = memory_of(process);
	u64 sum = 0;
	for (u32 i = 0; i < p->area_count; i++)
		sum += p->areas[i].end - p->areas[i].start;
	return sum;
}
