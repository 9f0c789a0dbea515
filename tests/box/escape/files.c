/* static: tries to reach the files and descriptors of the host. Standard input: a word that nobody here may read, and
 * the host paths that must stay out of reach, one a line. */
#include "escape.h"
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

static char word[128];
static size_t word_length;

static void look_at(const char *how, const char *path, long fd)
{
	char bytes[65536];
	said(how, path, fd);
	if (fd < 0)
		return;
	long n = NORMAL(SYS_read, fd, bytes, sizeof bytes, 0, 0, 0);
	if (n > 0 && memmem(bytes, (size_t)n, word, word_length))
		printf("ESCAPED: the word was read at %s\n", path);
	if (n > 0 && strstr(path, "shadow") && memmem(bytes, (size_t)n, "root:", 5))
		printf("ESCAPED: accounts at %s\n", path);
	NORMAL(SYS_close, fd, 0, 0, 0, 0, 0);
}

static void try_path(const char *path)
{
	struct open_how how = {.flags = O_RDONLY};
	char other[4200];
	struct stat st;
	look_at("normal", path, NORMAL(SYS_openat, AT_FDCWD, path, O_RDONLY, 0, 0, 0));
	look_at("normal", path, NORMAL(SYS_open, path, O_RDWR | O_CREAT, 0666, 0, 0, 0));
	look_at("normal", path, NORMAL(SYS_openat2, AT_FDCWD, path, &how, sizeof how, 0, 0));
	said("raw", path, RAW(SYS_openat, AT_FDCWD, path, O_RDONLY, 0, 0, 0));
	said("raw", path, RAW(SYS_open, path, O_RDWR | O_CREAT, 0666, 0, 0, 0));
	said("raw", path, RAW(SYS_openat2, AT_FDCWD, path, &how, sizeof how, 0, 0));
	said("raw", path, RAW(SYS_stat, path, &st, 0, 0, 0, 0));
	said("raw", path, RAW(SYS_unlink, path, 0, 0, 0, 0, 0));
	said("raw", path, RAW(SYS_rename, path, "/escaped", 0, 0, 0, 0));
	said("raw", path, RAW(SYS_chmod, path, 0777, 0, 0, 0, 0));
	said("raw", path, RAW(SYS_execve, path, NULL, NULL, 0, 0, 0));
	static const char *const before[] = {"/script/..",   "/proc/self/root", "/proc/self/cwd",
	                                     "/proc/1/root", "/tmp/../..",      "/usr/../../..",
	                                     "/dev/fd/0/..", "/script/outward", "/etc/alternatives/../.."};
	for (size_t i = 0; i < sizeof before / sizeof before[0]; i++) {
		snprintf(other, sizeof other, "%s%s", before[i], path);
		look_at("normal", other, NORMAL(SYS_openat, AT_FDCWD, other, O_RDONLY, 0, 0, 0));
	}
	/* A link of one's own leads where the guest's paths lead. */
	NORMAL(SYS_unlink, "/tmp/link", 0, 0, 0, 0, 0);
	NORMAL(SYS_symlink, path, "/tmp/link", 0, 0, 0, 0);
	snprintf(other, sizeof other, "link to %s", path);
	look_at("normal", other, NORMAL(SYS_openat, AT_FDCWD, "/tmp/link", O_RDONLY, 0, 0, 0));
}

/* Each descriptor as a directory to start from, and as one of the host's that was left open. */
static void try_descriptors(void)
{
	char bytes[4096];
	int held = 0;
	for (int fd = -100; fd < 4096; fd++) {
		long n = RAW(SYS_pread64, fd, bytes, sizeof bytes, 0, 0, 0);
		held += n != -EBADF || RAW(SYS_write, fd, "", 0, 0, 0, 0) != -EBADF;
		if (n > 0 && fd != arena_descriptor() && memmem(bytes, (size_t)n, "OUTSIDE", 7))
			printf("ESCAPED: descriptor %d was left open\n", fd);
		if (RAW(SYS_openat, fd, ".", O_RDONLY, 0, 0, 0) != -ENOSYS ||
		    RAW(SYS_openat, fd, "../../../etc/passwd", O_RDONLY, 0, 0, 0) != -ENOSYS)
			printf("ESCAPED: descriptor %d is a way\n", fd);
	}
	printf("tried 4196 descriptors, %d are open\n", held);
}

/* The host's directories by descriptor: `..` of what the broker handed over. */
static void try_directories(void)
{
	static const char *const directories[] = {"/usr", "/script", "/", "/proc", "/proc/self/fd", "/etc", "/dev"};
	char what[128];
	for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
		long fd = NORMAL(SYS_openat, AT_FDCWD, directories[i], O_RDONLY | O_DIRECTORY, 0, 0, 0);
		snprintf(what, sizeof what, "../../../../etc/shadow from %s", directories[i]);
		look_at("normal", what, NORMAL(SYS_openat, fd, "../../../../etc/shadow", O_RDONLY, 0, 0, 0));
		said("raw", what, RAW(SYS_openat, fd, "../../../../etc/shadow", O_RDONLY, 0, 0, 0));
		said("raw", "fchdir", RAW(SYS_fchdir, fd, 0, 0, 0, 0, 0));
		NORMAL(SYS_close, fd, 0, 0, 0, 0, 0);
	}
}

/* What the broker hands over is for reading only. */
static void try_writing(void)
{
	long fd = NORMAL(SYS_openat, AT_FDCWD, "/usr/bin/env", O_RDONLY, 0, 0, 0);
	said("normal", "write to a program of the host", NORMAL(SYS_write, fd, "x", 1, 0, 0, 0));
	int written = 0, mapped = 0, outputs = 0;
	int arena = arena_descriptor(), broker = broker_socket();
	for (int native = 0; native < 100; native++) {
		char byte;
		if (native == arena || native == broker)
			continue;
		bool reads = RAW(SYS_pread64, native, &byte, 1, 0, 0, 0) >= 0;
		bool writes = RAW(SYS_write, native, "", 0, 0, 0, 0) >= 0;
		if (!reads && !writes)
			continue;
		if (!reads) { /* an output: it cannot be read, and so neither mapped */
			outputs++;
			mapped += RAW(SYS_mmap, 0x20000000, 4096, 3, 0x11, native, 0) > 0;
			continue;
		}
		written += RAW(SYS_write, native, "ESCAPED", 7, 0, 0, 0) >= 0;
		mapped += RAW(SYS_mmap, 0x20000000, 4096, 3, 0x11, native, 0) > 0;
		if (RAW(SYS_mmap, 0x20000000, 4096, 1, 0x11, native, 0) > 0)
			mapped += RAW(SYS_mprotect, 0x20000000, 4096, 3, 0, 0, 0) == 0;
	}
	printf("of the host's files %d were written, %d mapped for writing; %d outputs\n", written, mapped, outputs);
}

static bool next_line(char *line, int size)
{
	if (!fgets(line, size, stdin))
		return false;
	line[strcspn(line, "\n")] = 0;
	return true;
}

int main(void)
{
	char path[4096];
	take_over();
	next_line(word, sizeof word);
	word_length = strlen(word);
	while (next_line(path, sizeof path))
		try_path(path);
	try_directories();
	try_descriptors();
	try_writing();
	puts("tried the files");
	return 0;
}
