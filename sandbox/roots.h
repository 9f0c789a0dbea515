/* Which guest paths are host places, and where on the host they are. For view.c and walk.c. */
#ifndef ZVM_ROOTS_H
#define ZVM_ROOTS_H

#include <stdbool.h>
#include <stddef.h>

/* First components that are shown as the host has them. */
bool zvm_root_is_host(const char *name, size_t length);
/* May this entry of /etc be seen? `rest` is the path below /etc, without a leading slash; "" is /etc itself. */
bool zvm_root_etc_shown(const char *rest);

#endif
