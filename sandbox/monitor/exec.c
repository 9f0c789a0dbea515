/* execve: not yet for the guest. */
#include "internal.h"
s64 call_execve(const u64 *a)
{
	(void)a;
	return refuse("execve", ENOSYS);
}
s64 call_execveat(const u64 *a)
{
	(void)a;
	return refuse("execveat", ENOSYS);
}
