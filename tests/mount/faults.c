/*
 * Faults below the store, for tests: preloaded into zvm, it lets calls on files of one directory fail, fall short, take
 * long, or be the last thing that the process does.
 *
 *     LD_PRELOAD=faults.so ZVM_FAULTS=/path/of/control ZVM_FAULTS_BELOW=/path/of/store zvm mount ...
 *
 * The control file is struct control, shared by all processes and by the test, which may write to it at any time
 * (test_faults.py has the same layout). A call counts if its kind is among `operations` and the file lies in one of
 * `places`; the first `skip` of those pass, the next `count` meet the fault. Both run down as they are used.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum operation {
	OPEN = 1,
	CREATE = 2,
	READ = 4,
	WRITE = 8,
	LINK = 16,
	RENAME = 32,
	MKDIR = 64,
	SYNC = 128,
	CHMOD = 256,
	TRUNCATE = 512,
	COPY = 1024,
	CLONE = 2048,
	STAT = 4096,
	UNLINK = 8192,
	UNNAMED = 16384, /* O_TMPFILE, and so creating, too */
};

enum place { OBJECTS = 1, RECORDS = 2, TABLES = 4, TEMPORARY = 8, ELSEWHERE = 16 };

enum action { NOTHING, FAIL, SHORT, KILL_BEFORE, KILL_AFTER, STALL };

#define STALL_MOST_S 20

struct control {
	uint32_t action, operations, places;
	int32_t error;
	int32_t skip, count; /* atomic */
	uint32_t met;        /* atomic: how many met the fault */
};

static struct control *control;
static char below[4096];
static size_t below_size;

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("ZVM_FAULTS"), *store = getenv("ZVM_FAULTS_BELOW");
	int fd = path && store ? open(path, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	void *at = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	snprintf(below, sizeof below, "%s/", store);
	below_size = strlen(below);
	if (at != MAP_FAILED)
		control = at;
}

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

/* --- does this call meet the fault? --- */

static enum place place_of(const char *path)
{
	static const char *const names[] = {"objects", "records", "stat", "tmp"};
	if (strncmp(path, below, below_size))
		return 0;
	for (unsigned i = 0; i < 4; i++) {
		size_t n = strlen(names[i]);
		if (!strncmp(path + below_size, names[i], n) && (path[below_size + n] == '/' || !path[below_size + n]))
			return (enum place)(1u << i);
	}
	return ELSEWHERE;
}

static enum place place_at(int directory, const char *name)
{
	char path[8192], link[48];
	if (*name == '/')
		return place_of(name);
	snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
	ssize_t n = readlink(link, path, sizeof path / 2);
	if (n < 0)
		return 0;
	snprintf(path + n, sizeof path - (size_t)n, *name ? "/%s" : "%s", name);
	return place_of(path);
}

static void die(void)
{
	kill(getpid(), SIGKILL);
}

/* Until the test has changed its mind. */
static void stall(void)
{
	for (int ms = 0; ms < STALL_MOST_S * 1000; ms++) {
		if (__atomic_load_n(&control->action, __ATOMIC_ACQUIRE) != STALL)
			return;
		usleep(1000);
	}
}

/* The action that this call meets, or NOTHING. */
static enum action meets(enum operation operation, int directory, const char *name)
{
	int saved = errno;
	enum action action = control ? __atomic_load_n(&control->action, __ATOMIC_ACQUIRE) : NOTHING;
	if (action == NOTHING || !(control->operations & operation) ||
	    !(control->places & (uint32_t)place_at(directory, name)))
		action = NOTHING;
	else if (__atomic_fetch_sub(&control->skip, 1, __ATOMIC_RELAXED) > 0)
		action = NOTHING;
	else if (__atomic_fetch_sub(&control->count, 1, __ATOMIC_RELAXED) <= 0)
		action = NOTHING;
	else
		__atomic_fetch_add(&control->met, 1, __ATOMIC_RELAXED);
	if (action == KILL_BEFORE)
		die();
	if (action == STALL)
		stall();
	errno = saved;
	return action;
}

/* Does this call meet the fault, and is over with an error? */
#define CALL(type, failed, operation, directory, name, call)         \
	do {                                                         \
		enum action met = meets(operation, directory, name); \
		if (met == FAIL) {                                   \
			errno = control->error;                      \
			return failed;                               \
		}                                                    \
		type result = call;                                  \
		if (met == KILL_AFTER)                               \
			die();                                       \
		return result;                                       \
	} while (0)

