/* static: asks the broker for a path again and again, each time spelled anew, because it remembers its answers.
 * Arguments: the directory, the name below it, how often. Standard input: a word that must never be read. */
#include "escape.h"
#include <sys/socket.h>

static char word[128];

int main(int argc, char **argv)
{
	unsigned opened = 0, absent = 0, other = 0;
	char path[4096], bytes[4096];
	if (argc < 4)
		return 97;
	take_over();
	int socket = broker_socket(), times = atoi(argv[3]);
	size_t length = (size_t)read(0, word, sizeof word - 1);
	while (length && word[length - 1] == '\n')
		length--;
	for (int i = 0; i < times; i++) {
		/* 12 bits of the number as one or two slashes each. */
		int at = 0;
		for (int bit = 0; bit < 12; bit++)
			at += sprintf(path + at, i >> bit & 1 ? "//./" : "/./");
		at += sprintf(path + at, "%s/%s", argv[1] + 1, argv[2]);
		struct zvm_reply reply = {0};
		struct {
			uint64_t size;
			int level, type, fd[8];
		} control = {0};
		struct iovec parts[2] = {{&reply, sizeof reply}, {bytes, sizeof bytes}};
		struct msghdr message = {
		        .msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control};
		if (ask(socket, ZVM_ASK_KIND_OPEN, path, (uint32_t)at) < 0)
			return 96;
		if (RAW(SYS_recvmsg, socket, &message, 0x40000000, 0, 0, 0) < (long)sizeof reply)
			return 95;
		long n = -1;
		if (message.msg_controllen) {
			n = RAW(SYS_pread64, control.fd[0], bytes, sizeof bytes, 0, 0, 0);
			RAW(SYS_close, control.fd[0], 0, 0, 0, 0, 0);
		}
		if (n > 0 && memmem(bytes, (size_t)n, word, length))
			printf("ESCAPED: the word was read as question %d\n", i);
		opened += n >= 0;
		/* A link to the outside leads to a place in our own view, where nothing is. */
		bool nowhere = reply.error == -ENOENT || (reply.flags & ZVM_REPLY_ELSEWHERE);
		absent += n < 0 && nowhere;
		other += n < 0 && !nowhere;
	}
	printf("asked %d times: %u opened, %u absent, %u other\n", times, opened, absent, other);
	return 0;
}
