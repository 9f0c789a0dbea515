/* Sockets of AF_UNIX: names, connections, datagrams, descriptors that come along, and what each end is told of the
 * other. */
#include "calls.h"
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

static struct sockaddr_un address;

/* "@x" is an abstract name. */
static socklen_t name(const char *text)
{
	memset(&address, 0, sizeof address);
	address.sun_family = AF_UNIX;
	strcpy(address.sun_path, text);
	if (*text != '@')
		return offsetof(struct sockaddr_un, sun_path) + strlen(text) + 1;
	address.sun_path[0] = 0;
	return offsetof(struct sockaddr_un, sun_path) + strlen(text);
}

/* Natively others have abstract names too. */
static const char *own(const char *text)
{
	static char unique[64];
	snprintf(unique, sizeof unique, "@%s-%d", text, (int)getpid());
	return unique;
}

static int bind_to(int fd, const char *text)
{
	socklen_t size = name(text);
	return bind(fd, (struct sockaddr *)&address, size);
}

static int connect_to(int fd, const char *text)
{
	socklen_t size = name(text);
	return connect(fd, (struct sockaddr *)&address, size);
}

static int make(int type)
{
	int fd = socket(AF_UNIX, type, 0);
	NEED(fd >= 0);
	return fd;
}

static int listener(const char *text, int type, int backlog)
{
	int fd = make(type);
	NEED(bind_to(fd, text) == 0 && listen(fd, backlog) == 0);
	return fd;
}

static int caller(const char *text, int type)
{
	int fd = make(type);
	NEED(connect_to(fd, text) == 0);
	return fd;
}

static int revents(int fd)
{
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0};
	return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

static int option(int fd, int which)
{
	int value = -1;
	socklen_t size = sizeof value;
	return getsockopt(fd, SOL_SOCKET, which, &value, &size) ? -1 : value;
}

static void making(void)
{
	IS("socket", fcntl(make(SOCK_STREAM | SOCK_NONBLOCK), F_GETFL), O_RDWR | O_NONBLOCK);
	IS("with SOCK_CLOEXEC", fcntl(make(SOCK_DGRAM | SOCK_CLOEXEC), F_GETFD), FD_CLOEXEC);
	IS("SOCK_RAW is datagrams", option(make(SOCK_RAW), SO_TYPE), SOCK_DGRAM);
	IS("a protocol that is the family", close(socket(AF_UNIX, SOCK_STREAM, 1)), 0);
	FAILS("another protocol", socket(AF_UNIX, SOCK_STREAM, 6), EPROTONOSUPPORT);
	FAILS("another type", socket(AF_UNIX, SOCK_RDM, 0), ESOCKTNOSUPPORT);
	FAILS("no type", socket(AF_UNIX, 15, 0), EINVAL);
	FAILS("unknown flags", socket(AF_UNIX, SOCK_STREAM | 0x1000, 0), EINVAL);
	int fd = make(SOCK_STREAM);
	IS("a new one is ready, and hung up", revents(fd), POLLOUT | POLLHUP);
	IS("SO_DOMAIN", option(fd, SO_DOMAIN), AF_UNIX);
	IS("SO_ACCEPTCONN", option(fd, SO_ACCEPTCONN), 0);
	FAILS("read before it is connected", read(fd, &fd, 1), EINVAL);
	FAILS("send before it is connected", send(fd, "x", 1, MSG_NOSIGNAL), ENOTCONN);
	FAILS("getpeername of nobody", getpeername(fd, (struct sockaddr *)&address, &(socklen_t){100}), ENOTCONN);
	FAILS("accept without listening", accept(fd, NULL, NULL), EINVAL);
	FAILS("listen without a name", listen(fd, 5), EINVAL);
	IS("shutdown alone", shutdown(fd, SHUT_RDWR), 0);
	struct ucred who;
	socklen_t size = sizeof who;
	IS("SO_PEERCRED of nobody", getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size), 0);
	HOLDS("is nobody", who.pid == 0 && who.uid == (uid_t)-1 && who.gid == (gid_t)-1);
	close(fd);
	fd = make(SOCK_SEQPACKET);
	FAILS("recv of packets before", recv(fd, &size, 1, MSG_DONTWAIT), ENOTCONN);
	FAILS("send of packets before", send(fd, "x", 1, 0), ENOTCONN);
	IS("which is hung up as well", revents(fd), POLLOUT | POLLHUP);
	close(fd);
	fd = make(SOCK_DGRAM);
	IS("one for datagrams can be written", revents(fd), POLLOUT);
	FAILS("but not to nobody", send(fd, "x", 1, 0), ENOTCONN);
	FAILS("and has nothing", recv(fd, &size, 1, MSG_DONTWAIT), EAGAIN);
	FAILS("it cannot listen", listen(fd, 1), EOPNOTSUPP);
	FAILS("nor accept", accept(fd, NULL, NULL), EOPNOTSUPP);
	FAILS("listen of a file", listen(open(".", O_RDONLY), 1), ENOTSOCK);
	FAILS("bind of nothing", bind_to(999, "x"), EBADF);
	FAILS("accept4 with unknown flags", accept4(fd, NULL, NULL, 1), EINVAL);
	close(fd);
}

