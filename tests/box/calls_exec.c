/*
 * execve and execveat: what is refused, and with which errno while the old program still stands; what a new program
 * finds of the old one, and what it must not find. It executes itself: with an argument, it is the new one.
 */
#include "calls.h"
#include <elf.h>
#include <fenv.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;
static char self[PATH_MAX];
int main(int argc, char **argv);
static char *const no_words[] = {NULL};

/* --- the new program --- */

static struct sigaction action_of(int number)
{
	struct sigaction action;
	sigaction(number, NULL, &action);
	return action;
}

/* Each returns how many things are wrong. */
static int signals_after(char **more)
{
	sigset_t blocked, pending;
	stack_t stack;
	(void)more;
	sigprocmask(SIG_SETMASK, NULL, &blocked);
	sigpending(&pending);
	sigaltstack(NULL, &stack);
	return (action_of(SIGUSR1).sa_handler != SIG_DFL) + (action_of(SIGUSR2).sa_handler != SIG_IGN) +
	       (action_of(SIGUSR1).sa_flags != 0) + !sigismember(&blocked, SIGHUP) + sigismember(&blocked, SIGUSR1) +
	       !sigismember(&pending, SIGHUP) + !(stack.ss_flags & SS_DISABLE);
}

static int descriptors_after(char **more)
{
	(void)more;
	return (fcntl(50, F_GETFD) != -1) + (fcntl(51, F_GETFD) != 0) + (lseek(51, 0, SEEK_CUR) != 3) +
	       (fcntl(52, F_GETFD) != -1);
}

static int timers_after(char **more)
{
	struct itimerval left;
	struct itimerspec gone;
	(void)more;
	getitimer(ITIMER_REAL, &left);
	return (left.it_value.tv_sec < 900) + (left.it_interval.tv_sec != 7) +
	       (syscall(SYS_timer_gettime, 0, &gone) != -1 || errno != EINVAL);
}

static int words_after(char **more)
{
	return strcmp(more[0], "two words") + strcmp(more[1], "") + (more[2] != NULL) + strcmp(environ[0], "A=1") +
	       strcmp(environ[1], "") + (environ[2] != NULL);
}

static int identity_after(char **more)
{
	char name[64], line[4096], exe[PATH_MAX];
	int fd = open("/proc/self/cmdline", O_RDONLY);
	ssize_t n = read(fd, line, sizeof line), k = readlink("/proc/self/exe", exe, sizeof exe - 1);
	prctl(PR_GET_NAME, name);
	exe[k < 0 ? 0 : k] = 0;
	mode_t mask = umask(0);
	int wrong = (getpid() != atoi(more[0])) + (getppid() != atoi(more[1])) + (getpgrp() != atoi(more[2])) +
	            (getsid(0) != atoi(more[3])) + (mask != 027) + (getpriority(PRIO_PROCESS, 0) != 2) +
	            !!strcmp(name, "calls_exec") + !!strcmp((char *)getauxval(AT_EXECFN), more[4]) +
	            !!strcmp(exe, more[4]) + (prctl(PR_GET_DUMPABLE) != 1) + (n < 12 || strcmp(line, "calls_exec")) +
	            !!strcmp(getcwd(line, sizeof line), "/usr") + (getpid() != syscall(SYS_gettid));
	void *robust;
	size_t size;
	wrong += syscall(SYS_get_robust_list, 0, &robust, &size) != 0;
	return wrong;
}

static int state_after(char **more)
{
	unsigned control;
	unsigned short x87;
	(void)more;
	__asm__("stmxcsr %0" : "=m"(control));
	__asm__("fnstcw %0" : "=m"(x87));
	return (fegetround() != FE_TONEAREST) + (control != 0x1f80) + (x87 != 0x37f);
}

static int memory_after(char **more)
{
	return msync((void *)strtoul(more[0], NULL, 0), 4096, MS_ASYNC) != -1 || errno != ENOMEM;
}

static int addresses(char *to)
{
	return sprintf(to, "%p %p %p", (void *)main, (void *)&printf, (void *)((uintptr_t)environ >> 20));
}

