/*
 * Names of sockets: a path, at which there is a node of the private tree, or an abstract name, known to no tree. An
 * abstract name belongs to sockets of one type; at a node there is at most one socket, and none when it has been
 * closed.
 */
#include "sockets.h"

#define FAMILY_SIZE 2u
#define ADDRESS_MAX 110u /* struct sockaddr_un */
#define STORAGE_MAX 128u /* struct sockaddr_storage */

static bool is_abstract(const struct socket_name *name)
{
	return !name->bytes[FAMILY_SIZE];
}

s64 address_get(u64 from, u64 size, struct socket_name *ret)
{
	u16 family;
	memset(ret, 0, sizeof *ret);
	if ((u32)size > STORAGE_MAX)
		return -EINVAL;
	if (guest_read(ret->bytes, from, min_u64((u32)size, ADDRESS_MAX)))
		return -EFAULT;
	memcpy(&family, ret->bytes, sizeof family);
	ret->size = (u32)size;
	if (ret->size <= FAMILY_SIZE)
		return ret->size == FAMILY_SIZE && family == FAMILY_UNIX ? 0 : -EINVAL;
	if (ret->size > ADDRESS_MAX || family != FAMILY_UNIX)
		return -EINVAL;
	if (!is_abstract(ret))
		ret->size = FAMILY_SIZE + (u32)strlen((char *)ret->bytes + FAMILY_SIZE) + 1;
	return 0;
}

s64 address_put(u64 to, u64 size_at, const struct socket_name *name)
{
	static const struct socket_name none = {FAMILY_SIZE, {FAMILY_UNIX}};
	s32 room;
	if (!name->size)
		name = &none;
	if (GUEST_GET(room, size_at))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	if (guest_write(to, name->bytes, min_u64((u64)room, name->size)))
		return -EFAULT;
	return GUEST_PUT(size_at, name->size) ? -EFAULT : 0;
}

/* --- whose it is --- */

static bool same_name(const struct socket_name *a, const struct socket_name *b)
{
	return a->size == b->size && !memcmp(a->bytes, b->bytes, a->size);
}

static u32 find_abstract(const struct socket_name *name, u32 type)
{
	for (u32 i = 0; i < files()->socket_count; i++) {
		const struct socket *s = socket_at(i);
		if (s->state != SOCKET_FREE && s->bound && s->type == type && same_name(&s->name, name))
			return i;
	}
	return NO_INDEX;
}

static u32 find_at_node(u32 node)
{
	for (u32 i = 0; i < files()->socket_count; i++)
		if (socket_at(i)->state != SOCKET_FREE && socket_at(i)->bound && socket_at(i)->node == node)
			return i;
	return NO_INDEX;
}

/* A path of ours, from the current directory if it must be. A walk never waits, so one buffer will do. */
static int find_place(const struct socket_name *name, u32 flags, struct place *ret)
{
	static char path[ZVM_PATH_MAX + ADDRESS_MAX];
	const char *text = (const char *)name->bytes + FAMILY_SIZE;
	format(path, sizeof path, "%s%s%s", *text == '/' ? "" : process_self()->directory, *text == '/' ? "" : "/",
	       text);
	return place_find_path(path, flags, ret);
}

static int find_node(const struct socket_name *name, u32 *node)
{
	struct place place;
	int r = find_place(name, FOLLOW, &place);
	if (r)
		return r;
	if (place.kind == PLACE_HOST)
		return -EROFS;
	*node = place.kind == PLACE_NODE          ? place.node
	        : place.kind == PLACE_DESCRIPTION ? description_at(place.description)->node
	                                          : NO_INDEX;
	if (*node == NO_INDEX)
		return place.kind == PLACE_PROC ? -EACCES : -ECONNREFUSED;
	if (!node_may(node_at(*node), 2))
		return -EACCES;
	return (node_at(*node)->mode & S_IFMT) == S_IFSOCK ? 0 : -ECONNREFUSED;
}

s64 address_find(const struct socket_name *name, u32 type, u32 *socket)
{
	u32 node;
	if (name->size <= FAMILY_SIZE)
		return -EINVAL;
	if (is_abstract(name)) {
		*socket = find_abstract(name, type);
		return *socket == NO_INDEX ? -ECONNREFUSED : 0;
	}
	int r = find_node(name, &node);
	if (r)
		return r;
	*socket = find_at_node(node);
	if (*socket == NO_INDEX)
		return -ECONNREFUSED;
	return socket_at(*socket)->type == type ? 0 : -EPROTOTYPE;
}

/* --- bind --- */

static s64 bind_node(struct socket *s, const struct socket_name *name)
{
	struct place place;
	u32 node;
	int r = find_place(name, WANT_PARENT, &place);
	if (r == -ENOENT && place.kind == PLACE_HOST && place.answer.error == -ENOENT)
		return -EROFS;
	if (r)
		return r;
	if (place.kind != PLACE_NODE)
		return -EADDRINUSE;
	if (place.node == NO_INDEX && place.trailing_slash)
		return -ENOENT;
	if (place.node == NO_INDEX && s->name.size)
		return -EINVAL;
	s64 made = place_create(&place, S_IFSOCK | (0777 & ~process_self()->umask), &node);
	if (made)
		return made == -EEXIST ? -EADDRINUSE : made;
	node_at(node)->references++;
	s->node = node;
	return 0;
}

/* The next name that nobody has; the kernel's are five hexadecimal digits, too. */
static s64 bind_any(struct socket *s)
{
	struct socket_name name = {FAMILY_SIZE + 6, {FAMILY_UNIX}};
	if (s->name.size)
		return 0;
	do
		format((char *)name.bytes + FAMILY_SIZE + 1, 6, "%05x", ++files()->names_given & 0xfffff);
	while (find_abstract(&name, s->type) != NO_INDEX);
	s->name = name;
	s->bound = true;
	return 0;
}

s64 call_bind(const u64 *a)
{
	s64 error;
	struct socket_name name;
	struct description *d = socket_get(a[0], &error);
	if (!d)
		return error;
	struct socket *s = socket_of(d);
	s64 r = address_get(a[1], a[2], &name);
	if (r)
		return r;
	if (name.size == FAMILY_SIZE)
		return bind_any(s);
	if (is_abstract(&name))
		r = s->name.size ? -EINVAL : find_abstract(&name, s->type) != NO_INDEX ? -EADDRINUSE : 0;
	else
		r = bind_node(s, &name);
	if (r)
		return r;
	s->name = name;
	s->bound = true;
	return 0;
}

s64 call_getsockname(const u64 *a)
{
	s64 error;
	struct description *d = socket_get(a[0], &error);
	return d ? address_put(a[1], a[2], &socket_of(d)->name) : error;
}

s64 call_getpeername(const u64 *a)
{
	s64 error;
	struct description *d = socket_get(a[0], &error);
	if (!d)
		return error;
	const struct socket *s = socket_of(d);
	if (s->peer == NO_INDEX && !s->peer_gone)
		return -ENOTCONN;
	return address_put(a[1], a[2], s->peer_gone ? &s->peer_name : &socket_at(s->peer)->name);
}
