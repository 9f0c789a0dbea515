#include "packet.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

union control {
	char room[CMSG_SPACE(sizeof(int) * ZVM_PACKET_FDS_MAX)];
	struct cmsghdr align;
};

static void attach(struct msghdr *message, union control *control, const int *fds, unsigned fd_count)
{
	memset(control, 0, sizeof *control);
	message->msg_control = control->room;
	message->msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
	memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
}

static int send_packet(int socket, const void *head, size_t head_size, const void *body, size_t body_size,
                       const int *fds, unsigned fd_count, int flags)
{
	union control control;
	struct iovec parts[2] = {{(void *)(size_t)head, head_size}, {(void *)(size_t)body, body_size}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = body_size ? 2 : 1};
	if (fd_count > ZVM_PACKET_FDS_MAX)
		return -EINVAL;
	if (fd_count)
		attach(&message, &control, fds, fd_count);
	ssize_t sent;
	do
		sent = sendmsg(socket, &message, MSG_NOSIGNAL | flags);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

int zvm_packet_send(int socket, const void *head, size_t head_size, const void *body, size_t body_size, const int *fds,
                    unsigned fd_count)
{
	return send_packet(socket, head, head_size, body, body_size, fds, fd_count, 0);
}

int zvm_packet_send_now(int socket, const void *head, size_t head_size, const void *body, size_t body_size,
                        const int *fds, unsigned fd_count)
{
	return send_packet(socket, head, head_size, body, body_size, fds, fd_count, MSG_DONTWAIT);
}

static unsigned detach(struct msghdr *message, int *fds, unsigned fds_max)
{
	unsigned count = 0;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		size_t received = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < received; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
			if (count < fds_max)
				fds[count++] = fd;
			else
				close(fd);
		}
	}
	return count;
}

ssize_t zvm_packet_receive(int socket, void *to, size_t room, int *fds, unsigned fds_max, unsigned *fd_count)
{
	union control control;
	struct iovec part = {to, room};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	if (fds_max) {
		message.msg_control = control.room;
		message.msg_controllen = sizeof control.room;
	}
	ssize_t got;
	do
		got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (fd_count)
		*fd_count = 0;
	if (got < 0)
		return -errno;
	bool fits = !(message.msg_flags & MSG_TRUNC);
	if (fds_max)
		*fd_count = detach(&message, fds, fits ? fds_max : 0);
	return fits ? got : -EMSGSIZE;
}
