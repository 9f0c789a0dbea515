/* Who one is, and what one may have: ids, groups, limits, scheduling, capabilities, and what the kernel says of itself.
 */
#include "calls.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <netdb.h>
#include <pwd.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>

static void ids(void)
{
	uid_t r, e, s;
	gid_t groups[64];
	IS("getresuid", getresuid(&r, &e, &s), 0);
	HOLDS("one user in every way", r == e && e == s && r == getuid() && e == geteuid());
	IS("getresgid", getresgid(&r, &e, &s), 0);
	HOLDS("one group in every way", r == e && e == s && r == getgid() && e == getegid());
	IS("to become oneself", setuid(getuid()), 0);
	FAILS("to become root", setuid(0), EPERM);
	FAILS("in another way", setresuid(-1, 0, -1), EPERM);
	IS("or not", setresuid(-1, -1, -1), 0);
	FAILS("to be in root's group", setgid(0), EPERM);
	IS("setfsuid tells who one is", syscall(SYS_setfsuid, -1), getuid());
	IS("getgroups counts", getgroups(0, NULL), getgroups(64, groups));
	FAILS("getgroups of a negative number", getgroups(-1, groups), EINVAL);
	FAILS("setgroups", setgroups(0, NULL), EPERM);
	FAILS("a negative priority", setpriority(PRIO_PROCESS, 0, -5), EACCES);
	FAILS("priority of an unknown kind", (errno = 0, getpriority(77, 0)), EINVAL);
	if (boxed) { /* the identity of the box, whoever started it */
		HOLDS("1000 in all",
		      getuid() == 1000 && getgid() == 1000 && getgroups(64, groups) == 1 && groups[0] == 1000);
		IS("process 1", getpid(), 1);
		IS("of nobody", getppid(), 0);
		struct utsname name;
		uname(&name);
		HOLDS("on a machine called zvm", !strcmp(name.sysname, "Linux") && !strcmp(name.machine, "x86_64"));
		char host[64];
		HOLDS("gethostname", gethostname(host, sizeof host) == 0 && !strcmp(host, "zvm"));
		struct passwd *p = getpwuid(getuid());
		HOLDS("getpwuid", p && !strcmp(p->pw_name, "zvm") && !strcmp(p->pw_dir, "/home/zvm") &&
		                          !strcmp(p->pw_shell, "/bin/sh"));
		struct group *g = getgrgid(getgid());
		HOLDS("getgrgid", g && !strcmp(g->gr_name, "zvm"));
		HOLDS("getpwnam of root", (p = getpwnam("root")) && p->pw_uid == 0);
		HOLDS("getpwnam of nobody we know", !getpwnam("games"));
		HOLDS("the login shell's environment",
		      !strcmp(getenv("HOME"), "/home/zvm") && !strcmp(getenv("USER"), "zvm"));
		IS("one processor", sysconf(_SC_NPROCESSORS_ONLN), 1);
		IS("configured", sysconf(_SC_NPROCESSORS_CONF), 1);
		IS("a nice value of 0", getpriority(PRIO_PROCESS, 0), 0);
		IS("no terminal", open("/dev/tty", O_RDWR), -1);
	}
}

