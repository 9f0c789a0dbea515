/* static: leaves marks wherever something can be written, or looks for them. Argument: leave or look. */
#include "escape.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MARK "the mark of the last run"
static const char *const places[] = {"/tmp/mark",    "/home/zvm/mark", "/dev/shm/mark",
                                     "/script/mark", "/usr/mark",      "/mark"};

/* Memory of the monitor that a forked box would inherit, if it were forked from this one. */
static void mark_memory(bool leave)
{
	unsigned found = 0, pages = 0, left = 0, step;
	for (uint64_t page = ZVM_MONITOR_BASE; page < ZVM_MONITOR_BASE + (64ull << 20); page += step) {
		step = page < ZVM_MONITOR_BASE + (1 << 20) ? 4096 : 8 * 4096;
		if (!readable((unsigned char *)page))
			continue;
		pages++;
		for (uint64_t at = page; at < page + 4096; at += 64)
			found += !memcmp((void *)at, MARK, sizeof MARK);
		/* The last bytes of data pages that hold nothing else: the far end of unused stack slots. */
		static const char zeros[128];
		if (leave && !memcmp((void *)(page + 2048), zeros, sizeof zeros) &&
		    write_byte((void *)(page + 2048), 0)) {
			memcpy((void *)(page + 2048), MARK, sizeof MARK);
			left++;
		}
	}
	printf("%u marks in %u pages of the monitor, %u left\n", found, pages, left);
}

int main(int argc, char **argv)
{
	bool leave = argc > 1 && !strcmp(argv[1], "leave");
	char bytes[64];
	unsigned left = 0, found = 0;
	for (ssize_t n; !leave && (n = read(0, bytes, sizeof bytes)) > 0;) /* what the one before us said */
		fwrite(bytes, 1, (size_t)n, stdout);
	take_over();
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		int fd = open(places[i], leave ? O_WRONLY | O_CREAT : O_RDONLY, 0666);
		if (fd < 0)
			continue;
		if (leave)
			left += write(fd, MARK, sizeof MARK) > 0;
		else
			found += read(fd, bytes, sizeof bytes) > 0 && !memcmp(bytes, MARK, sizeof MARK);
		close(fd);
	}
	mark_memory(leave);
	if (leave) {
		setenv("MARK", MARK, 1);
		umask(0);
		chdir("/tmp");
	}
	printf(leave ? "left %u marks\n" : "found %u marks\n", leave ? left : found);
	if (!leave && getenv("MARK"))
		puts("ESCAPED: the environment");
	return 0;
}
