/* Processes, as /proc has them. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"

#define PATIENCE_MS 10000

static pid_t parent_of(pid_t pid)
{
	char path[64], line[512] = "";
	int parent = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	if (file_read(path, line, sizeof line - 1) <= 0)
		return 0;
	/* The name, in parentheses, may hold anything. */
	const char *end = strrchr(line, ')');
	return end && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

void process_children(pid_t parent, void (*visit)(pid_t child, void *context), void *context)
{
	struct dirent *entry;
	DIR *proc = opendir("/proc");
	while (proc && (entry = readdir(proc))) {
		pid_t pid = isdigit((unsigned char)*entry->d_name) ? atoi(entry->d_name) : 0;
		if (pid > 0 && parent_of(pid) == parent)
			visit(pid, context);
	}
	if (proc)
		closedir(proc);
}

static bool wait_a_while(pid_t child)
{
	for (unsigned ms = 0; ms < PATIENCE_MS; ms += 5) {
		if (waitpid(child, NULL, WNOHANG) != 0)
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	}
	return false;
}

void process_end(pid_t child)
{
	kill(child, SIGTERM);
	if (!wait_a_while(child)) {
		kill(child, SIGKILL);
		while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
			;
	}
}