/* Children have groups and sessions; natively the first process has some already, so only they are asked. */
static int in_child(int (*ask)(void))
{
	int status;
	pid_t child = fork();
	if (child == 0)
		_exit(ask());
	return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int own_group(void)
{
	if (setpgid(0, 0) || getpgrp() != getpid() || getpgid(0) != getpid())
		return 1;
	if (setsid() != -1 || errno != EPERM)
		return 2;
	if (setpgid(INT_MAX, 0) != -1 || errno != ESRCH)
		return 3;
	if (setpgid(0, -1) != -1 || errno != EINVAL)
		return 4;
	return getsid(0) == getsid(getppid()) ? 0 : 5;
}

static int own_session(void)
{
	if (setsid() != getpid() || getsid(0) != getpid() || getpgrp() != getpid())
		return 1;
	return setpgid(0, 0) == -1 && errno == EPERM ? 0 : 2;
}

static int parent_known(void)
{
	return getppid() > 0 && getppid() != getpid() ? 0 : 1;
}

static void groups(void)
{
	IS("a child in its own group", in_child(own_group), 0);
	IS("a child in its own session", in_child(own_session), 0);
	IS("a child knows its parent", in_child(parent_known), 0);
	FAILS("getpgid of nobody", getpgid(INT_MAX), ESRCH);
	FAILS("getsid of nobody", getsid(INT_MAX), ESRCH);
	IS("gettid of the first thread is its process", syscall(SYS_gettid), getpid());
}

static void limits(void)
{
	struct rlimit l, old;
	bool all = true;
	for (int i = 0; i < RLIM_NLIMITS; i++)
		all &= getrlimit(i, &l) == 0 && l.rlim_cur <= l.rlim_max;
	HOLDS("every limit is known", all);
	FAILS("an unknown one", syscall(SYS_prlimit64, 0, 99, NULL, &l), EINVAL);
	FAILS("one of nobody", syscall(SYS_prlimit64, INT_MAX, RLIMIT_CORE, NULL, &l), ESRCH);
	getrlimit(RLIMIT_NOFILE, &old);
	l = (struct rlimit){old.rlim_max + 1, old.rlim_max};
	FAILS("more than the most", setrlimit(RLIMIT_NOFILE, &l), EINVAL);
	l = (struct rlimit){10, old.rlim_max + 1};
	FAILS("raising the most", setrlimit(RLIMIT_NOFILE, &l), EPERM);
	l = (struct rlimit){10, old.rlim_max};
	IS("fewer descriptors", setrlimit(RLIMIT_NOFILE, &l), 0);
	int fd, most = -1;
	while ((fd = open("/dev/null", O_RDONLY)) >= 0)
		most = fd;
	int error = errno;
	IS("are all there are", error, EMFILE);
	IS("up to that one", most, 9);
	FAILS("then a file is not opened", open("made", O_CREAT | O_WRONLY, 0644), EMFILE);
	FAILS("nor made", access("made", F_OK), ENOENT);
	FAILS("dup2 over it", dup2(0, 10), EBADF);
	FAILS("F_DUPFD over it", fcntl(0, F_DUPFD, 10), EINVAL);
	syscall(SYS_close_range, 3, ~0u, 0);
	IS("and back", setrlimit(RLIMIT_NOFILE, &old), 0);
	struct rlimit space;
	getrlimit(RLIMIT_AS, &space);
	l = (struct rlimit){64 << 20, space.rlim_max};
	NEED(setrlimit(RLIMIT_AS, &l) == 0);
	FAILS("more memory than RLIMIT_AS", mmap(NULL, 64 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	      ENOMEM);
	HOLDS("less", mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	setrlimit(RLIMIT_AS, &space);
	getrlimit(RLIMIT_DATA, &space);
	l = (struct rlimit){16 << 20, space.rlim_max};
	NEED(setrlimit(RLIMIT_DATA, &l) == 0);
	FAILS("more of the heap than RLIMIT_DATA", sbrk(32 << 20), ENOMEM);
	FAILS("or elsewhere", mmap(NULL, 32 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
	HOLDS("what cannot be written is no data",
	      mmap(NULL, 32 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	setrlimit(RLIMIT_DATA, &space);
	IS("getrlimit tells what was set",
	   (l = (struct rlimit){4096, RLIM_INFINITY}, getrlimit(RLIMIT_CORE, &old), l.rlim_max = old.rlim_max,
	    l.rlim_cur = 0, setrlimit(RLIMIT_CORE, &l), getrlimit(RLIMIT_CORE, &l), l.rlim_cur),
	   0);
}

static void scheduling(void)
{
	struct sched_param p = {0}, high = {50};
	cpu_set_t set;
	unsigned cpu, node;
	IS("sched_getscheduler", sched_getscheduler(0), SCHED_OTHER);
	IS("sched_getparam", sched_getparam(0, &p), 0);
	IS("has no priority", p.sched_priority, 0);
	IS("sched_setscheduler to the same", sched_setscheduler(0, SCHED_OTHER, &p), 0);
	IS("to batch", sched_setscheduler(0, SCHED_BATCH, &p), 0);
	IS("is told back", sched_getscheduler(0), SCHED_BATCH);
	sched_setscheduler(0, SCHED_OTHER, &p);
	FAILS("to real time", sched_setscheduler(0, SCHED_FIFO, &high), EPERM);
	FAILS("to real time without priority", sched_setscheduler(0, SCHED_FIFO, &p), EINVAL);
	FAILS("to an unknown policy", sched_setscheduler(0, 77, &p), EINVAL);
	FAILS("of nobody", sched_getscheduler(INT_MAX), ESRCH);
	FAILS("of a negative one", sched_getscheduler(-1), EINVAL);
	FAILS("a priority that is none", sched_setparam(0, &high), EINVAL);
	IS("priorities of real time", sched_get_priority_max(SCHED_RR), 99);
	IS("from", sched_get_priority_min(SCHED_FIFO), 1);
	IS("and of others", sched_get_priority_max(SCHED_OTHER), 0);
	FAILS("and of an unknown policy", sched_get_priority_max(77), EINVAL);
	struct timespec t;
	IS("sched_rr_get_interval", sched_rr_get_interval(0, &t), 0);
	IS("sched_yield", sched_yield(), 0);
	IS("sched_getaffinity", sched_getaffinity(0, sizeof set, &set), 0);
	HOLDS("names a processor", CPU_COUNT(&set) >= 1);
	IS("sched_setaffinity to the same", sched_setaffinity(0, sizeof set, &set), 0);
	CPU_ZERO(&set);
	FAILS("to none", sched_setaffinity(0, sizeof set, &set), EINVAL);
	FAILS("into too little room", syscall(SYS_sched_getaffinity, 0, 1, &set), EINVAL);
	FAILS("affinity of nobody", sched_getaffinity(INT_MAX, sizeof set, &set), ESRCH);
	IS("getcpu", getcpu(&cpu, &node), 0);
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attributes = {0};
	IS("sched_getattr", syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0), 0);
	HOLDS("tells its size and policy", attributes.size >= 48 && attributes.policy == 0);
	FAILS("sched_getattr into too little room", syscall(SYS_sched_getattr, 0, &attributes, 8, 0), EINVAL);
	FAILS("sched_getattr with flags", syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 1), EINVAL);
	if (boxed) /* one processor, whichever the host has */
		HOLDS("one processor", sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1 &&
		                               CPU_ISSET(0, &set) && !sched_getcpu());
	HOLDS("membarrier says what it can", syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) >= 0);
	FAILS("membarrier for an unknown command", syscall(SYS_membarrier, 1 << 30, 0, 0), EINVAL);
	FAILS("membarrier with flags", syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 2, 0), EINVAL);
}

static void self(void)
{
	char name[17] = "";
	int value = 7;
	IS("PR_SET_NAME", prctl(PR_SET_NAME, "a name that is much too long"), 0);
	IS("PR_GET_NAME", prctl(PR_GET_NAME, name), 0);
	HOLDS("keeps fifteen bytes", !strcmp(name, "a name that is "));
	IS("PR_SET_PDEATHSIG", prctl(PR_SET_PDEATHSIG, SIGTERM), 0);
	IS("PR_GET_PDEATHSIG", (prctl(PR_GET_PDEATHSIG, &value), value), SIGTERM);
	FAILS("PR_SET_PDEATHSIG to no signal", prctl(PR_SET_PDEATHSIG, 99), EINVAL);
	IS("PR_SET_NO_NEW_PRIVS", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	IS("PR_GET_NO_NEW_PRIVS", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	FAILS("which cannot be taken back", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
	IS("PR_SET_DUMPABLE", prctl(PR_SET_DUMPABLE, 0), 0);
	IS("PR_GET_DUMPABLE", prctl(PR_GET_DUMPABLE), 0);
	FAILS("PR_SET_DUMPABLE to an unknown value", prctl(PR_SET_DUMPABLE, 5), EINVAL);
	prctl(PR_SET_DUMPABLE, 1);
	IS("PR_SET_KEEPCAPS", (prctl(PR_SET_KEEPCAPS, 1), prctl(PR_GET_KEEPCAPS)), 1);
	IS("PR_SET_CHILD_SUBREAPER", (prctl(PR_SET_CHILD_SUBREAPER, 1), prctl(PR_GET_CHILD_SUBREAPER, &value), value),
	   1);
	IS("PR_SET_TIMERSLACK", (prctl(PR_SET_TIMERSLACK, 12345), prctl(PR_GET_TIMERSLACK)), 12345);
	FAILS("an unknown one", prctl(12345), EINVAL);
	IS("personality", personality(0xffffffff), 0);
	IS("PR_CAPBSET_READ of an unknown capability fails", prctl(PR_CAPBSET_READ, 99), -1);
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{1, 1, 1}, {1, 1, 1}};
	IS("capget", syscall(SYS_capget, &header, data), 0);
	HOLDS("has nothing", !data[0].effective && !data[0].permitted && !data[1].effective);
	IS("capset of nothing", syscall(SYS_capset, &header, data), 0);
	data[0].effective = data[0].permitted = 1;
	FAILS("capset of something", syscall(SYS_capset, &header, data), EPERM);
	header.version = 5;
	FAILS("an unknown version", syscall(SYS_capget, &header, data), EINVAL);
	IS("is told the known one", header.version, _LINUX_CAPABILITY_VERSION_3);
	struct sysinfo info;
	IS("sysinfo", sysinfo(&info), 0);
	HOLDS("tells of memory and time",
	      info.uptime > 0 && info.totalram >= info.freeram && info.mem_unit >= 1 && info.procs >= 1);
	HOLDS("sysconf has pages",
	      sysconf(_SC_PAGESIZE) == 4096 && sysconf(_SC_PHYS_PAGES) > 0 && sysconf(_SC_AVPHYS_PAGES) > 0);
	uint64_t random[2] = {0, 0};
	IS("getrandom", getrandom(random, 16, 0), 16);
	HOLDS("gives something", random[0] && random[1] && random[0] != random[1]);
	FAILS("getrandom with an unknown flag", getrandom(random, 16, 64), EINVAL);
	IS("getentropy", getentropy(random, 16), 0);
	FAILS("getentropy of too much", getentropy(random, 257), EIO);
}

/* Others are there or not; nobody answers, and each says why. */
static void others(void)
{
	int pair[2], type;
	socklen_t length = sizeof type;
	char text[16];
	IS("a pair of sockets", socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	IS("send", send(pair[0], "abc", 3, 0), 3);
	IS("recv that looks", recv(pair[1], text, sizeof text, MSG_PEEK), 3);
	IS("recv", recv(pair[1], text, sizeof text, 0), 3);
	FAILS("recv of nothing without waiting", recv(pair[1], text, sizeof text, MSG_DONTWAIT), EAGAIN);
	IS("SO_TYPE", (getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &type, &length), type), SOCK_STREAM);
	FAILS("a socket's call of a file", send(open(".", O_RDONLY), "x", 1, 0), ENOTSOCK);
	FAILS("and of nothing", send(999, "x", 1, 0), EBADF);
	FAILS("a pair of another family", socketpair(AF_INET, SOCK_STREAM, 0, pair), boxed ? EAFNOSUPPORT : EOPNOTSUPP);
	IS("datagrams", socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	IS("keep their borders",
	   (send(pair[0], "one", 3, 0), send(pair[0], "three", 5, 0), recv(pair[1], text, 2, 0),
	    recv(pair[1], text, 16, 0)),
	   5);
	if (boxed) { /* nobody is out there */
		FAILS("a call that kernels since 6.14 show to no filter", syscall(335), ENOSYS);
		FAILS("a call that is none", syscall(500), ENOSYS);
		FAILS("a number beyond all", syscall(100000), ENOSYS);
		FAILS("a negative number", syscall(-1), ENOSYS);
		FAILS("socket", socket(AF_INET, SOCK_STREAM, 0), EAFNOSUPPORT);
		FAILS("of another family", socket(AF_INET6, SOCK_DGRAM, 0), EAFNOSUPPORT);
		struct hostent *host = gethostbyname("localhost");
		HOLDS("localhost is known all the same",
		      host && host->h_addrtype == AF_INET && !memcmp(host->h_addr_list[0], "\177\0\0\1", 4));
		struct addrinfo *found, hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
		IS("getaddrinfo", getaddrinfo("localhost", "80", &hints, &found), 0);
		IS("getaddrinfo of a name that nobody knows", getaddrinfo("example.org", NULL, &hints, &found) != 0, 1);
	}
}

int main(void)
{
	begin();
	ids();
	groups();
	limits();
	scheduling();
	self();
	others();
	return end();
}
