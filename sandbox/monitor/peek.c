/*
 * Looking into the memory of another process of the box, for /proc. Nobody but a process itself can read its memory,
 * and all but the running one wait for the token. So the token is lent: who gets it while something is asked of him
 * copies that into the arena and gives it back, and none of his tasks has run.
 */
#include "internal.h"

/* Where a process lives: with its parent after vfork, until exec. NO_INDEX: nowhere any more. */
static u32 home_of(const struct process *p)
{
	for (u32 i = 0; i < arena->task_count; i++)
		if (task_lives(i) && &arena->processes[arena->tasks[i].process] == p)
			return arena->tasks[i].host;
	return NO_INDEX;
}

int memory_peek(const struct process *p, u64 from, void *to, u64 n)
{
	u32 home = home_of(p), host = task_self()->host;
	if (home == NO_INDEX)
		return -ESRCH;
	if (home == host)
		return guest_read(to, from, n);
	arena->peek = (struct peek){home + 1, host, from, (u64)to, n, 0};
	token_hand(home);
	token_take(host);
	return arena->peek.result;
}

bool peek_answer(u32 process)
{
	struct peek *peek = &arena->peek;
	if (peek->home != process + 1)
		return false;
	peek->home = 0;
	peek->result = guest_read((void *)peek->to, peek->from, peek->size);
	token_hand(peek->reader);
	return true;
}
