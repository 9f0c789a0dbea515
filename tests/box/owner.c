/* A guest that asks who it is, and tries to be more. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>

int main(void)
{
	uid_t real, effective, saved;
	getresuid(&real, &effective, &saved);
	printf("%d %d %d %d %lu %lu\n", real, effective, saved, getegid(), getauxval(AT_EUID), getauxval(AT_SECURE));
	printf("%d %d\n", setuid(0) < 0 ? errno : 0, open("/etc/shadow", O_RDONLY) < 0 ? errno : 0);
	return 0;
}