static int layout_after(char **more)
{
	char now[128];
	addresses(now);
	return !!strcmp(now, more[0]);
}

static int name_after(char **more)
{
	return strcmp((char *)getauxval(AT_EXECFN), more[0]);
}

static const struct {
	const char *name;
	int (*check)(char **more);
} afterwards[] = {
        {"signals", signals_after}, {"descriptors", descriptors_after}, {"timers", timers_after},
        {"words", words_after},     {"identity", identity_after},       {"state", state_after},
        {"memory", memory_after},   {"layout", layout_after},           {"name", name_after},
};

static int be_new(char **argv)
{
	for (size_t i = 0; i < sizeof afterwards / sizeof afterwards[0]; i++)
		if (!strcmp(argv[1], afterwards[i].name))
			return afterwards[i].check(argv + 2);
	return atoi(argv[1]);
}

/* --- the old one --- */

static int status_of(pid_t pid)
{
	int status;
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define AFTER(name, ...)                      \
	({                                    \
		fflush(stdout);               \
		pid_t pid_ = fork();          \
		if (!pid_) {                  \
			__VA_ARGS__;          \
			_exit(111);           \
		}                             \
		IS(name, status_of(pid_), 0); \
	})
#define SELF(...) execl(self, "calls_exec", __VA_ARGS__, NULL)

static void nothing(int number)
{
	(void)number;
}

static void prepare_signals(void)
{
	static char stack[65536];
	sigset_t set;
	stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
	signal(SIGUSR1, nothing);
	signal(SIGUSR2, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaltstack(&alternate, NULL);
	raise(SIGHUP);
}

static void prepare_descriptors(void)
{
	int fd = make_file("described", "abcdef");
	lseek(fd, 3, SEEK_SET);
	dup3(fd, 50, O_CLOEXEC);
	dup2(fd, 51);
	dup2(fd, 52);
	fcntl(52, F_SETFD, FD_CLOEXEC);
}

static void prepare_timers(void)
{
	timer_t timer;
	struct itimerspec later = {.it_value.tv_sec = 1000};
	struct sigevent quiet = {.sigev_notify = SIGEV_NONE};
	timer_create(CLOCK_MONOTONIC, &quiet, &timer);
	timer_settime(timer, 0, &later, NULL);
	setitimer(ITIMER_REAL, &(struct itimerval){{7, 0}, {1000, 0}}, NULL);
}

static void become_identity(void)
{
	char numbers[4][16];
	setpgid(0, 0);
	umask(027);
	setpriority(PRIO_PROCESS, 0, 2);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_NAME, "another");
	chdir("/usr");
	const int values[] = {getpid(), getppid(), getpgrp(), getsid(0)};
	for (int i = 0; i < 4; i++)
		sprintf(numbers[i], "%d", values[i]);
	SELF("identity", numbers[0], numbers[1], numbers[2], numbers[3], self);
}

static void become_without_memory(void)
{
	char address[32];
	void *place = mmap((void *)0x200000000, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	sprintf(address, "%p", place);
	SELF("memory", address);
}

static void *thread_that_executes(void *unused)
{
	return SELF("0"), unused;
}

static void *thread_that_waits(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static void execute_from_a_thread(void)
{
	pthread_t waiting, executing;
	pthread_create(&waiting, NULL, thread_that_waits, NULL);
	pthread_create(&executing, NULL, thread_that_executes, NULL);
	pthread_join(executing, NULL);
}

static void inheriting(void)
{
	char here[128];
	AFTER("a new program starts", SELF("0"));
	AFTER("signals: handlers are gone, ignored, blocked and pending ones are kept", prepare_signals(),
	      SELF("signals"));
	AFTER("descriptors: those to be closed are, others share their offset", prepare_descriptors(),
	      SELF("descriptors"));
	AFTER("timers: the interval timer goes on, others are gone", prepare_timers(), SELF("timers"));
	AFTER("words",
	      execve(self, (char *[]){"calls_exec", "words", "two words", "", NULL}, (char *[]){"A=1", "", NULL}));
	AFTER("who it is", become_identity());
	AFTER("floating point is as in the beginning", fesetround(FE_UPWARD), SELF("state"));
	AFTER("memory is gone, shared memory too", become_without_memory());
	AFTER("exec by a thread ends the others", execute_from_a_thread());
	addresses(here);
	if (boxed) /* natively they are random */
		AFTER("everything is where it was in the first program", SELF("layout", here));
	AFTER("without arguments", execve(self, NULL, NULL));
	AFTER("with an empty list of them", execve(self, no_words, no_words));
}

static void set_file(const char *name, const char *text, mode_t mode)
{
	unlink(name);
	close(make_file(name, text));
	chmod(name, mode);
}

static void refused(void)
{
	char *const *none = no_words;
	static char long_name[300], long_path[5000];
	memset(long_name, 'a', sizeof long_name - 1);
	for (size_t i = 0; i < sizeof long_path - 1; i++)
		long_path[i] = "./"[i % 2];
	set_file("text", "echo\n", 0755);
	set_file("closed", "#!/bin/sh\n", 0644);
	set_file("empty", "", 0755);
	mkdir("directory", 0755);
	mkdir("shut", 0);
	symlink("loop", "loop");
	symlink("nowhere", "dangling");
	mkfifo("fifo", 0755);
	FAILS("nothing there", execve("nosuch", none, none), ENOENT);
	FAILS("no name", execve("", none, none), ENOENT);
	FAILS("a link to nothing", execve("dangling", none, none), ENOENT);
	FAILS("below a file", execve("text/x", none, none), ENOTDIR);
	FAILS("below a program", execve("/bin/sh/x", none, none), ENOTDIR);
	FAILS("a file with a slash behind", execve("text/", none, none), ENOTDIR);
	FAILS("not executable", execve("closed", none, none), EACCES);
	FAILS("a host's file that is not executable", execve("/usr/share/common-licenses/GPL-3", none, none), EACCES);
	FAILS("a directory", execve("directory", none, none), EACCES);
	FAILS("a host's directory", execve("/usr", none, none), EACCES);
	FAILS("behind a directory that cannot be searched", execve("shut/x", none, none), EACCES);
	FAILS("a pipe", execve("fifo", none, none), EACCES);
	FAILS("a device", execve("/dev/null", none, none), EACCES);
	FAILS("a made-up file", execve("/proc/self/status", none, none), EACCES);
	FAILS("a loop of links", execve("loop", none, none), ELOOP);
	FAILS("a long name", execve(long_name, none, none), ENAMETOOLONG);
	FAILS("a long path", execve(long_path, none, none), ENAMETOOLONG);
	FAILS("a path that is not there", execve((char *)1, none, none), EFAULT);
	FAILS("an empty file", execve("empty", none, none), ENOEXEC);
	FAILS("a text", execve("text", none, none), ENOEXEC);
}

static char *big(size_t size)
{
	char *text = malloc(size + 1);
	NEED(text);
	memset(text, 'x', size);
	text[size] = 0;
	return text;
}

static void fill(char **words, size_t count, char *word)
{
	for (size_t i = 0; i < count; i++)
		words[i] = word;
	words[count] = NULL;
}

static void words_refused(void)
{
	static char *many[400000];
	char *most = big(131071), *more = big(131072), *const *none = no_words;
	char *with_most[] = {"calls_exec", "0", most, NULL}, *with_more[] = {"calls_exec", "0", more, NULL};
	FAILS("arguments that are not there", execve(self, (char **)8, none), EFAULT);
	FAILS("an environment that is not there", execve(self, none, (char **)8), EFAULT);
	FAILS("an argument that is not there", execve(self, (char *[]){"a", (char *)8, NULL}, none), EFAULT);
	FAILS("an argument of 131072 bytes", execve(self, with_more, none), E2BIG);
	FAILS("a variable of 131072 bytes", execve(self, none, with_more), E2BIG);
	AFTER("an argument of 131071 bytes", execve(self, with_most, no_words));
	fill(many, 15, most);
	many[0] = "calls_exec";
	many[1] = "0";
	AFTER("13 of them", execve(self, many, no_words));
	fill(many, 20, most);
	FAILS("20 of them", execve(self, many, none), E2BIG);
	fill(many, 300000, "");
	FAILS("300,000 empty ones", execve(self, many, none), E2BIG);
	fill(many, 200000, "");
	many[0] = "calls_exec";
	many[1] = "0";
	AFTER("200,000 empty ones", execve(self, many, no_words));
	AFTER("a larger stack", setrlimit(RLIMIT_STACK, &(struct rlimit){256 << 10, 8 << 20}),
	      fill(many, 3, big(60000)), many[0] = "calls_exec", many[1] = "0", execve(self, many, no_words));
}

/* `name` is interpreted by `by`. */
static void script(const char *name, const char *by)
{
	char text[600];
	snprintf(text, sizeof text, "#!%s\n", by);
	set_file(name, text, 0755);
}

static void scripts(void)
{
	char line[400], place[PATH_MAX + 16], *const *none = no_words;
	static const char *const chain[] = {"s1", "s2", "s3", "s4", "s5", "s6"};
	script("none", "");
	script("blanks", " \t ");
	script("missing", "/no/such");
	script("through-directory", "/usr");
	script("through-closed", "./closed");
	script("through-text", "./text");
	script("itself", "./itself");
	memset(line, 'x', sizeof line);
	line[0] = '/';
	line[300] = 0;
	script("long", line);
	FAILS("a script that names nothing", execve("none", none, none), ENOEXEC);
	FAILS("a script that names blanks", execve("blanks", none, none), ENOEXEC);
	FAILS("an interpreter that is missing", execve("missing", none, none), ENOENT);
	FAILS("an interpreter that is a directory", execve("through-directory", none, none), EACCES);
	FAILS("an interpreter that is not executable", execve("through-closed", none, none), EACCES);
	FAILS("an interpreter that is a text", execve("through-text", none, none), ENOEXEC);
	FAILS("a script that interprets itself", execve("itself", none, none), ELOOP);
	FAILS("a line that is too long", execve("long", none, none), ENOEXEC);
	snprintf(line, sizeof line, "%s 0", self);
	script("s1", line);
	for (int i = 1; i < 6; i++) {
		snprintf(line, sizeof line, "./%s", chain[i - 1]);
		script(chain[i], line);
	}
	AFTER("a script", execve("s1", no_words, no_words));
	AFTER("five deep", execve("s5", no_words, no_words));
	FAILS("six deep", execve("s6", none, none), ELOOP);
	script("named", self);
	snprintf(line, sizeof line, "%s name ", self);
	script("named", line);
	NEED(getcwd(place, sizeof place));
	AFTER("its argument is one word, and the script's name comes behind",
	      execve("named", (char *[]){"dropped", NULL}, no_words));
	AFTER("a host's interpreter", set_file("sh", "#! /bin/sh -e\n[ $# = 2 ] && [ \"$1\" = 'a b' ]\n", 0755),
	      execl("sh", "dropped", "a b", "c", NULL));
}

/* A copy of this program whose interpreter is another. */
static void with_interpreter(const char *name, const char *interpreter)
{
	static char bytes[4 << 20];
	int in = open("/proc/self/exe", O_RDONLY), out = open(name, O_RDWR | O_CREAT | O_TRUNC, 0755);
	ssize_t size = read(in, bytes, sizeof bytes);
	NEED(size > 0 && out >= 0);
	Elf64_Ehdr *header = (void *)bytes;
	Elf64_Phdr *segments = (void *)(bytes + header->e_phoff);
	for (int i = 0; i < header->e_phnum && interpreter; i++)
		if (segments[i].p_type == PT_INTERP) {
			NEED(strlen(interpreter) < segments[i].p_filesz);
			memset(bytes + segments[i].p_offset, 0, segments[i].p_filesz);
			strcpy(bytes + segments[i].p_offset, interpreter);
			segments[i].p_filesz = strlen(interpreter) + 1;
		}
	NEED(write(out, bytes, (size_t)size) == size);
	close(in);
	close(out);
}

static void programs(void)
{
	char *const *none = no_words, *zero[] = {"own", "0", NULL};
	with_interpreter("own", NULL);
	with_interpreter("lost", "/no/such");
	with_interpreter("shut-out", "/usr/share");
	with_interpreter("scripted", "/usr/bin/ldd");
	set_file("short", "\177ELF\2\1\1", 0755);
	AFTER("a private program", execve("own", zero, environ));
	AFTER("a private program, unlinked by then", link("own", "other"), execve("other", zero, environ));
	FAILS("a program without its interpreter", execve("lost", none, none), ENOENT);
	FAILS("an interpreter that is a directory", execve("shut-out", none, none), EACCES);
	FAILS("an interpreter that is a script", execve("scripted", none, none), ELIBBAD);
	FAILS("an ELF file that is cut short", execve("short", none, none), ENOEXEC);
	chmod("own", 0644);
	FAILS("a private program that is not executable", execve("own", none, none), EACCES);
	chmod("own", 0755);
}

static bool copy_all(int to, int from)
{
	char bytes[4096];
	ssize_t n;
	while ((n = read(from, bytes, sizeof bytes)) > 0)
		if (write(to, bytes, (size_t)n) != n)
			return false;
	return n == 0;
}

#define EXECVEAT(directory, path, words, flags) syscall(SYS_execveat, directory, path, words, environ, flags)

static void at(void)
{
	char *zero[] = {"own", "0", NULL};
	char *const *none = no_words;
	int here = open(".", O_RDONLY | O_DIRECTORY), text = open("text", O_RDONLY);
	int own = open("own", O_RDONLY | O_CLOEXEC), path = open("own", O_PATH), host = open(self, O_PATH | O_CLOEXEC);
	int hidden = open("s1", O_RDONLY | O_CLOEXEC), shown = open("s1", O_RDONLY);
	int memory = syscall(SYS_memfd_create, "program", 0);
	symlink("own", "link");
	FAILS("flags that are none", EXECVEAT(here, "own", none, 0x20), EINVAL);
	FAILS("a descriptor that is closed", EXECVEAT(999, "own", none, 0), EBADF);
	FAILS("a descriptor that is no directory", EXECVEAT(text, "own", none, 0), ENOTDIR);
	FAILS("no name", EXECVEAT(own, "", none, 0), ENOENT);
	FAILS("a link that is not to be followed", EXECVEAT(here, "link", none, AT_SYMLINK_NOFOLLOW), ELOOP);
	FAILS("a directory itself", EXECVEAT(here, "", none, AT_EMPTY_PATH), EACCES);
	FAILS("a text, open", EXECVEAT(text, "", none, AT_EMPTY_PATH), ENOEXEC);
	FAILS("a script that no interpreter could open", EXECVEAT(hidden, "", none, AT_EMPTY_PATH), ENOENT);
	AFTER("in a directory", EXECVEAT(here, "own", zero, 0));
	AFTER("through a link", EXECVEAT(here, "link", zero, 0));
	AFTER("an open file", EXECVEAT(own, "", zero, AT_EMPTY_PATH));
	AFTER("a file that is only named", EXECVEAT(path, "", zero, AT_EMPTY_PATH));
	AFTER("a host's file", EXECVEAT(host, "", zero, AT_EMPTY_PATH));
	AFTER("a script", EXECVEAT(shown, "", zero, AT_EMPTY_PATH));
	AFTER("a path that needs no directory", EXECVEAT(-1, self, zero, 0));
	char name[32];
	sprintf(name, "/dev/fd/%d", own);
	AFTER("its name is that of the descriptor",
	      EXECVEAT(own, "", ((char *[]){"own", "name", name, NULL}), AT_EMPTY_PATH));
	int in = open("own", O_RDONLY);
	NEED(copy_all(memory, in));
	AFTER("memory", EXECVEAT(memory, "", zero, AT_EMPTY_PATH));
	AFTER("fexecve", fexecve(own, zero, environ));
}

/* --- vfork: until then the child lives in its parent's memory --- */

static volatile int left_behind;
static char *volatile mapped;

static void together(void)
{
	pid_t pid = vfork();
	if (!pid) {
		left_behind = 5;
		mapped = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		mapped[4096] = mapped[0] = 7;
		left_behind += madvise(mapped, 4096, MADV_DONTNEED);
		execl("nosuch", "nosuch", NULL);
		left_behind += errno;
		SELF("6");
		_exit(111);
	}
	IS("the child of a vfork becomes another program", status_of(pid), 6);
	IS("what it wrote before is here", left_behind, 5 + ENOENT);
	IS("what it mapped too", mapped[4096], 7);
	IS("but for what it dropped", mapped[0], 0);
	IS("and can be unmapped", munmap(mapped, 8192), 0);
	pid = vfork();
	if (!pid)
		_exit(4);
	IS("one that only ends", status_of(pid), 4);
	posix_spawnattr_t attributes;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_init(&attributes);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 51, "described", O_RDONLY, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
	IS("posix_spawn", posix_spawn(&pid, self, &actions, &attributes, (char *[]){"calls_exec", "3", NULL}, environ),
	   0);
	IS("its status", status_of(pid), 3);
	IS("posix_spawn of nothing", posix_spawn(&pid, "nosuch", NULL, NULL, no_words, environ), ENOENT);
	IS("posix_spawn of a text", posix_spawn(&pid, "text", NULL, NULL, no_words, environ), ENOEXEC);
	int lost = 0;
	for (int i = 0; i < 2200; i++)
		lost += posix_spawn(&pid, self, &actions, NULL, (char *[]){"calls_exec", "0", NULL}, environ) ||
		        status_of(pid);
	IS("2200 of them, one after the other", lost, 0);
	int line[2];
	NEED(pipe2(line, O_CLOEXEC) == 0);
	pid = fork();
	if (!pid) {
		execl("/bin/sleep", "sleep", "1000", NULL);
		_exit(111);
	}
	close(line[1]);
	IS("a child that has become another program", read(line[0], line, 1), 0);
	FAILS("is moved to another group no more", setpgid(pid, pid), EACCES);
	kill(pid, SIGKILL);
	IS("but it can be killed", status_of(pid), 128 + SIGKILL);
}

static int start_line[2], finish_line[2];

static void *forks_and_waits(void *unused)
{
	char byte = 'n';
	if (!vfork()) {
		read(start_line[0], &byte, 1);
		write(finish_line[1], byte == 'y' && getppid() == 1 ? "orphan" : "child", 6);
		_exit(0);
	}
	return unused;
}

/* The parent's process ends under its child's feet; the memory must not. */
static void left_alone(void)
{
	char said[8] = "";
	NEED(pipe(start_line) == 0 && pipe(finish_line) == 0);
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		pthread_t thread;
		close(start_line[1]);
		pthread_create(&thread, NULL, forks_and_waits, NULL);
		usleep(10000);
		exit(5);
	}
	IS("a process ends while the child of its vfork lives", status_of(pid), 5);
	write(start_line[1], "y", 1);
	close(finish_line[1]);
	read(finish_line[0], said, sizeof said - 1);
	if (boxed) /* natively whoever adopts it may have another number */
		HOLDS("which goes on in peace", !strcmp(said, "orphan"));
	else
		HOLDS("which goes on in peace", !strcmp(said, "orphan") || !strcmp(said, "child"));
}

int main(int argc, char **argv)
{
	if (argc < 1 || !*argv[0])
		return !(argc == 1 && !argv[1] && !environ[0]);
	if (argc > 1 && *argv[1] != '/') /* that is the script which the box was told to run */
		return be_new(argv);
	begin();
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	NEED(n > 0);
	inheriting();
	refused();
	words_refused();
	scripts();
	programs();
	at();
	together();
	left_alone();
	return end();
}