/* --- opening --- */

static enum operation open_kind(int flags)
{
	if ((flags & O_TMPFILE) == O_TMPFILE)
		return CREATE | UNNAMED;
	return flags & O_CREAT ? CREATE : OPEN;
}

int openat(int directory, const char *name, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	mode_t mode = open_kind(flags) & CREATE ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	CALL(int, -1, open_kind(flags), directory, name, REAL(openat)(directory, name, flags, mode));
}

int open(const char *name, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	mode_t mode = open_kind(flags) & CREATE ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	CALL(int, -1, open_kind(flags), AT_FDCWD, name, REAL(open)(name, flags, mode));
}

int __openat_2(int directory, const char *name, int flags);
int __openat_2(int directory, const char *name, int flags)
{
	return openat(directory, name, flags);
}

/* --- bytes --- */

/* A short transfer moves one byte, as Linux may. */
#define TRANSFER(operation, fd, size, call)                 \
	do {                                                \
		enum action met = meets(operation, fd, ""); \
		if (met == FAIL) {                          \
			errno = control->error;             \
			return -1;                          \
		}                                           \
		if (met == SHORT && size > 1)               \
			size = 1;                           \
		ssize_t result = call;                      \
		if (met == KILL_AFTER)                      \
			die();                              \
		return result;                              \
	} while (0)

ssize_t read(int fd, void *data, size_t size)
{
	TRANSFER(READ, fd, size, REAL(read)(fd, data, size));
}

ssize_t pread(int fd, void *data, size_t size, off_t at)
{
	TRANSFER(READ, fd, size, REAL(pread)(fd, data, size, at));
}

ssize_t __pread_chk(int fd, void *data, size_t size, off_t at, size_t room);
ssize_t __pread_chk(int fd, void *data, size_t size, off_t at, size_t room)
{
	(void)room;
	return pread(fd, data, size, at);
}

ssize_t write(int fd, const void *data, size_t size)
{
	TRANSFER(WRITE, fd, size, REAL(write)(fd, data, size));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
	TRANSFER(WRITE, fd, size, REAL(pwrite)(fd, data, size, at));
}

ssize_t copy_file_range(int from, off64_t *at_from, int to, off64_t *at_to, size_t size, unsigned flags)
{
	TRANSFER(COPY, to, size, REAL(copy_file_range)(from, at_from, to, at_to, size, flags));
}

/* --- names and attributes --- */

int linkat(int from, const char *name, int to, const char *new_name, int flags)
{
	CALL(int, -1, LINK, to, new_name, REAL(linkat)(from, name, to, new_name, flags));
}

int renameat(int from, const char *name, int to, const char *new_name)
{
	CALL(int, -1, RENAME, from, name, REAL(renameat)(from, name, to, new_name));
}

int renameat2(int from, const char *name, int to, const char *new_name, unsigned flags)
{
	CALL(int, -1, RENAME, from, name, REAL(renameat2)(from, name, to, new_name, flags));
}

int unlinkat(int directory, const char *name, int flags)
{
	CALL(int, -1, UNLINK, directory, name, REAL(unlinkat)(directory, name, flags));
}

int mkdirat(int directory, const char *name, mode_t mode)
{
	CALL(int, -1, MKDIR, directory, name, REAL(mkdirat)(directory, name, mode));
}

int fsync(int fd)
{
	CALL(int, -1, SYNC, fd, "", REAL(fsync)(fd));
}

int fchmod(int fd, mode_t mode)
{
	CALL(int, -1, CHMOD, fd, "", REAL(fchmod)(fd, mode));
}

int ftruncate(int fd, off_t size)
{
	CALL(int, -1, TRUNCATE, fd, "", REAL(ftruncate)(fd, size));
}

int fstat(int fd, struct stat *st)
{
	CALL(int, -1, STAT, fd, "", REAL(fstat)(fd, st));
}

int fstatat(int directory, const char *name, struct stat *st, int flags)
{
	CALL(int, -1, STAT, directory, name, REAL(fstatat)(directory, name, st, flags));
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request != FICLONE)
		return REAL(ioctl)(fd, request, argument);
	CALL(int, -1, CLONE, fd, "", REAL(ioctl)(fd, request, argument));
}