static void naming(void)
{
	struct sockaddr_un got;
	socklen_t size = sizeof got;
	struct stat st;
	int fd = make(SOCK_STREAM), other = make(SOCK_STREAM);
	IS("no name", (getsockname(fd, (struct sockaddr *)&got, &size), size), 2);
	IS("bind", bind_to(fd, "here"), 0);
	size = sizeof got;
	IS("getsockname", getsockname(fd, (struct sockaddr *)&got, &size), 0);
	HOLDS("tells the path, with its end",
	      size == 2 + 5 && got.sun_family == AF_UNIX && !strcmp(got.sun_path, "here"));
	size = 4;
	memset(&got, 'x', sizeof got);
	IS("with little room", (getsockname(fd, (struct sockaddr *)&got, &size), size), 7);
	HOLDS("as much as fits", got.sun_path[1] == 'e' && got.sun_path[2] == 'x');
	size = -1;
	FAILS("with less than none", getsockname(fd, (struct sockaddr *)&got, &size), EINVAL);
	IS("it is a file", lstat("here", &st), 0);
	IS("a socket, as the mask says", st.st_mode, S_IFSOCK | 0755);
	IS("without a size", st.st_size, 0);
	FAILS("that cannot be opened", open("here", O_RDWR), ENXIO);
	IS("but for its path", close(open("here", O_PATH)), 0);
	FAILS("bind twice", bind_to(fd, "there"), EINVAL);
	FAILS("which leaves nothing", lstat("there", &st), ENOENT);
	FAILS("bind to a name that is taken", bind_to(other, "here"), EADDRINUSE);
	symlink("nowhere", "link");
	FAILS("also by a link", bind_to(other, "link"), EADDRINUSE);
	FAILS("by a directory", bind_to(other, "."), EADDRINUSE);
	FAILS("in a directory that is missing", bind_to(other, "missing/x"), ENOENT);
	FAILS("below a file", bind_to(other, "here/x"), ENOTDIR);
	mkdir("shut", 0500);
	FAILS("where one may not write", bind_to(other, "shut/x"), EACCES);
	FAILS("an empty address", bind(other, (struct sockaddr *)&address, 0), EINVAL);
	FAILS("one that is too long", bind(other, (struct sockaddr *)&address, 111), EINVAL);
	FAILS("and much too long", bind(other, (struct sockaddr *)&address, 1000), EINVAL);
	size = name("x");
	address.sun_family = AF_INET;
	FAILS("another family's", bind(other, (struct sockaddr *)&address, size), EINVAL);
	char longest[109];
	memset(longest, 'a', 108);
	longest[108] = 0;
	memset(&address, 'a', sizeof address);
	address.sun_family = AF_UNIX;
	IS("a path without an end", bind(other, (struct sockaddr *)&address, 110), 0);
	IS("has one", lstat(longest, &st), 0);
	struct {
		struct sockaddr_un name;
		char more[8];
	} room;
	size = sizeof room;
	IS("and is told with it", (getsockname(other, (struct sockaddr *)&room, &size), size), 2 + 109);
	close(other);
	IS("the file stays when the socket is closed", lstat(longest, &st), 0);
	other = make(SOCK_STREAM);
	memset(&address, 'a', sizeof address);
	address.sun_family = AF_UNIX;
	FAILS("and its name is taken", bind(other, (struct sockaddr *)&address, 110), EADDRINUSE);
	FAILS("though nobody answers", connect(other, (struct sockaddr *)&address, 110), ECONNREFUSED);
	IS("until it is removed", unlink(longest), 0);
	IS("then it can be bound", bind(other, (struct sockaddr *)&address, 110), 0);
	close(other);
	close(fd);

	fd = make(SOCK_STREAM), other = make(SOCK_STREAM);
	IS("an abstract name", bind_to(fd, own("a")), 0);
	size = sizeof got;
	IS("is told", (getsockname(fd, (struct sockaddr *)&got, &size), size), 2 + strlen(own("a")));
	HOLDS("as it was given", !got.sun_path[0] && !memcmp(got.sun_path + 1, own("a") + 1, size - 3));
	FAILS("and taken", bind_to(other, own("a")), EADDRINUSE);
	FAILS("nobody listens there", connect_to(other, own("a")), ECONNREFUSED);
	int packets = make(SOCK_DGRAM);
	FAILS("and no datagrams are heard", connect_to(packets, own("a")), ECONNREFUSED);
	IS("so they may have that name too", bind_to(packets, own("a")), 0);
	close(packets);
	close(fd);
	IS("it is free when it is closed", bind_to(other, own("a")), 0);
	close(other);
	fd = make(SOCK_STREAM);
	address.sun_family = AF_UNIX;
	IS("bind to any name", bind(fd, (struct sockaddr *)&address, 2), 0);
	size = sizeof got;
	IS("gives an abstract one of five digits", (getsockname(fd, (struct sockaddr *)&got, &size), size), 2 + 6);
	HOLDS("in hexadecimal", !got.sun_path[0] && strspn(got.sun_path + 1, "0123456789abcdef") >= 5);
	IS("twice is no error", bind(fd, (struct sockaddr *)&address, 2), 0);
	close(fd);
	IS("mknod of a socket", mknod("node", S_IFSOCK | 0700, 0), 0);
	fd = make(SOCK_STREAM);
	FAILS("nobody is there", connect_to(fd, "node"), ECONNREFUSED);
	FAILS("nor at a file", (close(make_file("file", "")), connect_to(fd, "file")), ECONNREFUSED);
	FAILS("nor at a directory", connect_to(fd, "."), ECONNREFUSED);
	FAILS("nor where there is nothing", connect_to(fd, "nothing"), ENOENT);
	chmod("node", 0400);
	FAILS("and who may not write may not call", connect_to(fd, "node"), EACCES);
	if (boxed) { /* what is the host's is read-only for everybody */
		FAILS("a name in a place of the host's", bind_to(fd, "/usr/x"), EROFS);
		FAILS("or what is there", bind_to(fd, "/usr"), EADDRINUSE);
		FAILS("or made up", bind_to(fd, "/proc/x"), ENOENT);
	}
	IS("a socket can be renamed", rename("here", "moved"), 0);
	close(fd);
}

