/*
 * All the chance there is in a box: ChaCha20 (RFC 8439's block function) keyed by the action. getrandom, /dev/urandom
 * and AT_RANDOM draw from the one stream in the order the guest asks.
 *
 * What a program draws for its own ends shall differ from input to input, so it is where runs part (template.c). What
 * its libraries draw as they start must not be that, or nothing would be left that runs have in common: the stack
 * protector's AT_RANDOM, the key of malloc's thread cache (8 bytes), a seed for hash tables (Python: 24 bytes, Perl:
 * twice 4 of /dev/urandom). They ask for little, and no more often than that.
 */
#include "internal.h"

static u32 rotate(u32 x, int n)
{
	return (x << n) | (x >> (32 - n));
}

static void quarter(u32 *x, int a, int b, int c, int d)
{
	x[a] += x[b];
	x[d] = rotate(x[d] ^ x[a], 16);
	x[c] += x[d];
	x[b] = rotate(x[b] ^ x[c], 12);
	x[a] += x[b];
	x[d] = rotate(x[d] ^ x[a], 8);
	x[c] += x[d];
	x[b] = rotate(x[b] ^ x[c], 7);
}

static void chacha_block(const u32 key[8], u64 counter, u32 out[16])
{
	u32 start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
	memcpy(start + 4, key, 32);
	start[12] = (u32)counter;
	start[13] = (u32)(counter >> 32);
	memcpy(out, start, sizeof start);
	for (int i = 0; i < 10; i++) {
		quarter(out, 0, 4, 8, 12);
		quarter(out, 1, 5, 9, 13);
		quarter(out, 2, 6, 10, 14);
		quarter(out, 3, 7, 11, 15);
		quarter(out, 0, 5, 10, 15);
		quarter(out, 1, 6, 11, 12);
		quarter(out, 2, 7, 8, 13);
		quarter(out, 3, 4, 9, 14);
	}
	for (int i = 0; i < 16; i++)
		out[i] += start[i];
}

/* arena->random: four words of key, then how many bytes of the stream are used. */
void random_seed(const unsigned char seed[32])
{
	memcpy(arena->random, seed, 32);
	arena->random[4] = 0;
}

void random_bytes(void *to, size_t n)
{
	u8 *at = to;
	while (n) {
		u32 block[16];
		u64 used = arena->random[4];
		chacha_block((const u32 *)arena->random, used / 64, block);
		size_t step = min_u64(64 - used % 64, n);
		memcpy(at, (u8 *)block + used % 64, step);
		arena->random[4] += step;
		at += step;
		n -= step;
	}
}

void random_for_start(u64 n)
{
	static const u8 usual[] = {[4] = 2, [8] = 1, [24] = 1}; /* how often so many bytes */
	struct process *p = process_self();
	_Static_assert(sizeof usual == sizeof p->drawn, "one counter each");
	if (n >= sizeof usual || p->drawn[n] >= usual[n])
		runs_part();
	else
		p->drawn[n]++;
}

#define NOT_BLOCKING 1u /* GRND_NONBLOCK */

s64 call_getrandom(const u64 *a)
{
	u64 to = a[0], n = min_u64(a[1], 32 << 20);
	if (a[2] & ~7ull)
		return -EINVAL;
	if (a[2] & NOT_BLOCKING)
		random_for_start(n);
	else
		runs_part();
	for (u64 done = 0; done < n;) {
		u8 some[256];
		size_t step = min_u64(sizeof some, n - done);
		random_bytes(some, step);
		if (guest_write(to + done, some, step))
			return done ? (s64)done : -EFAULT;
		done += step;
	}
	return (s64)n;
}
