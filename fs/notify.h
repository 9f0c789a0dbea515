/* sd_notify(3), without libsystemd: one datagram to $NOTIFY_SOCKET, if there is one. */
#ifndef ZVM_FS_NOTIFY_H
#define ZVM_FS_NOTIFY_H

void zvm_notify(const char *state); /* "READY=1", "STOPPING=1" */

#endif