static void connecting(void)
{
	int server = listener("s", SOCK_STREAM, 1), client = make(SOCK_STREAM | SOCK_NONBLOCK);
	char text[64];
	struct sockaddr_un got;
	socklen_t size = sizeof got;
	IS("SO_ACCEPTCONN of a listener", option(server, SO_ACCEPTCONN), 1);
	IS("nobody calls", revents(server), 0);
	FAILS("so accept would wait", (fcntl(server, F_SETFL, O_NONBLOCK), accept(server, NULL, NULL)), EAGAIN);
	FAILS("read from a listener", read(server, text, 1), EINVAL);
	FAILS("write to a listener", send(server, "x", 1, MSG_NOSIGNAL), ENOTCONN);
	int unread;
	FAILS("FIONREAD of a listener", ioctl(server, FIONREAD, &unread), EINVAL);
	FAILS("connect of a listener", connect_to(server, "s"), EINVAL);
	FAILS("packets do not fit", connect_to(make(SOCK_SEQPACKET), "s"), EPROTOTYPE);
	FAILS("nor datagrams", connect_to(make(SOCK_DGRAM), "s"), EPROTOTYPE);
	IS("connect", connect_to(client, "s"), 0);
	FAILS("again", connect_to(client, "s"), EISCONN);
	IS("somebody calls", revents(server), POLLIN);
	IS("and may write already", write(client, "early", 5), 5);
	IS("who can be written to", revents(client), POLLOUT);
	int second = make(SOCK_STREAM | SOCK_NONBLOCK), third = make(SOCK_STREAM | SOCK_NONBLOCK);
	IS("a queue takes one more than it says", connect_to(second, "s"), 0);
	FAILS("and then is full", connect_to(third, "s"), EAGAIN);
	IS("the name of who calls", (name(own("client")), bind_to(client, own("client"))), 0);
	int end = accept4(server, (struct sockaddr *)&got, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
	HOLDS("accept", end >= 0);
	HOLDS("tells who calls",
	      size == 2 + strlen(own("client")) && !memcmp(got.sun_path + 1, own("client") + 1, size - 3));
	HOLDS("with its flags", fcntl(end, F_GETFD) == FD_CLOEXEC && fcntl(end, F_GETFL) == (O_RDWR | O_NONBLOCK));
	IS("what was said early", (memset(text, 0, sizeof text), read(end, text, sizeof text)), 5);
	HOLDS("is heard", !strcmp(text, "early"));
	FAILS("and no more", read(end, text, sizeof text), EAGAIN);
	size = sizeof got;
	IS("the accepted end has the listener's name",
	   (getsockname(end, (struct sockaddr *)&got, &size), got.sun_path[0]), 's');
	size = sizeof got;
	IS("its peer sees it", (getpeername(client, (struct sockaddr *)&got, &size), size), 2 + 2);
	FAILS("but it cannot be bound", bind_to(end, "t"), EINVAL);
	IS("now there is room in the queue", connect_to(third, "s"), 0);
	struct ucred who;
	size = sizeof who;
	IS("SO_PEERCRED", getsockopt(end, SOL_SOCKET, SO_PEERCRED, &who, &size), 0);
	HOLDS("is who called", who.pid == getpid() && who.uid == getuid() && who.gid == getgid());
	IS("recvfrom of a stream",
	   (size = sizeof got, write(client, "ab", 2), recvfrom(end, text, 9, 0, (struct sockaddr *)&got, &size)), 2);
	IS("tells the name", size, 2 + strlen(own("client")));
	IS("and of one without a name",
	   (size = sizeof got, write(end, "ab", 2), recvfrom(client, text, 9, 0, (struct sockaddr *)&got, &size)), 2);
	IS("the listener's", size, 2 + 2);
	FAILS("sendto on a stream", sendto(client, "x", 1, 0, (struct sockaddr *)&got, size), EISCONN);
	FAILS("sendto on one without a peer", sendto(make(SOCK_STREAM), "x", 1, 0, (struct sockaddr *)&got, size),
	      EOPNOTSUPP);
	IS("half of it ends", shutdown(client, SHUT_WR), 0);
	IS("so the other half", revents(end), POLLIN | POLLOUT | POLLRDHUP);
	IS("has come to its end", read(end, text, 1), 0);
	FAILS("who ended cannot write", send(client, "x", 1, MSG_NOSIGNAL), EPIPE);
	IS("but read", (write(end, "back", 4), read(client, text, 9)), 4);
	IS("what has been sent", write(end, "late", 4), 4);
	IS("can still be read after one wants no more", (shutdown(client, SHUT_RD), read(client, text, 9)), 4);
	IS("and then the end", read(client, text, 9), 0);
	FAILS("nobody can write to it", send(end, "x", 1, MSG_NOSIGNAL), EPIPE);
	IS("both are over", revents(client), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	close(end);
	close(client);

	IS("the first who waits", (end = accept(server, NULL, NULL)) >= 0, 1);
	write(end, "unheard", 7);
	close(second);
	IS("what was not read", revents(end), POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
	FAILS("is told to who said it", read(end, text, 9), ECONNRESET);
	IS("once", read(end, text, 9), 0);
	size = sizeof got;
	IS("the name of who has gone", getpeername(end, (struct sockaddr *)&got, &size), 0);
	IS("is none", size, 2);
	close(end);
	IS("who was never accepted", revents(third), POLLOUT);
	close(server);
	IS("is told when the listener goes", revents(third), POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
	IS("by SO_ERROR", option(third, SO_ERROR), ECONNRESET);
	IS("once, too", option(third, SO_ERROR), 0);
	IS("and reads its end", read(third, text, 9), 0);
	close(third);
	FAILS("a listener that is gone", connect_to(make(SOCK_STREAM), "s"), ECONNREFUSED);
	unlink("s");
	FAILS("and its file", connect_to(make(SOCK_STREAM), "s"), ENOENT);

	server = listener("s", SOCK_STREAM, 5);
	unlink("s");
	int another = listener("s", SOCK_STREAM, 5);
	client = caller("s", SOCK_STREAM);
	IS("another with the same path", revents(another), POLLIN);
	IS("is called instead", revents(server), 0);
	rename("s", "t");
	IS("also under its new name", close(caller("t", SOCK_STREAM)), 0);
	link("t", "u");
	IS("or a second one", close(caller("u", SOCK_STREAM)), 0);
	IS("shutdown of a listener", shutdown(another, SHUT_RD), 0);
	HOLDS("lets who waits in",
	      accept(another, NULL, NULL) >= 0 && accept(another, NULL, NULL) >= 0 && accept(another, NULL, NULL) >= 0);
	FAILS("and nobody after", accept(another, NULL, NULL), EINVAL);
	FAILS("nor lets anybody call", connect_to(make(SOCK_STREAM), "t"), ECONNREFUSED);
	IS("it is over", revents(another) & POLLIN, POLLIN);
	close(another);
	close(server);
	close(client);
}

static void waiting(void)
{
	int server = listener("w", SOCK_STREAM, 0), status, client;
	char text[16];
	pid_t child = fork();
	if (child == 0) {
		int one = caller("w", SOCK_STREAM), two = caller("w", SOCK_STREAM);
		write(one, "one", 3);
		write(two, "two", 3);
		struct ucred who;
		socklen_t size = sizeof who;
		getsockopt(one, SOL_SOCKET, SO_PEERCRED, &who, &size);
		_exit(who.pid == getppid() ? 7 : 8);
	}
	int first = accept(server, NULL, NULL), second = accept(server, NULL, NULL);
	IS("accept waits for who calls", read(first, text, 9), 3);
	HOLDS("and connect for room, in turn", read(second, text, 9) == 3 && !memcmp(text, "two", 3));
	waitpid(child, &status, 0);
	IS("who listens is the caller's peer", WEXITSTATUS(status), 7);
	struct ucred who;
	socklen_t size = sizeof who;
	getsockopt(first, SOL_SOCKET, SO_PEERCRED, &who, &size);
	IS("and who called is the other's", who.pid, child);
	close(first);
	close(second);
	child = fork();
	if (child == 0) {
		client = caller("w", SOCK_STREAM);
		_exit(read(client, text, 9) == 0 ? 5 : 6);
	}
	struct pollfd p = {server, POLLIN, 0};
	IS("poll waits for who calls", poll(&p, 1, -1), 1);
	close(accept(server, NULL, NULL));
	waitpid(child, &status, 0);
	IS("and he reads the end", WEXITSTATUS(status), 5);

	int epoll = epoll_create1(0);
	struct epoll_event e = {EPOLLIN | EPOLLET, {.u32 = 1}}, got;
	epoll_ctl(epoll, EPOLL_CTL_ADD, server, &e);
	IS("an edge", epoll_wait(epoll, &got, 1, 0), 0);
	client = caller("w", SOCK_STREAM);
	IS("is told", epoll_wait(epoll, &got, 1, 0), 1);
	IS("once", epoll_wait(epoll, &got, 1, 0), 0);
	close(accept(server, NULL, NULL));
	close(client);
	client = caller("w", SOCK_STREAM);
	IS("and for another caller again", epoll_wait(epoll, &got, 1, 0), 1);
	close(client);
	close(epoll);
	close(server);

	server = listener(own("alarm"), SOCK_STREAM, 1);
	struct sigaction action = {.sa_handler = (void (*)(int))(void *)sched_yield};
	sigaction(SIGALRM, &action, NULL);
	ualarm(20000, 0);
	FAILS("a signal interrupts accept", accept(server, NULL, NULL), EINTR);
	close(caller(own("alarm"), SOCK_STREAM));
	client = accept(server, NULL, NULL);
	HOLDS("who has called and gone is accepted all the same", client >= 0);
	IS("and has said nothing", read(client, text, 9), 0);
	FAILS("nor will hear anything", send(client, "x", 1, MSG_NOSIGNAL), EPIPE);
	struct rlimit few = {3, 0}, old;
	getrlimit(RLIMIT_NOFILE, &old);
	few.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_NOFILE, &few);
	FAILS("no descriptor for who calls", accept(server, NULL, NULL), EMFILE);
	setrlimit(RLIMIT_NOFILE, &old);
	close(client);
	close(server);
}

static volatile int piped;

static void hear_pipe(int number)
{
	piped = number;
}

static void packets(void)
{
	int pair[2], server = listener("p", SOCK_SEQPACKET, 5), client = caller("p", SOCK_SEQPACKET);
	char text[64];
	int end = accept(server, NULL, NULL), unread;
	write(client, "one", 3);
	write(client, "three", 5);
	IS("FIONREAD of packets is all of them", (ioctl(end, FIONREAD, &unread), unread), 8);
	IS("packets have borders", read(end, text, 64), 3);
	struct iovec part = {text, 2};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	IS("what does not fit", recvmsg(end, &message, 0), 2);
	IS("is lost, and told", message.msg_flags, MSG_TRUNC);
	IS("an empty packet", send(client, "", 0, 0), 0);
	IS("is one", (poll(&(struct pollfd){end, POLLIN, 0}, 1, 0)), 1);
	IS("to be read", recv(end, text, 64, 0), 0);
	IS("a name is not looked at", sendto(client, "x", 1, 0, (struct sockaddr *)&address, name("nowhere")), 1);
	close(end);
	signal(SIGPIPE, hear_pipe);
	piped = 0;
	FAILS("packets to nobody, who left one unread", send(client, "x", 1, 0), ECONNRESET);
	FAILS("and then", send(client, "x", 1, 0), EPIPE);
	IS("without a signal", piped, 0);
	IS("the end of packets", recv(client, text, 64, 0), 0);
	close(client);
	close(server);
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	close(pair[1]);
	FAILS("bytes to nobody", send(pair[0], "x", 1, 0), EPIPE);
	IS("with a signal", piped, SIGPIPE);
	close(pair[0]);
	unlink("p");
}

static long send_to(int fd, const char *text, const char *to)
{
	socklen_t size = name(to);
	return sendto(fd, text, strlen(text), MSG_DONTWAIT, (struct sockaddr *)&address, size);
}

static void datagrams(void)
{
	static char huge[1 << 20];
	int one = make(SOCK_DGRAM), two = make(SOCK_DGRAM), three = make(SOCK_DGRAM), unread;
	char text[64];
	struct sockaddr_un got;
	socklen_t size = sizeof got;
	NEED(bind_to(one, "d1") == 0 && bind_to(two, "d2") == 0);
	IS("a datagram to a name", send_to(two, "hello", "d1"), 5);
	IS("and another, from nobody", send_to(three, "you", "d1"), 3);
	FAILS("to a name that nobody has", send_to(two, "x", "nobody"), ENOENT);
	FAILS("to an abstract one", send_to(two, "x", own("nobody")), ECONNREFUSED);
	IS("FIONREAD of datagrams is the first", (ioctl(one, FIONREAD, &unread), unread), 5);
	IS("recvfrom", recvfrom(one, text, 64, 0, (struct sockaddr *)&got, &size), 5);
	HOLDS("says from whom", size == 2 + 3 && !strcmp(got.sun_path, "d2"));
	size = sizeof got;
	IS("or from nobody", (recvfrom(one, text, 64, 0, (struct sockaddr *)&got, &size), size), 0);
	IS("connect of datagrams", connect_to(two, "d1"), 0);
	size = sizeof got;
	IS("has a peer", (getpeername(two, (struct sockaddr *)&got, &size), size), 2 + 3);
	IS("to whom is sent", send(two, "a", 1, 0), 1);
	FAILS("itself has one to hear alone", send_to(two, "b", "d2"), EPERM);
	IS("who hears", recv(one, text, 64, 0), 1);
	IS("one may answer", send_to(one, "c", "d2"), 1);
	FAILS("but others may not speak", send_to(three, "x", "d2"), EPERM);
	FAILS("nor connect", connect_to(three, "d2"), EPERM);
	IS("what came before they could not", recv(two, text, 64, 0), 1);
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	IS("connect to nobody", connect(two, &nobody, sizeof nobody), 0);
	FAILS("ends it", send(two, "a", 1, 0), ENOTCONN);
	IS("then others may", send_to(three, "x", "d2"), 1);
	IS("connect again", connect_to(two, "d1"), 0);
	close(one);
	IS("the peer has gone, which is no hanging up", revents(two) & (POLLHUP | POLLERR | POLLRDHUP), 0);
	FAILS("who sends is told", send(two, "x", 1, 0), ECONNREFUSED);
	FAILS("once", send(two, "x", 1, 0), ENOTCONN);
	FAILS("and so is who has the name", send_to(three, "x", "d1"), ECONNREFUSED);
	FAILS("a datagram that is too large", send(caller("d2", SOCK_DGRAM), huge, sizeof huge, 0), EMSGSIZE);
	int pair[2];
	NEED(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0);
	IS("a pair of datagrams", (send(pair[0], "x", 1, 0), recv(pair[1], text, 64, 0)), 1);
	close(pair[1]);
	FAILS("half of it", send(pair[0], "x", 1, 0), ECONNREFUSED);
	FAILS("has no end to be read", recv(pair[0], text, 64, 0), EAGAIN);
	IS("shutdown of datagrams", shutdown(two, SHUT_RDWR), 0);
	FAILS("they are heard no more", send_to(three, "x", "d2"), EPIPE);
	close(two);
	close(three);
	close(pair[0]);
}

/* --- descriptors that come along --- */

static union {
	char room[CMSG_SPACE(253 * sizeof(int))];
	struct cmsghdr aligned;
} control;

static long pass(int over, const char *text, const int *fds, unsigned count)
{
	struct iovec part = {(void *)text, strlen(text)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control};
	message.msg_controllen = CMSG_SPACE(count * sizeof(int));
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	*c = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	return sendmsg(over, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int flags_got, count_got, got[256];
static size_t room_got;
static char text_got[256];

static long take(int from, unsigned room, int flags)
{
	struct iovec part = {text_got, sizeof text_got};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = room};
	memset(&control, 0, sizeof control);
	memset(text_got, 0, sizeof text_got);
	long n = recvmsg(from, &message, flags | MSG_DONTWAIT);
	struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&message);
	flags_got = message.msg_flags;
	room_got = message.msg_controllen;
	count_got = c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
	                    ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int)
	                    : 0;
	memcpy(got, CMSG_DATA(&control.aligned), count_got * sizeof(int));
	return n;
}

static void passing(int type)
{
	int pair[2], pipes[2], file = make_file("passed", "0123456789"), host = open("/etc/passwd", O_RDONLY);
	unsigned all = sizeof control;
	char text[16];
	NEED(socketpair(AF_UNIX, type, 0, pair) == 0 && pipe(pipes) == 0 && host >= 0);
	int some[3] = {file, pipes[1], host};
	lseek(file, 3, SEEK_SET);
	IS("descriptors are passed", pass(pair[0], "abc", some, 3), 3);
	IS("and received", take(pair[1], all, 0), 3);
	IS("all", count_got, 3);
	IS("in so much room", room_got, CMSG_SPACE(3 * sizeof(int)));
	IS("with no flags", flags_got, 0);
	HOLDS("as new ones", got[0] != file && got[1] != pipes[1] && fcntl(got[0], F_GETFD) == 0);
	IS("of the same open file", (read(got[0], text, 2), lseek(file, 0, SEEK_CUR)), 5);
	IS("a pipe", (write(got[1], "x", 1), read(pipes[0], text, 9)), 1);
	HOLDS("a file of the host's", read(got[2], text, 5) == 5 && !memcmp(text, "root:", 5));
	close(got[0]), close(got[1]), close(got[2]);
	IS("one", pass(pair[0], "abc", &pipes[1], 1), 3);
	close(pipes[1]);
	IS("is open while it is on its way", revents(pipes[0]), 0);
	IS("received to be closed at exec", (take(pair[1], all, MSG_CMSG_CLOEXEC), fcntl(got[0], F_GETFD)), FD_CLOEXEC);
	IS("which is told", flags_got, MSG_CMSG_CLOEXEC);
	close(got[0]);
	IS("and then not", revents(pipes[0]), POLLHUP);

	pass(pair[0], "abc", some, 1);
	IS("without room for it", take(pair[1], 0, 0), 3);
	IS("it is lost, which is told", flags_got, MSG_CTRUNC);
	int two[2] = {file, host};
	pass(pair[0], "abc", two, 2);
	IS("with room for one", (take(pair[1], CMSG_LEN(sizeof(int)), 0), count_got), 1);
	IS("the other is lost", flags_got, MSG_CTRUNC);
	IS("and the room used", room_got, CMSG_LEN(sizeof(int)));
	close(got[0]);
	pass(pair[0], "abc", some, 1);
	IS("read takes the bytes alone", read(pair[1], text, 9), 3);
	IS("and nothing comes with the next", (write(pair[0], "x", 1), take(pair[1], all, 0), count_got), 0);
	pass(pair[0], "abc", some, 1);
	IS("to look at it", take(pair[1], all, MSG_PEEK), 3);
	IS("brings it too", count_got, 1);
	close(got[0]);
	IS("and again", (take(pair[1], all, 0), count_got), 1);
	close(got[0]);

	FAILS("a closed descriptor", pass(pair[0], "x", &(int){999}, 1), EBADF);
	FAILS("and none", pass(pair[0], "x", &(int){-1}, 1), EBADF);
	int many[254];
	for (int i = 0; i < 254; i++)
		many[i] = file;
	static char room[CMSG_SPACE(254 * sizeof(int))];
	struct iovec part = {"x", 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	*c = (struct cmsghdr){CMSG_LEN(254 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(c), many, sizeof many);
	FAILS("more than 253", sendmsg(pair[0], &message, 0), EINVAL);
	IS("253", pass(pair[0], "x", many, 253), 1);
	IS("come along", (take(pair[1], all, 0), count_got), 253);
	for (int i = 0; i < count_got; i++)
		close(got[i]);
	c->cmsg_len = 3;
	FAILS("control data that is too short", sendmsg(pair[0], &message, 0), EINVAL);
	c->cmsg_len = sizeof room + 1;
	FAILS("or longer than its room", sendmsg(pair[0], &message, 0), EINVAL);
	*c = (struct cmsghdr){CMSG_LEN(4), SOL_SOCKET, 99};
	FAILS("of a type that is none", sendmsg(pair[0], &message, 0), EINVAL);
	*c = (struct cmsghdr){CMSG_LEN(sizeof(struct ucred)), SOL_SOCKET, SCM_CREDENTIALS};
	message.msg_controllen = CMSG_SPACE(sizeof(struct ucred));
	struct ucred me = {getpid(), getuid(), getgid()};
	memcpy(CMSG_DATA(c), &me, sizeof me);
	IS("who one is may be said", sendmsg(pair[0], &message, 0), 1);
	me.pid++;
	memcpy(CMSG_DATA(c), &me, sizeof me);
	FAILS("but not that one is another", sendmsg(pair[0], &message, 0), EPERM);
	IS("nobody asked for it", (take(pair[1], all, 0), count_got), 0);

	int ends[2];
	NEED(socketpair(AF_UNIX, type, 0, ends) == 0);
	pass(pair[0], "a socket", &ends[1], 1);
	close(ends[1]);
	IS("a socket on its way", revents(ends[0]), POLLOUT);
	close(pair[1]);
	IS("is closed with who should have got it", revents(ends[0]) & POLLHUP, type == SOCK_DGRAM ? 0 : POLLHUP);
	close(ends[0]);
	close(pair[0]), close(pipes[0]), close(file), close(host);
}

/* The kernel looks for sockets that only have each other when another is closed, and in its own time. */
static int is_gone(struct pollfd *end)
{
	int unused[2], gone = 0;
	for (int i = 0; i < 400 && !gone; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, unused) == 0)
			close(unused[0]), close(unused[1]);
		gone = poll(end, 1, 50);
	}
	return gone;
}

static void passing_in_streams(void)
{
	int pair[2], file = open(".", O_RDONLY);
	unsigned all = sizeof control;
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	write(pair[0], "before", 6);
	pass(pair[0], "with", &file, 1);
	write(pair[0], "after", 5);
	IS("a read goes on to what brings something", take(pair[1], all, 0), 10);
	IS("which it does", count_got, 1);
	close(got[0]);
	IS("and the rest comes after", take(pair[1], all, 0), 5);
	pass(pair[0], "one", &file, 1);
	pass(pair[0], "two", &file, 1);
	IS("two that bring something", (take(pair[1], all, 0), count_got), 1);
	HOLDS("are read one by one", !strcmp(text_got, "one") && take(pair[1], all, 0) == 3 && count_got == 1);
	pass(pair[0], "slowly", &file, 1);
	char text[4];
	IS("a part of it", recv(pair[1], text, 2, 0), 2);
	IS("is where it was", (take(pair[1], all, 0), count_got), 0);
	HOLDS("the rest is the rest", !strcmp(text_got, "owly"));
	struct iovec part = {"", 0};
	struct msghdr message = {
	        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(4)};
	control.aligned = (struct cmsghdr){CMSG_LEN(4), SOL_SOCKET, SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.aligned), &file, 4);
	IS("nothing brings nothing", sendmsg(pair[0], &message, 0), 0);
	FAILS("so there is nothing", take(pair[1], all, 0), EAGAIN);
	close(pair[0]), close(pair[1]);

	/* To who has never had it. */
	int status;
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	pid_t child = fork();
	if (child == 0) {
		while (take(pair[1], all, 0) < 0)
			poll(&(struct pollfd){pair[1], POLLIN, 0}, 1, -1);
		char name[8] = "";
		int ok = count_got == 2 && pread(got[0], name, 5, 0) == 5 && !memcmp(name, "root:", 5) &&
		         lseek(got[0], 0, SEEK_CUR) == 2;
		_exit(ok && write(got[1], "from the child", 14) == 14 ? 3 : 4);
	}
	int mine[2] = {open("/etc/passwd", O_RDONLY), make_file("later", "")};
	lseek(mine[0], 2, SEEK_SET);
	IS("files that were opened after it was forked", pass(pair[0], "x", mine, 2), 1);
	close(mine[0]);
	waitpid(child, &status, 0);
	IS("are the child's as well", WEXITSTATUS(status), 3);
	HOLDS("and written by it", file_is("later", "from the child"));
	close(pair[0]), close(pair[1]), close(mine[1]), close(file);

	/* Nobody has any of them, but each other. */
	int pipes[2], other[2];
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, other) == 0);
	NEED(pipe(pipes) == 0);
	int circle[3] = {other[1], pair[0], pipes[1]}, back[1] = {pair[1]};
	struct pollfd end_of_pipe = {pipes[0], POLLIN, 0};
	IS("sockets in each other", pass(pair[0], "x", circle, 3) + pass(other[0], "x", back, 1), 2);
	int kept = dup(other[1]);
	close(pair[0]), close(pair[1]), close(other[0]), close(other[1]), close(pipes[1]);
	IS("are there while somebody has one", poll(&end_of_pipe, 1, 50), 0);
	IS("and can be received", (take(kept, all, 0), count_got), 1);
	IS("with what is in them", (file = got[0], take(file, all, 0), count_got), 3);
	IS("sent on", pass(got[1], "x", got, 3) + pass(file, "x", &file, 1), 2);
	close(got[0]), close(got[2]), close(file), close(kept);
	IS("they are still there", poll(&end_of_pipe, 1, 50), 0);
	close(got[1]);
	IS("or gone, with all that they held", is_gone(&end_of_pipe), 1);
	int server = listener("circle", SOCK_STREAM, 3);
	file = caller("circle", SOCK_STREAM);
	NEED(pipe(pipes) == 0);
	end_of_pipe.fd = pipes[0];
	int both[2] = {server, pipes[1]};
	IS("a listener in who waits for it", pass(file, "x", both, 2), 1);
	close(server), close(pipes[1]);
	IS("is nobody's any more", is_gone(&end_of_pipe), 1);
	close(file);

	/* Each brings the one before; the last is closed unread. */
	int last = open(".", O_RDONLY);
	for (int i = 0; i < 300; i++) {
		NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
		if (pass(pair[0], "x", &last, 1) != 1)
			break;
		close(pair[0]);
		close(last);
		last = pair[1];
	}
	IS("a long chain of sockets on their way", close(last), 0);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	begin();
	making();
	naming();
	connecting();
	waiting();
	packets();
	datagrams();
	passing(SOCK_STREAM);
	passing(SOCK_DGRAM);
	passing(SOCK_SEQPACKET);
	passing_in_streams();
	return end();
}
