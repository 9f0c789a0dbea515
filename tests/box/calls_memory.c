/* Memory: mapping, moving, protecting, advising, and mappings of files that everybody sees through each other. */
#include "calls.h"
#include <alloca.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define PAGE 4096ul
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)
#define FAILS_MAP(name, call, error) FAILS(name, (long)(call), error)

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static sigjmp_buf back;
static volatile int caught;
static volatile void *caught_at;
static volatile int caught_code;

static void catch (int number, siginfo_t *info, void *context)
{
	(void)context;
	caught = number;
	caught_at = info->si_addr;
	caught_code = info->si_code;
	siglongjmp(back, 1);
}

/* The signal that touching it raises, 0 if none. */
static int touch(volatile char *at, bool write)
{
	caught = 0;
	if (!sigsetjmp(back, 1)) {
		if (write)
			*at = 1;
		else
			(void)*at;
	}
	return caught;
}

static void mapping(void)
{
	char *at = mmap(NULL, 3 * PAGE, RW, ANONYMOUS, -1, 0);
	HOLDS("mmap gives zeros at a page",
	      at != MAP_FAILED && (unsigned long)at % PAGE == 0 && !at[0] && !at[3 * PAGE - 1]);
	FAILS_MAP("no length", mmap(NULL, 0, RW, ANONYMOUS, -1, 0), EINVAL);
	FAILS_MAP("neither shared nor private", mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
	FAILS_MAP("an offset that is no page's", mmap(NULL, PAGE, RW, ANONYMOUS, -1, 5), EINVAL);
	FAILS_MAP("a length beyond all", mmap(NULL, 1ul << 62, RW, ANONYMOUS, -1, 0), ENOMEM);
	FAILS_MAP("a length that wraps", mmap(NULL, ~0ul, RW, ANONYMOUS, -1, 0), ENOMEM);
	FAILS_MAP("a length of all there can be", mmap(NULL, 1ul << 47, PROT_NONE, ANONYMOUS, -1, 0), ENOMEM);
	FAILS_MAP("a closed descriptor", mmap(NULL, PAGE, RW, MAP_PRIVATE, 999, 0), EBADF);
	FAILS_MAP("a fixed place that is no page", mmap(at + 1, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0), EINVAL);
	FAILS_MAP("a fixed place that is taken", mmap(at, PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	FAILS_MAP("a fixed place beyond the user's", mmap((void *)(1ul << 47), PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0),
	          ENOMEM);
	FAILS_MAP("the page of null pointers", mmap(NULL, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0), EPERM);
	at[PAGE] = 'x';
	IS("a fixed place replaces what is there", mmap(at + PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0), at + PAGE);
	IS("by zeros", at[PAGE], 0);
	IS("munmap of a page in the middle", munmap(at + PAGE, PAGE), 0);
	IS("leaves a hole", touch(at + PAGE, false), SIGSEGV);
	HOLDS("of which the handler hears", caught_at == at + PAGE && caught_code == SEGV_MAPERR);
	IS("and what is around", touch(at, true) | touch(at + 2 * PAGE, true), 0);
	IS("a hint that is free is taken", mmap(at + PAGE, PAGE, RW, ANONYMOUS, -1, 0), at + PAGE);
	HOLDS("one that is not gives another place", mmap(at + PAGE, PAGE, RW, ANONYMOUS, -1, 0) != at + PAGE);
	IS("a fixed free place",
	   (munmap(at + PAGE, PAGE), mmap(at + PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)), at + PAGE);
	IS("munmap of what is not mapped", munmap((void *)0x123400000000, PAGE), 0);
	FAILS("munmap of no length", munmap(at, 0), EINVAL);
	FAILS("munmap of no page", munmap(at + 1, PAGE), EINVAL);
	FAILS("munmap of a length that wraps", munmap(at, ~0ul - PAGE), EINVAL);
	HOLDS("MAP_32BIT", (unsigned long)mmap(NULL, PAGE, RW, ANONYMOUS | MAP_32BIT, -1, 0) < 1ul << 31);
	HOLDS("a stack may be asked to grow",
	      mmap(NULL, PAGE, RW, ANONYMOUS | MAP_GROWSDOWN | MAP_STACK, -1, 0) != MAP_FAILED);
	HOLDS("memory may be reserved without end",
	      mmap(NULL, 1ul << 38, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED);
	HOLDS("populated memory is there", mmap(NULL, PAGE, RW, ANONYMOUS | MAP_POPULATE, -1, 0) != MAP_FAILED);
	munmap(at, 3 * PAGE);
}

static void protecting(void)
{
	char *at = mmap(NULL, 3 * PAGE, RW, ANONYMOUS, -1, 0);
	at[PAGE] = 'x';
	IS("mprotect", mprotect(at + PAGE, PAGE, PROT_READ), 0);
	IS("to be read", touch(at + PAGE, false), 0);
	IS("and not written", touch(at + PAGE, true), SIGSEGV);
	HOLDS("of which the handler hears", caught_code == SEGV_ACCERR);
	IS("nor touched at all", (mprotect(at + PAGE, PAGE, PROT_NONE), touch(at + PAGE, false)), SIGSEGV);
	IS("and back", mprotect(at, 3 * PAGE, RW), 0);
	IS("with what was there", at[PAGE], 'x');
	IS("of no length", mprotect(at, 0, RW), 0);
	FAILS("of no page", mprotect(at + 1, PAGE, RW), EINVAL);
	FAILS("in an unknown way", mprotect(at, PAGE, 64), EINVAL);
	FAILS("of what is not mapped", (munmap(at + 2 * PAGE, PAGE), mprotect(at, 3 * PAGE, RW)), ENOMEM);
	munmap(at, 2 * PAGE);
}

static void moving(void)
{
	char *at = mmap(NULL, 8 * PAGE, RW, ANONYMOUS, -1, 0), *moved;
	NEED(munmap(at + 4 * PAGE, 4 * PAGE) == 0);
	strcpy(at, "start");
	strcpy(at + 3 * PAGE, "last");
	IS("mremap to more where there is room", mremap(at, 4 * PAGE, 6 * PAGE, 0), at);
	IS("gives zeros", at[5 * PAGE], 0);
	IS("mremap to less", mremap(at, 6 * PAGE, 4 * PAGE, 0), at);
	IS("gives back", touch(at + 4 * PAGE, false), SIGSEGV);
	char *block = mmap(at + 4 * PAGE, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0);
	FAILS_MAP("mremap to more where there is none", mremap(at, 4 * PAGE, 6 * PAGE, 0), ENOMEM);
	moved = mremap(at, 4 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
	HOLDS("mremap that may move", moved != MAP_FAILED && moved != at);
	HOLDS("takes what was there along", !strcmp(moved, "start") && !strcmp(moved + 3 * PAGE, "last"));
	IS("and leaves nothing", touch(at, false), SIGSEGV);
	char *target = mmap(NULL, 64 * PAGE, RW, ANONYMOUS, -1, 0);
	IS("mremap to a fixed place", mremap(moved, 64 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target),
	   target);
	HOLDS("takes what was there along, too", !strcmp(target, "start") && !strcmp(target + 3 * PAGE, "last"));
	FAILS_MAP("a fixed place without moving", mremap(target, PAGE, PAGE, MREMAP_FIXED, at), EINVAL);
	FAILS_MAP("a fixed place that overlaps",
	          mremap(target, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + PAGE), EINVAL);
	FAILS_MAP("an unknown flag", mremap(target, PAGE, PAGE, 64), EINVAL);
	FAILS_MAP("no length", mremap(target, PAGE, 0, MREMAP_MAYMOVE), EINVAL);
	FAILS_MAP("no page", mremap(target + 1, PAGE, PAGE, MREMAP_MAYMOVE), EINVAL);
	FAILS_MAP("what is not mapped", mremap((void *)0x123400000000, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
	strcpy(target, "again");
	moved = mremap(target, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	HOLDS("mremap that leaves the place mapped", moved != MAP_FAILED && moved != target && !strcmp(moved, "again"));
	IS("leaves zeros there", touch(target, false) | target[0], 0);
	FAILS_MAP("which must be of one size",
	          mremap(moved, 4 * PAGE, 5 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL), EINVAL);
	FAILS_MAP("and may move", mremap(moved, 4 * PAGE, 4 * PAGE, MREMAP_DONTUNMAP, NULL), EINVAL);
	char *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	strcpy(shared, "shared");
	char *twin = mremap(shared, 0, PAGE, MREMAP_MAYMOVE);
	HOLDS("shared memory is mapped twice by mremap of no length",
	      twin != MAP_FAILED && !strcmp(twin, "shared") && (twin[0] = 'S', shared[0] == 'S'));
	munmap(block, PAGE);
}

static void advising(void)
{
	unsigned char resident[4];
	char *at = mmap(NULL, 4 * PAGE, RW, ANONYMOUS, -1, 0);
	memset(at, 'x', 4 * PAGE);
	IS("MADV_DONTNEED", madvise(at + PAGE, PAGE, MADV_DONTNEED), 0);
	HOLDS("gives zeros", at[PAGE] == 0 && at[0] == 'x' && at[2 * PAGE] == 'x');
	IS("MADV_WILLNEED", madvise(at, PAGE, MADV_WILLNEED), 0);
	IS("leaves all as it is", at[0], 'x');
	IS("MADV_SEQUENTIAL", madvise(at, PAGE, MADV_SEQUENTIAL), 0);
	IS("MADV_FREE", madvise(at, PAGE, MADV_FREE), 0);
	IS("MADV_HUGEPAGE", madvise(at, 4 * PAGE, MADV_NOHUGEPAGE), 0);
	IS("of no length", madvise(at, 0, MADV_DONTNEED), 0);
	FAILS("unknown advice", madvise(at, PAGE, 77), EINVAL);
	FAILS("of no page", madvise(at + 1, PAGE, MADV_DONTNEED), EINVAL);
	FAILS("of what is not mapped", (munmap(at + 3 * PAGE, PAGE), madvise(at, 4 * PAGE, MADV_WILLNEED)), ENOMEM);
	FAILS("unknown advice of nothing", madvise(at, 0, 77), EINVAL);
	IS("mincore", mincore(at, 3 * PAGE, resident), 0);
	IS("of what has been written", resident[2] & 1, 1);
	FAILS("mincore of what is not mapped", mincore(at, 4 * PAGE, resident), ENOMEM);
	FAILS("mincore of no page", mincore(at + 1, PAGE, resident), EINVAL);
	if (boxed) { /* whether a page has been touched is not to be seen: it could have been by the host */
		char *untouched = mmap(NULL, PAGE, RW, ANONYMOUS, -1, 0);
		IS("mincore is a constant", (mincore(untouched, PAGE, resident), resident[0]), 1);
	}
	IS("msync", msync(at, PAGE, MS_SYNC), 0);
	FAILS("msync in two ways", msync(at, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
	FAILS("msync of what is not mapped", msync(at, 4 * PAGE, MS_SYNC), ENOMEM);
	IS("mlock", mlock(at, PAGE), 0);
	IS("munlock", munlock(at, PAGE), 0);
	FAILS("mlock of what is not mapped", mlock(at, 4 * PAGE), ENOMEM);
	munmap(at, 3 * PAGE);
}

static void breaking(void)
{
	char *start = sbrk(0);
	IS("sbrk", sbrk(3 * 4096 + 7), start);
	start[3 * PAGE] = 'x';
	IS("brk down", brk(start), 0);
	IS("and up gives zeros", (sbrk(4 * PAGE), start[3 * PAGE]), 0);
	IS("brk says where it is when it cannot", syscall(SYS_brk, 0), start + 4 * PAGE);
	IS("and below its start", syscall(SYS_brk, 4096), start + 4 * PAGE);
	IS("and over the end of memory", syscall(SYS_brk, 1ul << 46), start + 4 * PAGE);
	char *there = mmap((void *)(((unsigned long)start + 8 * PAGE) & ~(PAGE - 1)), PAGE, RW,
	                   ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	HOLDS("where something is mapped in the way",
	      there != MAP_FAILED && syscall(SYS_brk, there + PAGE) == (long)start + 4 * PAGE);
	munmap(there, PAGE);
	brk(start);
}

static void files(void)
{
	char text[32] = "";
	int fd = make_file("mapped", "0123456789");
	char *shared = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0),
	     *other = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	char *private = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
	HOLDS("a file is mapped", !memcmp(shared, "0123456789", 10) && !memcmp(private, "0123456789", 10));
	IS("with zeros behind its end", shared[10] | private[PAGE - 1], 0);
	shared[0] = 'A';
	HOLDS("what is written there is read", pread(fd, text, 10, 0) == 10 && text[0] == 'A');
	IS("and seen in other mappings", other[0], 'A');
	IS("what is written is seen in mappings", (pwrite(fd, "B", 1, 1), shared[1]), 'B');
	private[2] = 'C';
	HOLDS("what is written privately is not", shared[2] == '2' && (pread(fd, text, 10, 0), text[2] == '2'));
	IS("a page behind the end raises SIGBUS", touch(shared + PAGE, false), SIGBUS);
	HOLDS("of which the handler hears", caught_at == shared + PAGE && caught_code == BUS_ADRERR);
	IS("until the file grows", (ftruncate(fd, PAGE + 5), touch(shared + PAGE, true)), 0);
	HOLDS("where it is written and read", pread(fd, text, 5, PAGE) == 5 && text[0] == 1);
	IS("and when it shrinks again", (ftruncate(fd, 10), touch(shared + PAGE, false)), SIGBUS);
	IS("then it is gone", (ftruncate(fd, 2 * PAGE), shared[PAGE]), 0);
	shared[11] = 'x';
	IS("what was cut off is zeros", (ftruncate(fd, 10), ftruncate(fd, 20), shared[11]), 0);
	IS("a write with O_TRUNC empties mappings, too",
	   (close(open("mapped", O_WRONLY | O_TRUNC)), touch(shared, false)), SIGBUS);
	munmap(shared, 2 * PAGE);
	munmap(other, PAGE);
	munmap(private, PAGE);

	NEED(ftruncate(fd, 4 * PAGE) == 0 && pwrite(fd, "page two", 8, 2 * PAGE) == 8);
	shared = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, PAGE);
	HOLDS("from an offset", !memcmp(shared + PAGE, "page two", 8));
	strcpy(shared, "page one");
	IS("a hole is filled by writing", (pread(fd, text, 8, PAGE), memcmp(text, "page one", 8)), 0);
	HOLDS("after closing and removing",
	      (close(fd), unlink("mapped"), shared[0] = 'P', !memcmp(shared, "Page one", 8)));
	char *moved = mremap(shared, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE);
	HOLDS("moved and grown, it is still the file",
	      moved != MAP_FAILED && !memcmp(moved + PAGE, "page two", 8) && moved[2 * PAGE] == 0);
	munmap(moved, 3 * PAGE);

	fd = make_file("modes", "modes");
	int reader = open("modes", O_RDONLY), writer = open("modes", O_WRONLY), pair[2];
	FAILS_MAP("a shared mapping to write of what is read only", mmap(NULL, PAGE, RW, MAP_SHARED, reader, 0),
	          EACCES);
	FAILS_MAP("a mapping of what is written only", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, writer, 0), EACCES);
	HOLDS("a private one to write", mmap(NULL, PAGE, RW, MAP_PRIVATE, reader, 0) != MAP_FAILED);
	other = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, reader, 0);
	FAILS("which cannot become writable later", mprotect(other, PAGE, RW), EACCES);
	NEED(pipe(pair) == 0);
	FAILS_MAP("a pipe", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, pair[0], 0), ENODEV);
	FAILS_MAP("a directory", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, open(".", O_RDONLY), 0), ENODEV);
	int zero = open("/dev/zero", O_RDWR);
	char *zeros = mmap(NULL, PAGE, RW, MAP_PRIVATE, zero, 0);
	HOLDS("/dev/zero is memory", zeros != MAP_FAILED && zeros[5] == 0 && (zeros[5] = 1));
	fd = open("/usr/bin/env", O_RDONLY);
	char *program = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	HOLDS("a file of the host", program != MAP_FAILED && !memcmp(program, "\177ELF", 4));
	program = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	HOLDS("and shared", program != MAP_FAILED && !memcmp(program, "\177ELF", 4));
	FAILS("but not to write", mprotect(program, PAGE, RW), EACCES);
	fd = memfd_create("m", 0);
	NEED(ftruncate(fd, PAGE) == 0);
	shared = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
	HOLDS("a memfd", (shared[0] = 'm', pread(fd, text, 1, 0) == 1 && text[0] == 'm'));
	HOLDS("read into its own mapping",
	      (pwrite(fd, "self", 4, 100), pread(fd, shared + 200, 4, 100) == 4 && !memcmp(shared + 200, "self", 4)));
}

/* What a child writes there its parent sees, and nothing else. */
static void children(void)
{
	int fd = make_file("child", "x"), status;
	char *anonymous = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
	     *own = mmap(NULL, PAGE, RW, ANONYMOUS, -1, 0);
	char *file = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
	pid_t child = fork();
	if (child == 0) {
		anonymous[0] = 'a';
		own[0] = 'o';
		file[0] = 'f';
		_exit(7);
	}
	IS("waitpid", waitpid(child, &status, 0), child);
	IS("the child's status", WEXITSTATUS(status), 7);
	IS("shared memory is", anonymous[0], 'a');
	IS("private memory is", own[0], 0);
	IS("and a file is shared", file[0], 'f');
	char *longer = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
	IS("behind the end there is nothing", touch(longer + PAGE, false), SIGBUS);
	child = fork();
	if (child == 0) {
		ftruncate(fd, 3 * PAGE);
		_exit(pwrite(fd, "g", 1, PAGE) != 1);
	}
	IS("until another makes it longer", (waitpid(child, &status, 0), status), 0);
	IS("then it is seen", touch(longer + PAGE, false) ? -1 : longer[PAGE], 'g');
	int program = open("/usr/bin/env", O_RDONLY);
	IS("and read into", read(program, longer + 2 * PAGE, 100), 100);
	HOLDS("what is there", !memcmp(longer + 2 * PAGE, "\177ELF", 4));
	child = fork();
	if (child == 0)
		_exit(ftruncate(fd, 2 * PAGE));
	waitpid(child, &status, 0);
	IS("and when another makes it shorter there is nothing again", touch(longer + 2 * PAGE, false), SIGBUS);
	munmap(longer, 3 * PAGE);
}

/* How much can be had is the limit of the box; after giving it back, as much again. */
static long most(void)
{
	long sum = 0;
	char *blocks[1024];
	int n = 0;
	while (n < 1024 && (blocks[n] = mmap(NULL, 1 << 20, RW, ANONYMOUS, -1, 0)) != MAP_FAILED)
		n++, sum++;
	for (int i = 0; i < n; i++)
		munmap(blocks[i], 1 << 20);
	return sum;
}

static void limit(void)
{
	long first = most();
	HOLDS("the limit is there", first > 8 && first < 64);
	IS("and the same again", most(), first);
	char *at = mmap(NULL, 1 << 20, PROT_NONE, ANONYMOUS, -1, 0);
	IS("what cannot be written counts nothing", most(), first);
	IS("until it can", (mprotect(at, 1 << 20, RW), most()), first - 1);
	munmap(at, 1 << 20);
	IS("and then no more", most(), first);
	FAILS("brk has the same limit", sbrk(64 << 20), ENOMEM);
	at = mmap(NULL, 4 << 20, RW, ANONYMOUS, -1, 0);
	FAILS_MAP("mremap has it, too", mremap(at, 4 << 20, 64 << 20, MREMAP_MAYMOVE), ENOMEM);
	munmap(at, 4 << 20);
	IS("moving counts once",
	   (at = mmap(NULL, 4 << 20, RW, ANONYMOUS, -1, 0), at = mremap(at, 4 << 20, 8 << 20, MREMAP_MAYMOVE),
	    munmap(at, 8 << 20), most()),
	   first);
	at = mmap(NULL, 2 << 20, RW, ANONYMOUS, -1, 0);
	char *moved = mremap(at, 2 << 20, 2 << 20, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	IS("leaving the place mapped counts it", most(), first - 4);
	munmap(at, 2 << 20);
	munmap(moved, 2 << 20);
	IS("until both are given back", most(), first);
}

/* --- the stack --- */

#define MIB (1ul << 20)

/* So many pages deep. */
static __attribute__((noinline)) long deep(long pages)
{
	volatile char here[4000];
	memset((char *)here, (int)pages, sizeof here);
	return pages <= 1 ? here[7] : deep(pages - 1) + here[9];
}

static void limit_stack(unsigned long size)
{
	struct rlimit old, new;
	getrlimit(RLIMIT_STACK, &old);
	new = (struct rlimit){size, old.rlim_max};
	NEED(setrlimit(RLIMIT_STACK, &new) == 0);
}

static void *thread_deep(void *pages)
{
	return (void *)deep((long)pages);
}

static int find_stack(char *line, size_t room)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	int found = 0;
	while (fgets(line, (int)room, maps))
		if (strstr(line, "[stack]")) {
			found = 1;
			break;
		}
	fclose(maps);
	return found;
}

/* What a program does that was started under a limit, or sets one itself; each by its name. */
static int under_limit(const char *what)
{
	pthread_attr_t attributes;
	void *address;
	size_t size;
	char line[256];
	unsigned long low, high;
	if (!strncmp(what, "deep ", 5))
		deep(atol(what + 5));
	else if (!strcmp(what, "size")) {
		pthread_getattr_np(pthread_self(), &attributes);
		pthread_attr_getstack(&attributes, &address, &size);
		return (int)((size + MIB / 2) / MIB);
	} else if (!strcmp(what, "raise")) {
		limit_stack(32 * MIB);
		deep(5000);
		NEED(find_stack(line, sizeof line) && sscanf(line, "%lx-%lx", &low, &high) == 2);
		return high - low >= 19 * MIB && high - low < 32 * MIB ? 0 : 2;
	} else if (!strcmp(what, "read")) {
		char *buffer = alloca(20 * MIB);
		int zero = open("/dev/zero", O_RDONLY), file = open("/etc/passwd", O_RDONLY);
		if (read(zero, buffer, 5000) != 5000)
			return 3;
		return pread(file, buffer - 3 * MIB, 4, 0) == 4 && !memcmp(buffer - 3 * MIB, "root", 4) ? 0 : 4;
	} else if (!strcmp(what, "host")) {
		char *buffer = alloca(18 * MIB);
		int file = open("/proc/self/exe", O_RDONLY);
		return read(file, buffer, 9000) == 9000 && !memcmp(buffer, "\177ELF", 4) ? 0 : 3;
	} else if (!strcmp(what, "guard")) {
		char *below = (char *)((uintptr_t)line & -MIB) - 16 * MIB;
		NEED(mmap(below, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0) == below);
		volatile char *at = below + 2 * MIB;
		*at = 1;
		at = below + MIB / 2;
		*at = 1;
	} else if (!strcmp(what, "fork")) {
		deep(5000);
		pid_t child = fork();
		if (child == 0) {
			deep(6000);
			_exit(7);
		}
		int status;
		waitpid(child, &status, 0);
		return status == 7 << 8 ? 0 : 2;
	} else if (!strcmp(what, "thread")) {
		pthread_t thread;
		pthread_create(&thread, NULL, thread_deep, (void *)4000);
		pthread_join(thread, NULL);
	} else if (!strcmp(what, "words")) {
		return 5;
	}
	return 0;
}

static int run_under(unsigned long size, const char *what)
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		limit_stack(size);
		execl("/proc/self/exe", "calls_memory", "under", what, NULL);
		_exit(98);
	}
	waitpid(child, &status, 0);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void stacks(void)
{
	IS("a stack of 8 MiB", run_under(8 * MIB, "deep 1900"), 0);
	IS("and no more", run_under(8 * MIB, "deep 2200"), -SIGSEGV);
	IS("a larger one", run_under(32 * MIB, "deep 7500"), 0);
	IS("which ends, too", run_under(32 * MIB, "deep 9000"), -SIGSEGV);
	IS("a smaller one", run_under(2 * MIB, "deep 400"), 0);
	IS("that is as small", run_under(2 * MIB, "deep 700"), -SIGSEGV);
	IS("an unlimited one", run_under(RLIM_INFINITY, "deep 9000"), 0);
	IS("a program knows how large it is", run_under(24 * MIB, "size"), 24);
	IS("also of a small one", run_under(4 * MIB, "size"), 4);
	IS("a limit that is raised by the program itself", run_under(8 * MIB, "raise"), 0);
	IS("the kernel writes where nothing was yet", run_under(32 * MIB, "read"), 0);
	IS("a file of the host's as well", run_under(32 * MIB, "host"), 0);
	IS("it keeps away from what lies below", run_under(32 * MIB, "guard"), -SIGSEGV);
	IS("a child has what has grown", run_under(32 * MIB, "fork"), 0);
	IS("threads get as much as the limit", run_under(24 * MIB, "thread"), 0);
	IS("even with hardly any the words are there", run_under(50 * PAGE, "words"), 5);
	struct rlimit got;
	pid_t child = fork();
	if (child == 0)
		pause();
	struct rlimit new = {3 * MIB, 5 * MIB};
	IS("the limits of a child", prlimit(child, RLIMIT_STACK, &new, NULL), 0);
	IS("can be asked for", (prlimit(child, RLIMIT_STACK, NULL, &got), got.rlim_cur), 3 * MIB);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	FAILS("nobody's cannot", prlimit(999999, RLIMIT_STACK, NULL, &got), ESRCH);
}

int main(int argc, char **argv)
{
	if (argc > 2)
		return under_limit(argv[2]);
	struct sigaction action = {.sa_sigaction = catch, .sa_flags = SA_SIGINFO};
	begin();
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	mapping();
	protecting();
	moving();
	advising();
	breaking();
	files();
	children();
	stacks();
	if (boxed) {
		IS("what has grown counts as memory", run_under(RLIM_INFINITY, "deep 20000"), -SIGSEGV);
		limit();
	}
	return end();
}
