/* fcntl and ioctl: what can be asked of a descriptor. There is no terminal, so whatever is for terminals answers
 * ENOTTY. */
#include "files.h"

/* As the kernel's SETFL_MASK. */
#define STATUS_FLAGS (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME)

static s64 fcntl_seals(struct description *d, u32 command, u64 argument)
{
	if (d->kind != KIND_NODE)
		return -EINVAL;
	struct node *node = node_at(d->node);
	if (command == F_GET_SEALS)
		return node->seals;
	if ((d->flags & ACCESS_MODE) == O_RDONLY)
		return -EPERM;
	if (argument & ~(u64)(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EINVAL;
	if (node->seals & F_SEAL_SEAL)
		return -EPERM;
	if ((argument & F_SEAL_WRITE) && !(node->seals & F_SEAL_WRITE) && node_mapped(d->node, AREA_SHARED, PROT_WRITE))
		return -EBUSY;
	node->seals |= (u32)argument;
	return 0;
}

static s64 duplicate(struct description *d, u32 index, u64 lowest, bool close_on_exec)
{
	if (lowest >= process_self()->limits[RLIMIT_NOFILE][0])
		return -EINVAL;
	d->references++;
	return descriptor_put(index, close_on_exec, (u32)lowest);
}

/* A pipe's room is fixed: less may be asked for, more is what an unprivileged user may not have. */
static s64 pipe_size(const struct description *d, u64 wanted)
{
	if (d->kind != KIND_PIPE && d->kind != KIND_INPUT && d->kind != KIND_OUTPUT)
		return -EBADF;
	return wanted > RING_SIZE ? -EPERM : (s64)RING_SIZE;
}

s64 call_fcntl(const u64 *a)
{
	u32 index, command = (u32)a[1];
	struct description *d = descriptor_get(a[0], &index);
	if (!d)
		return -EBADF;
	struct descriptor *slot = &process_self()->descriptors[(u32)a[0]];
	switch (command) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC: return duplicate(d, index, a[2], command == F_DUPFD_CLOEXEC);
	case F_GETFD: return slot->close_on_exec != 0;
	case F_SETFD: slot->close_on_exec = a[2] & 1; return 0;
	case F_GETFL: return d->flags;
	}
	if (d->kind == KIND_PATH)
		return -EBADF;
	switch (command) {
	case F_SETFL: d->flags = (d->flags & ~(u32)STATUS_FLAGS) | ((u32)a[2] & STATUS_FLAGS); return 0;
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
	case 36: /* F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW */
	case 37:
	case 38: return lock_record(a[0], command, a[2]);
	case F_GETOWN:
	case F_GETSIG: return 0;
	case F_SETOWN: /* for SIGIO, which nothing here raises: O_ASYNC cannot be set */ return 0;
	case F_GETPIPE_SZ: return pipe_size(d, 0);
	case F_SETPIPE_SZ: return pipe_size(d, (u32)a[2]);
	case F_GET_SEALS:
	case F_ADD_SEALS: return fcntl_seals(d, command, a[2]);
	default: return -EINVAL;
	}
}

static s64 bytes_to_read(const struct description *d, u64 address)
{
	u64 n;
	s32 number;
	s64 unread = d->kind == KIND_SOCKET ? socket_unread(d) : 0;
	if (unread < 0)
		return unread;
	if (d->kind == KIND_INPUT)
		runs_part();
	if (d->kind == KIND_SOCKET)
		n = (u64)unread;
	else if (d->kind == KIND_PIPE)
		n = d->ring_in == NO_INDEX ? 0 : ring_used(d->ring_in);
	else if (d->kind == KIND_INPUT)
		n = arena->input_size - min_u64(d->offset, arena->input_size);
	else if (d->kind == KIND_OUTPUT)
		n = 0;
	else if (d->kind == KIND_HOST || d->kind == KIND_NODE)
		n = description_size(d) - d->offset;
	else
		return -ENOTTY;
	number = (s32)n;
	return GUEST_PUT(address, number);
}

s64 call_ioctl(const u64 *a)
{
	struct description *d = descriptor_open(a[0]);
	s32 number;
	if (!d)
		return -EBADF;
	switch ((u32)a[1]) {
	case 0x541b: /* FIONREAD */ return bytes_to_read(d, a[2]);
	case 0x5421: /* FIONBIO */
		if (GUEST_GET(number, a[2]))
			return -EFAULT;
		d->flags = number ? d->flags | O_NONBLOCK : d->flags & ~(u32)O_NONBLOCK;
		return 0;
	case 0x5451: /* FIOCLEX */
	case 0x5450: /* FIONCLEX */
		process_self()->descriptors[(u32)a[0]].close_on_exec = (u32)a[1] == 0x5451;
		return 0;
	default: return -ENOTTY;
	}
}
