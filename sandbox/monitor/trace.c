/* Names of system calls, and the lines of `zvm run --trace`. */
#include "internal.h"

#define CALL(number, name, handler, kind, why) [number] = #name,
static const char *const call_names[ZVM_CALLS_MAX] = {
#include "calls.def"
};
#undef CALL

const char *call_name(u64 number)
{
	return number < ZVM_CALLS_MAX && call_names[number] ? call_names[number] : "(no such call)";
}

static void add_error(struct text *text, s64 result)
{
	if (result < 0 && result > -4096)
		text_add(text, " = -%lu", (u64)-result);
	else
		text_add(text, " = 0x%lx", (u64)result);
}

void trace_call(u64 number, const u64 *a, s64 result)
{
	char line[256];
	struct text text = {line, 0, sizeof line};
	u64 us = (arena->clock_ns - EPOCH_NS) / 1000;
	text_add(&text, "%d %lu.%06lu %s(0x%lx, 0x%lx, 0x%lx, 0x%lx, 0x%lx, 0x%lx)", task_self()->tid, us / 1000000,
	         us % 1000000, call_name(number), a[0], a[1], a[2], a[3], a[4], a[5]);
	add_error(&text, result);
	host_send(ZVM_ASK_KIND_TRACE, 0, line, (u32)text.size);
}
