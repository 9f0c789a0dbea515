/* static: every socket family and type, and the two that the test listens on. Arguments: an abstract name, a TCP port.
 */
#include "escape.h"
#include <arpa/inet.h>
#include <stddef.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

static int normal_opened, raw_opened, tried;

static void try_family(int family)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_RDM, SOCK_SEQPACKET, SOCK_DCCP, 10};
	int pair[2];
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		tried++;
		long fd = NORMAL(SYS_socket, family, types[i], 0, 0, 0, 0);
		normal_opened += fd >= 0;
		raw_opened += RAW(SYS_socket, family, types[i], 0, 0, 0, 0) != -ENOSYS;
		raw_opened += RAW(SYS_socketpair, family, types[i], 0, pair, 0, 0) != -ENOSYS;
	}
}

static void try_connecting(const char *name, int port)
{
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	struct sockaddr_in internet = {
	        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	size_t length = strlen(name);
	memcpy(local.sun_path + 1, name, length);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
	int pair[2] = {-1, -1};
	said("normal", "socketpair", NORMAL(SYS_socketpair, AF_UNIX, SOCK_DGRAM, 0, pair, 0, 0));
	said("normal", "connect of a pair", NORMAL(SYS_connect, pair[0], &local, size, 0, 0, 0));
	said("normal", "sendto by a pair", NORMAL(SYS_sendto, pair[0], "escaped", 7, 0, &local, size));
	for (int fd = 0; fd < 64; fd++)
		if (RAW(SYS_connect, fd, &local, size, 0, 0, 0) != -ENOSYS ||
		    RAW(SYS_connect, fd, &internet, sizeof internet, 0, 0, 0) != -ENOSYS ||
		    RAW(SYS_sendto, fd, "escaped", 7, 0, &internet, sizeof internet) != -ENOSYS ||
		    RAW(SYS_bind, fd, &local, size, 0, 0, 0) != -ENOSYS ||
		    RAW(SYS_listen, fd, 5, 0, 0, 0, 0) != -ENOSYS || RAW(SYS_accept4, fd, 0, 0, 0, 0, 0) != -ENOSYS ||
		    RAW(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUF, &port, 4, 0) != -ENOSYS)
			printf("ESCAPED: a socket call passed at %d\n", fd);
}

int main(int argc, char **argv)
{
	take_over();
	for (int family = -1; family < 64; family++)
		try_family(family);
	printf("tried %d sockets: the monitor opened %d, the wall %d\n", tried, normal_opened, raw_opened);
	if (argc > 2)
		try_connecting(argv[1], atoi(argv[2]));
	puts("tried the sockets");
	return 0;
}
