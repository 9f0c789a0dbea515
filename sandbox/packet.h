/* One SOCK_SEQPACKET message, in two pieces if need be, with descriptors. */
#ifndef ZVM_PACKET_H
#define ZVM_PACKET_H

#include <stddef.h>
#include <sys/types.h>

#define ZVM_PACKET_FDS_MAX 8

/* 0 or -errno; never raises SIGPIPE. The descriptors stay the caller's. */
int zvm_packet_send(int socket, const void *head, size_t head_size, const void *body, size_t body_size, const int *fds,
                    unsigned fd_count);

/* The same, but never waits: -EAGAIN if the other end has not yet taken what it was sent before. */
int zvm_packet_send_now(int socket, const void *head, size_t head_size, const void *body, size_t body_size,
                        const int *fds, unsigned fd_count);

/* The size received, 0 at the end of the conversation, -errno; -EMSGSIZE if it did not fit. Descriptors beyond fds_max,
 * and all of a packet that did not fit, are closed. */
ssize_t zvm_packet_receive(int socket, void *to, size_t room, int *fds, unsigned fds_max, unsigned *fd_count);

#endif
