/*
 * Copies between the monitor and guest memory. A guest pointer may be anything: outside the guest's range it is
 * refused here, inside it may still fault, which trap.c turns into -EFAULT (entry.S: guest_copy).
 */
#include "monitor.h"
#include "internal.h"

bool guest_range(u64 address, u64 size)
{
	return address <= ZVM_GUEST_END && size <= ZVM_GUEST_END - address;
}

int guest_read(void *to, u64 from, size_t n)
{
	if (!guest_range(from, n))
		return -EFAULT;
	return guest_copy(to, (const void *)from, n);
}

int guest_write(u64 to, const void *from, size_t n)
{
	if (!guest_range(to, n))
		return -EFAULT;
	return guest_copy((void *)to, from, n);
}

int guest_zero(u64 to, size_t n)
{
	if (!guest_range(to, n))
		return -EFAULT;
	return guest_fill((void *)to, n);
}

/* Copied up to the end of the page each time: a string may end right before memory that is not there. */
s64 guest_string(char *to, u64 from, size_t room)
{
	size_t length = 0;
	while (length < room) {
		size_t step = min_u64(PAGE_SIZE - (from + length) % PAGE_SIZE, room - length);
		step = min_u64(step, 256);
		if (guest_read(to + length, from + length, step))
			return -EFAULT;
		for (size_t i = 0; i < step; i++)
			if (!to[length + i])
				return (s64)(length + i);
		length += step;
	}
	return -ENAMETOOLONG;
}
