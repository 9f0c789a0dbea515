/*
 * Sockets that are only on their way in each other: each holds the next, and nobody will ever receive any of them. They
 * come to be when the last descriptor of a socket is closed that has been sent along, so it is then that all sockets
 * are looked at: who is held by a descriptor, or by something that is not known here (a message that waits for room),
 * and who can be received from those, stays. What is on its way to the others is dropped, and they go with it.
 */
#include "sockets.h"

/* Scratch: none of this waits. */
static u16 found[DESCRIPTIONS_MAX]; /* references that are accounted for */
static bool reached[DESCRIPTIONS_MAX];
static u16 work[DESCRIPTIONS_MAX];
static u32 work_count;

static void reach(u32 index)
{
	if (reached[index])
		return;
	reached[index] = true;
	work[work_count++] = (u16)index;
}

/* Whatever a socket gives to who has it. */
static void each_held(u32 index, void (*tell)(u32 description))
{
	const struct description *d = description_at(index);
	if (d->kind != KIND_SOCKET || !d->socket)
		return;
	for (u32 parcel = d->ring_in == NO_INDEX ? 0 : ring_at(d->ring_in)->parcels; parcel;) {
		const struct parcel *p = block_at(parcel);
		for (u32 i = 0; i < p->count; i++)
			tell(p->descriptions[i]);
		parcel = p->next;
	}
	const struct socket *s = socket_of(d);
	u32 end = s->first;
	for (u32 i = 0; i < s->queued; i++, end = socket_at(end)->next)
		tell(socket_at(end)->description);
}

static void account(u32 index)
{
	found[index]++;
}

static void account_all(void)
{
	memset(found, 0, sizeof found);
	for (u32 i = 0; i < files()->description_count; i++)
		each_held(i, account);
}

static void reach_all(void)
{
	memset(reached, 0, sizeof reached);
	work_count = 0;
	for (u32 i = 0; i < files()->description_count; i++)
		if (description_at(i)->kind != KIND_FREE && description_at(i)->references > found[i])
			reach(i);
	while (work_count)
		each_held(work[--work_count], reach);
}

void sockets_collect(void)
{
	if (!files()->rights_count || files()->dropping)
		return;
	account_all();
	reach_all();
	for (u32 i = 0; i < files()->description_count; i++) {
		const struct description *d = description_at(i);
		if (d->kind == KIND_SOCKET && !reached[i] && d->ring_in != NO_INDEX)
			parcels_drop(d->ring_in);
	}
	parcels_sweep();
}
