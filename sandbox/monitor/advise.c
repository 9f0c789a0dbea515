/*
 * What may be said and asked of memory without changing where it is: advice, residency, locking, keys. Whether a page
 * is in memory depends on the host, so the answers are constant.
 */
#include "internal.h"

/*
 * MADV_FREE would let the host decide when pages turn to zeros; dropping them at once is one of the outcomes it allows,
 * and the same each time.
 */
static bool is_advice(u32 advice)
{
	return advice <= MADV_DONTNEED || advice == MADV_FREE || (advice >= MADV_DONTFORK && advice <= MADV_DODUMP) ||
	       (advice >= MADV_WIPEONFORK && advice <= MADV_POPULATE_WRITE);
}

/*
 * Text that is only read is what its image says, and so it stays: dropping its pages would change nothing but to bring
 * back jumps that have been undone (jump.c).
 */
static s64 drop_pages(u64 start, u64 end)
{
	s64 r = 0;
	for (u64 next; start < end && r == 0; start = next) {
		const struct area *area = memory_find(memory_self(), start);
		next = min_u64(area->end, end);
		if (!(area->flags & AREA_PREPARED) || (area->flags & AREA_CHARGED))
			r = native_advise(start, next - start, MADV_DONTNEED);
	}
	return r;
}

s64 call_madvise(const u64 *a)
{
	u64 size = page_up(a[1]);
	u32 advice = (u32)a[2];
	if (a[0] % PAGE_SIZE || !is_advice(advice) || (a[1] && !size))
		return -EINVAL;
	if (advice == MADV_DONTFORK || advice == MADV_WIPEONFORK)
		return refuse("madvise(fork)", EINVAL);
	if (!size)
		return 0;
	if (!memory_range_valid(a[0], size) || !memory_range_mapped(memory_self(), a[0], a[0] + size))
		return -ENOMEM;
	if (advice == MADV_DONTNEED || advice == MADV_FREE)
		return drop_pages(a[0], a[0] + size);
	return 0;
}

s64 call_mincore(const u64 *a)
{
	u64 size = page_up(a[1]);
	u8 ones[256];
	if (a[0] % PAGE_SIZE)
		return -EINVAL;
	if (!memory_range_valid(a[0], size) || !memory_range_mapped(memory_self(), a[0], a[0] + size))
		return -ENOMEM;
	memset(ones, 1, sizeof ones);
	for (u64 done = 0; done < size / PAGE_SIZE; done += sizeof ones)
		if (guest_write(a[2] + done, ones, min_u64(sizeof ones, size / PAGE_SIZE - done)))
			return -EFAULT;
	return 0;
}

static s64 mapped_or_nomem(const u64 *a)
{
	u64 start = page_down(a[0]), size = page_up(a[1] + (a[0] - start));
	if (!a[1])
		return 0;
	return memory_range_valid(start, size) && memory_range_mapped(memory_self(), start, start + size) ? 0 : -ENOMEM;
}

s64 call_msync(const u64 *a)
{
	if (a[0] % PAGE_SIZE || (a[2] & ~7ull) || (a[2] & 5) == 5)
		return -EINVAL;
	return mapped_or_nomem(a);
}

s64 call_mlock(const u64 *a)
{
	return mapped_or_nomem(a);
}

s64 call_mlock2(const u64 *a)
{
	return a[2] & ~1ull ? -EINVAL : mapped_or_nomem(a);
}

s64 call_munlock(const u64 *a)
{
	return mapped_or_nomem(a);
}

s64 call_mlockall(const u64 *a)
{
	return !a[0] || (a[0] & ~7ull) ? -EINVAL : 0;
}

s64 call_munlockall(const u64 *a)
{
	(void)a;
	return 0;
}

s64 call_pkey_mprotect(const u64 *a)
{
	return (s32)a[3] == -1 ? call_mprotect(a) : -EINVAL;
}

s64 call_pkey_alloc(const u64 *a)
{
	(void)a;
	return -ENOSPC; /* as on a processor without them */
}

s64 call_pkey_free(const u64 *a)
{
	(void)a;
	return -EINVAL;
}
