/* The names of system calls, and what a box does about each: what the monitor was built from. */
#include <stddef.h>
#include <stdio.h>
#include <zvm/box.h>

#define EMULATED "emulated"
#define BROKERED "brokered"
#define PASSED "passed"
#define REFUSED "refused"
#define ABSENT "absent"

static const struct {
	const char *name, *kind;
} calls[] = {
#define CALL(number, name, handler, kind, why) [number] = {#name, kind},
#include "monitor/calls.def"
#undef CALL
};

static bool is_known(unsigned number)
{
	return number < sizeof calls / sizeof calls[0] && calls[number].name;
}

const char *zvm_call_kind(unsigned number)
{
	return is_known(number) ? calls[number].kind : REFUSED;
}

const char *zvm_call_name(unsigned number, char room[32])
{
	if (is_known(number))
		return calls[number].name;
	snprintf(room, 32, "syscall %u", number);
	return room;
}
