/*
 * The launcher: a small process that does nothing but make boxes and bury them.
 *
 *   daemon --fork--> launcher --fork--> zygote --clone(CLONE_PARENT)--> box, box, ...   (the launcher's children)
 *
 * zvm_launcher_start clones the launcher into whatever namespaces the machine gives (in the best case it is pid 1 of
 * its own pid namespace: when it goes, the kernel kills every box). The launcher forks the zygote, which drops its
 * privileges, takes on the walls that outlive a fork, and jumps into the monitor (monitor/entry.c); from then on the
 * zygote has no libc and can only fork boxes. A pool of boxes is kept waiting, so taking one costs a message.
 *
 * Each box is a process group, which nothing inside can leave because the wall knows no setpgid: kill(-group) reaches
 * all of it. All native processes of a box are the launcher's children (CLONE_PARENT), so it sees each one die, adds up
 * what they used, and reports once when the last is gone.
 *
 * Who dies: the daemon - our control socket reads end-of-file, we kill every group and exit. The launcher - boxes die
 * with the pid namespace or by their parent-death signal; the daemon reads end-of-file, kills what is left (a guest
 * that owns its monitor can fork children without such a signal, but without a pid namespace they become the daemon's),
 * and starts another launcher. The zygote - boxes live on, a new zygote is forked. A box - reported.
 *
 * The launcher's own code and the zygote's allocate nothing: they may be forked from a process with threads, when the
 * launcher is started again.
 */
#include "launch.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <zvm/cleanup.h>
#include "launch_internal.h"
#include "packet.h"
#include "protocol.h"
#include "template.h"
#include "wall.h"
#include "zygote.h"

#define POOL_MAX 16
#define PATIENCE_MS 1000 /* with a user who has too many processes */
#define TRY_AGAIN_MS 10
#define DYING_MS 5000 /* until a launcher that has closed one of its sockets has closed all */

/* Memory that the launcher writes and the daemon reads. */
struct shared {
	struct zvm_wall_report reports[ZVM_WALL_COUNT];
	pid_t groups[ZVM_BOXES_MAX];      /* of the boxes; 0: free slot */
	uint64_t spent_us[ZVM_BOXES_MAX]; /* processor time of those of a box that have ended */
};

struct zvm_launcher {
	pthread_mutex_t lock; /* around one request and its answer, and around starting anew */
	int control;
	int cgroup; /* for zygotes to enter; -1 */
	pid_t pid;
	unsigned pool;
	unsigned generation; /* how many there have been */
	bool plain, template_first;
	bool asked_ahead; /* a box is on its way that nobody has taken yet */
	struct shared *shared;
	struct zvm_zygote zygote;
	struct zvm_templates *templates;
};

/* TEMPLATE comes with [its socket, its arena, the feed], and has no answer but what comes by the feed. */
enum launcher_request { REQUEST_BOX = 1, REQUEST_TEMPLATE = 2 };

struct request {
	uint32_t kind;
	uint32_t box; /* that has become a template */
};

struct handed_out {
	int32_t result;
	uint32_t box; /* its number */
};

/* --- the launcher process --- */

static void close_box(struct zvm_launcher_process *l, struct zvm_box_slot *box)
{
	l->launcher->shared->groups[box - l->boxes] = 0;
	zvm_close_pointer(&box->status);
	zvm_close_pointer(&box->socket);
	zvm_close_pointer(&box->arena);
	*box = (struct zvm_box_slot){.status = -1, .socket = -1, .arena = -1};
}

struct zvm_box_slot *zvm_launch_free_slot(struct zvm_launcher_process *l)
{
	for (unsigned i = 0; i < ZVM_BOXES_MAX; i++)
		if (!l->boxes[i].group)
			return &l->boxes[i];
	return NULL;
}

void zvm_launch_occupy(struct zvm_launcher_process *l, struct zvm_box_slot *slot, const struct zvm_box_slot *box)
{
	l->launcher->shared->spent_us[slot - l->boxes] = 0;
	l->launcher->shared->groups[slot - l->boxes] = box->group;
	*slot = *box;
}

/* Dead or useless: neither a zombie is left of it nor its number, which may be a stranger's soon. */
static void bury_zygote(struct zvm_launcher_process *l)
{
	zvm_close_pointer(&l->zygote);
	l->zygote = -1;
	if (l->zygote_pid > 0) {
		kill(l->zygote_pid, SIGKILL);
		waitpid(l->zygote_pid, NULL, __WALL);
	}
	l->zygote_pid = 0;
}

static int start_zygote(struct zvm_launcher_process *l)
{
	int pair[2];
	bury_zygote(l);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid_t pid = zvm_wall_fork();
	if (pid < 0) {
		close(pair[0]);
		close(pair[1]);
		return pid;
	}
	if (pid == 0) {
		zvm_zygote_become(&l->launcher->zygote, pair[1], l->proc, l->cgroup);
		_exit(119);
	}
	close(pair[1]);
	l->zygote = pair[0];
	l->zygote_pid = pid;
	return 0;
}

static int make_arena(void)
{
	zvm_autofd int fd = memfd_create("zvm arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 || ftruncate(fd, (off_t)ZVM_ARENA_FIRST) < 0 ? -errno : zvm_steal_fd(&fd);
}

/* One more box in the pool: ask the zygote to fork, and make the child a group of its own. */
static int fork_box(struct zvm_launcher_process *l)
{
	struct zvm_box_slot *box = zvm_launch_free_slot(l);
	int pair[2];
	if (!box)
		return -EAGAIN;
	zvm_autofd int arena = make_arena();
	if (arena < 0)
		return arena;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	struct zvm_fork_order order = {
	        .magic = ZVM_ORDER_MAGIC, .arena_size = ZVM_ARENA_MAPPED, .box = (uint32_t)(box - l->boxes)};
	struct zvm_fork_done done;
	int fds[2] = {pair[1], arena};
	int r = zvm_packet_send(l->zygote, &order, sizeof order, NULL, 0, fds, 2);
	close(pair[1]);
	if (r == 0 && recv(l->zygote, &done, sizeof done, 0) != sizeof done)
		r = -EIO;
	if (r == 0 && done.pid <= 0)
		r = done.pid ? done.pid : -EAGAIN;
	if (r) {
		close(pair[0]);
		return r;
	}
	setpgid(done.pid, done.pid);
	zvm_launch_occupy(l, box,
	                  &(struct zvm_box_slot){
	                          .group = done.pid, .status = -1, .socket = pair[0], .arena = zvm_steal_fd(&arena)});
	return 0;
}

static struct zvm_box_slot *pooled(struct zvm_launcher_process *l)
{
	for (unsigned i = 0; i < ZVM_BOXES_MAX; i++)
		if (l->boxes[i].group && l->boxes[i].socket >= 0)
			return &l->boxes[i];
	return NULL;
}

static unsigned pool_size(const struct zvm_launcher_process *l)
{
	unsigned n = 0;
	for (unsigned i = 0; i < ZVM_BOXES_MAX; i++)
		n += l->boxes[i].group && l->boxes[i].socket >= 0;
	return n;
}

/* A box that waits reads the end of its socket and exits. */
static void put_away(struct zvm_box_slot *box)
{
	zvm_close_pointer(&box->socket);
	box->socket = -1;
}

static int fork_box_with_retry(struct zvm_launcher_process *l)
{
	int r = l->zygote_pid ? fork_box(l) : -EPIPE;
	if (r == -EIO || r == -EPIPE || r == -ECONNRESET) {
		r = start_zygote(l);
		if (r == 0)
			r = fork_box(l);
	}
	return r;
}

static void add_usage(struct zvm_box_status *sum, int status, const struct rusage *usage)
{
	sum->cpu_us += (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000u +
	               (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
	sum->faults += (uint64_t)usage->ru_minflt + (uint64_t)usage->ru_majflt;
	if ((uint64_t)usage->ru_maxrss > sum->max_rss_kib)
		sum->max_rss_kib = (uint64_t)usage->ru_maxrss;
	if (status && !sum->wait_status)
		sum->wait_status = status;
}

/* Everybody of the group that is dead already; when nobody is left, the box is over. */
static void reap_group(struct zvm_launcher_process *l, struct zvm_box_slot *box)
{
	for (;;) {
		int status;
		struct rusage usage;
		pid_t pid = wait4(-box->group, &status, WNOHANG | __WALL, &usage);
		if (pid == 0)
			return;
		if (pid < 0)
			break;
		add_usage(&box->sum, status, &usage);
		l->launcher->shared->spent_us[box - l->boxes] = box->sum.cpu_us;
		/* One that was killed may have held the token: the others would wait for ever. */
		if (WIFSIGNALED(status))
			kill(-box->group, SIGKILL);
	}
	if (box->status >= 0)
		zvm_packet_send(box->status, &box->sum, sizeof box->sum, NULL, 0, NULL, 0);
	close_box(l, box);
}

/*
 * Who is in our own group: the zygote, and a box that it forked as it died, so that we never heard of it. Whoever wants
 * the next box finds that the zygote is gone and starts another.
 */
static void reap_others(struct zvm_launcher_process *l)
{
	pid_t pid;
	while ((pid = waitpid(0, NULL, WNOHANG | __WALL)) > 0)
		if (pid == l->zygote_pid)
			l->zygote_pid = 0;
}

static void reap(struct zvm_launcher_process *l)
{
	struct signalfd_siginfo info;
	while (read(l->signals, &info, sizeof info) == sizeof info)
		;
	for (unsigned i = 0; i < ZVM_BOXES_MAX; i++)
		if (l->boxes[i].group)
			reap_group(l, &l->boxes[i]);
	zvm_launch_templates_tidy(l);
	reap_others(l);
}

/* A byte or the end of a status socket: the host wants this box gone. */
static void serve_status(struct zvm_box_slot *box)
{
	char byte;
	ssize_t got = recv(box->status, &byte, 1, MSG_DONTWAIT);
	kill(-box->group, SIGKILL);
	if (got <= 0) /* nobody listens any more: do not poll it again */
		zvm_close_pointer(&box->status), box->status = -1;
}

#define FEEDS 2
#define BOXES (FEEDS + ZVM_TEMPLATES_MAX)

static unsigned fill_poll(const struct zvm_launcher_process *l, struct pollfd *set, struct zvm_box_slot **who)
{
	unsigned n = BOXES;
	set[0] = (struct pollfd){.fd = l->control, .events = POLLIN};
	set[1] = (struct pollfd){.fd = l->signals, .events = POLLIN};
	for (unsigned i = 0; i < ZVM_TEMPLATES_MAX; i++)
		set[FEEDS + i] = (struct pollfd){.fd = l->templates[i].feed, .events = POLLIN};
	for (unsigned i = 0; i < ZVM_BOXES_MAX; i++)
		if (l->boxes[i].group && l->boxes[i].status >= 0) {
			who[n] = (struct zvm_box_slot *)(uintptr_t)&l->boxes[i];
			set[n++] = (struct pollfd){.fd = l->boxes[i].status, .events = POLLIN};
		}
	return n;
}

/*
 * Waits for what boxes do, or their hosts want, and serves it; `requests`: also for a request, which is left to the
 * caller. ATTEND_*, or -errno.
 */
enum { ATTEND_NOTHING, ATTEND_BOXES, ATTEND_REQUEST };

static int attend(struct zvm_launcher_process *l, bool requests, int timeout_ms)
{
	static struct pollfd set[BOXES + ZVM_BOXES_MAX];
	static struct zvm_box_slot *who[BOXES + ZVM_BOXES_MAX];
	unsigned n = fill_poll(l, set, who);
	if (!requests)
		set[0].fd = -1;
	int ready = poll(set, n, timeout_ms);
	if (ready <= 0)
		return ready == 0 || errno == EINTR ? ATTEND_NOTHING : -errno;
	for (unsigned i = 0; i < ZVM_TEMPLATES_MAX; i++)
		if (set[FEEDS + i].revents && l->templates[i].feed == set[FEEDS + i].fd)
			zvm_launch_template_serve(&l->templates[i]);
	for (unsigned i = BOXES; i < n; i++)
		if (set[i].revents && who[i]->status == set[i].fd)
			serve_status(who[i]);
	if (set[1].revents)
		reap(l);
	return set[0].revents ? ATTEND_REQUEST : ATTEND_BOXES;
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/*
 * The number of processes is limited by user, and as root all launchers of the machine share one. It may be that what
 * has just ended, here or elsewhere, is only not buried yet. Boxes are served meanwhile: those may have to be killed.
 */
static int fork_box_patiently(struct zvm_launcher_process *l)
{
	int r;
	int64_t until = now_ms() + PATIENCE_MS;
	while ((r = fork_box_with_retry(l)) == -EAGAIN && now_ms() < until)
		if (attend(l, false, TRY_AGAIN_MS) < 0)
			break;
	return r;
}

static int hand_out(struct zvm_launcher_process *l)
{
	int status[2];
	struct handed_out out = {.result = pooled(l) ? 0 : fork_box_patiently(l)};
	struct zvm_box_slot *box = pooled(l);
	if (out.result == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, status) < 0)
		out.result = -errno;
	if (out.result || !box)
		return zvm_packet_send(l->control, &out, sizeof out, NULL, 0, NULL, 0);
	int fds[3] = {box->socket, status[1], box->arena};
	out.box = (uint32_t)(box - l->boxes);
	int r = zvm_packet_send(l->control, &out, sizeof out, NULL, 0, fds, 3);
	close(status[1]);
	close(box->socket);
	close(box->arena);
	box->socket = box->arena = -1;
	box->status = status[0];
	return r;
}

static void kill_all(struct zvm_launcher_process *l)
{
	for (unsigned i = 0; i < ZVM_BOXES_MAX; i++)
		if (l->boxes[i].group)
			kill(-l->boxes[i].group, SIGKILL);
	if (l->zygote_pid > 0)
		kill(l->zygote_pid, SIGKILL);
}

/* false: the daemon is gone. */
static bool serve_request(struct zvm_launcher_process *l)
{
	struct request request;
	int fds[3];
	unsigned count;
	ssize_t got = zvm_packet_receive(l->control, &request, sizeof request, fds, 3, &count);
	if (got <= 0)
		return got == -EINTR;
	if (got == sizeof request && request.kind == REQUEST_TEMPLATE && count == 3 && request.box < ZVM_BOXES_MAX) {
		zvm_launch_template_start(l, &l->boxes[request.box], fds);
		return true;
	}
	while (count)
		close(fds[--count]);
	if (got == sizeof request && request.kind == REQUEST_BOX)
		hand_out(l);
	return true;
}

static void serve(struct zvm_launcher_process *l)
{
	int pause_ms = 0;
	for (;;) {
		/* The pool is refilled when there is nothing else to do, so that nobody waits for it. */
		bool short_pool = pool_size(l) < l->pool;
		struct zvm_template_slot *hungry = zvm_launch_template_hungry(l);
		int seen = attend(l, true, hungry ? 0 : short_pool ? pause_ms : -1);
		if (seen < 0)
			return;
		if (seen == ATTEND_NOTHING && hungry) {
			zvm_launch_template_feed(l, hungry);
			continue;
		}
		pause_ms = 0;
		if (seen == ATTEND_NOTHING && short_pool && fork_box_with_retry(l) < 0)
			pause_ms = 100; /* no memory, no slot: try again later */
		if (seen == ATTEND_REQUEST && !serve_request(l))
			return;
	}
}

static int take_child_signals(void)
{
	sigset_t children;
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &children, NULL) < 0)
		return -errno;
	int fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static void ignore_terminal(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		signal(numbers[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
}

/*
 * Among a thousand processes that spin it must still be our turn soon, or killing them would take as long. A short
 * slice gives an early deadline (Linux 6.12; older kernels ignore it), and it ends with us: forks have the usual one.
 */
static void be_prompt(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attributes;
	if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) < 0)
		return;
	attributes.flags |= 1; /* SCHED_FLAG_RESET_ON_FORK */
	attributes.runtime = 100000;
	syscall(SYS_sched_setattr, 0, &attributes, 0);
}

static void launcher_main(const struct zvm_launcher *launcher, int control, int cgroup)
{
	static struct zvm_launcher_process l;
	l = (struct zvm_launcher_process){.control = control,
	                                  .zygote = -1,
	                                  .cgroup = cgroup,
	                                  .proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC),
	                                  .pool = launcher->pool,
	                                  .launcher = launcher};
	for (unsigned i = 0; i < ZVM_BOXES_MAX; i++)
		l.boxes[i] = (struct zvm_box_slot){.status = -1, .socket = -1, .arena = -1};
	for (unsigned i = 0; i < ZVM_TEMPLATES_MAX; i++)
		l.templates[i] = (struct zvm_template_slot){.socket = -1, .arena = -1, .feed = -1};
	prctl(PR_SET_NAME, "zvm-launcher");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	/* No terminal, and a share of the processor that does not grow with the number of processes (sched(7),
	 * autogroup). */
	setsid();
	be_prompt();
	ignore_terminal();
	l.signals = take_child_signals();
	zvm_wall_empty_root(launcher->zygote.reports);
	int32_t result = l.signals < 0 ? l.signals : fork_box_patiently(&l);
	if (result == 0 && !l.pool)
		put_away(pooled(&l)); /* it was only to show that boxes can be made */
	zvm_packet_send(control, &result, sizeof result, NULL, 0, NULL, 0);
	if (result == 0)
		serve(&l);
	kill_all(&l);
}

/* --- the daemon's side --- */

/* Nothing of the daemon's: whoever waits for the end of a pipe that `zvm mount` was started with would wait for us. */
static bool keep_only(int control, int cgroup)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (control <= 2 || null < 0)
		return false;
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	/* Out of the way of 3, which it may be. */
	int high = cgroup < 0 ? -1 : fcntl(cgroup, F_DUPFD_CLOEXEC, 5);
	if (control > 3)
		dup2(control, 3);
	if (high >= 0)
		dup2(high, 4);
	return syscall(SYS_close_range, high >= 0 ? 5u : 4u, ~0u, 0u) == 0;
}

static int spawn(struct zvm_launcher *launcher)
{
	int pair[2];
	int32_t result;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid_t pid = zvm_wall_clone(launcher->plain, launcher->zygote.reports);
	if (pid == 0) {
		if (!keep_only(pair[1], launcher->cgroup))
			_exit(117);
		launcher_main(launcher, 3, launcher->cgroup < 0 ? -1 : 4);
		_exit(0);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return (int)pid;
	}
	ssize_t got = recv(pair[0], &result, sizeof result, 0);
	if (got != sizeof result || result) {
		close(pair[0]);
		waitpid(pid, NULL, __WALL);
		return got == sizeof result ? result : -EIO;
	}
	launcher->control = pair[0];
	launcher->generation++;
	__atomic_store_n(&launcher->pid, pid, __ATOMIC_RELAXED);
	return 0;
}

/*
 * Boxes of a launcher that was killed, where there is no pid namespace: the launcher's children have become ours, since
 * we are a subreaper. A group that still has a child of ours keeps its number, so nobody else can be hit.
 */
static void kill_orphans(struct zvm_launcher *launcher)
{
	for (unsigned i = 0; i < ZVM_BOXES_MAX; i++) {
		pid_t group = launcher->shared->groups[i];
		launcher->shared->groups[i] = 0;
		if (group <= 0)
			continue;
		pid_t dead;
		while ((dead = waitpid(-group, NULL, WNOHANG | __WALL)) > 0)
			;
		if (dead == 0)
			kill(-group, SIGKILL);
		while (dead >= 0)
			dead = waitpid(-group, NULL, __WALL);
	}
}

static void bury(struct zvm_launcher *launcher)
{
	zvm_close_pointer(&launcher->control);
	launcher->control = -1;
	launcher->asked_ahead = false;
	if (launcher->pid > 0)
		waitpid(launcher->pid, NULL, __WALL);
	if (launcher->pid > 0 && !launcher->zygote.reports[ZVM_WALL_PID].stands)
		kill_orphans(launcher);
	__atomic_store_n(&launcher->pid, 0, __ATOMIC_RELAXED);
}

int zvm_launcher_start(struct zvm_launcher_options *options, struct zvm_launcher **ret)
{
	struct zvm_launcher *launcher = calloc(1, sizeof *launcher);
	if (!launcher)
		return -ENOMEM;
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	launcher->control = -1;
	launcher->plain = options->plain;
	launcher->template_first = options->template_first;
	launcher->zygote.native_cpuid = options->native_cpuid;
	launcher->zygote.no_jumps = options->no_jumps;
	launcher->pool = options->pool ? options->pool : processors > 0 ? (unsigned)processors : 1;
	if (launcher->pool > POOL_MAX)
		launcher->pool = POOL_MAX;
	if (options->fresh)
		launcher->pool = 0;
	pthread_mutex_init(&launcher->lock, NULL);
	struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		free(launcher);
		return -ENOMEM;
	}
	launcher->shared = shared;
	launcher->zygote.reports = shared->reports;
	launcher->zygote.plain = options->plain;
	zvm_wall_reports_start(shared->reports);
	launcher->cgroup = zvm_wall_cgroup_make(options->plain, shared->reports);
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* kill_orphans */
	int r = zvm_templates_new(&launcher->templates);
	r = r ? r : zvm_zygote_prepare(&launcher->zygote);
	r = r ? r : spawn(launcher);
	if (r) {
		if (options->walls)
			options->wall_count = zvm_launcher_walls(launcher, options->walls);
		zvm_launcher_stop(launcher);
		return r;
	}
	*ret = launcher;
	return 0;
}

void zvm_launcher_stop(struct zvm_launcher *launcher)
{
	if (!launcher)
		return;
	zvm_templates_free(launcher->templates);
	bury(launcher);
	if (launcher->cgroup >= 0)
		zvm_wall_cgroup_remove();
	zvm_close_pointer(&launcher->cgroup);
	munmap(launcher->shared, sizeof *launcher->shared);
	pthread_mutex_destroy(&launcher->lock);
	free(launcher);
}

unsigned zvm_launcher_walls(struct zvm_launcher *launcher, struct zvm_wall_report reports[ZVM_WALLS_MAX])
{
	_Static_assert((int)ZVM_WALL_COUNT <= ZVM_WALLS_MAX, "all walls fit");
	memcpy(reports, launcher->zygote.reports, sizeof(struct zvm_wall_report) * ZVM_WALL_COUNT);
	return ZVM_WALL_COUNT;
}

static int ask_for_box(const struct zvm_launcher *launcher)
{
	struct request request = {.kind = REQUEST_BOX};
	return zvm_packet_send(launcher->control, &request, sizeof request, NULL, 0, NULL, 0) ? -EPIPE : 0;
}

/*
 * The box that was asked for, its arena cut to size and sealed: a hostile guest cannot make it grow. -EPIPE says that
 * the launcher is gone, and never what it answered.
 */
static int receive_box(const struct zvm_launcher *launcher, uint64_t arena_size, struct zvm_boxed *ret)
{
	struct handed_out out;
	int fds[3];
	unsigned count;
	if (zvm_packet_receive(launcher->control, &out, sizeof out, fds, 3, &count) != sizeof out)
		return -EPIPE;
	if (out.result)
		return out.result == -EPIPE ? -EAGAIN : out.result;
	if (count != 3) {
		while (count)
			close(fds[--count]);
		return -EPIPE;
	}
	*ret = (struct zvm_boxed){.socket = fds[0],
	                          .status = fds[1],
	                          .arena = fds[2],
	                          .number = out.box,
	                          .generation = launcher->generation};
	if (ftruncate(ret->arena, (off_t)arena_size) < 0 ||
	    fcntl(ret->arena, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
		int r = -errno;
		zvm_boxed_close(ret);
		return r;
	}
	return 0;
}

static int ask_and_receive(struct zvm_launcher *launcher, uint64_t arena_size, struct zvm_boxed *ret)
{
	int r = -EAGAIN;
	if (launcher->asked_ahead)
		r = receive_box(launcher, arena_size, ret);
	launcher->asked_ahead = false;
	if (r == 0 || r == -EPIPE)
		return r;
	/* Nobody asked ahead, or that failed: perhaps long ago, and for a reason that is gone. */
	r = ask_for_box(launcher);
	return r ? r : receive_box(launcher, arena_size, ret);
}

/* What is in the socket still can be read then, but those boxes have died with it. */
static bool is_gone(const struct zvm_launcher *launcher)
{
	struct pollfd control = {.fd = launcher->control}; /* POLLHUP needs no asking for */
	return launcher->control < 0 || poll(&control, 1, 0) > 0;
}

/* A run does not wait for its box: with each one that is taken the next is asked for, and found in the socket then. */
int zvm_launcher_take(struct zvm_launcher *launcher, uint64_t arena_size, struct zvm_boxed *ret)
{
	pthread_mutex_lock(&launcher->lock);
	int r = is_gone(launcher) ? -EPIPE : ask_and_receive(launcher, arena_size, ret);
	if (r == -EPIPE) { /* it died: one more chance with a new one */
		bury(launcher);
		r = spawn(launcher);
		r = r ? r : ask_and_receive(launcher, arena_size, ret);
	}
	if (r == 0 && launcher->pool)
		launcher->asked_ahead = ask_for_box(launcher) == 0;
	pthread_mutex_unlock(&launcher->lock);
	return r;
}

bool zvm_launcher_keeps_boxes(const struct zvm_launcher *launcher)
{
	return launcher->pool > 0;
}

bool zvm_launcher_template_first(const struct zvm_launcher *launcher)
{
	return launcher->template_first;
}

struct zvm_templates *zvm_launcher_templates(struct zvm_launcher *launcher)
{
	return launcher->templates;
}

int zvm_launcher_template(struct zvm_launcher *launcher, const struct zvm_boxed *box, int feed)
{
	struct request request = {.kind = REQUEST_TEMPLATE, .box = box->number};
	const int fds[3] = {box->socket, box->arena, feed};
	pthread_mutex_lock(&launcher->lock);
	int r = launcher->control < 0 ? -EPIPE
	                              : zvm_packet_send(launcher->control, &request, sizeof request, NULL, 0, fds, 3);
	pthread_mutex_unlock(&launcher->lock);
	return r;
}

/* A process that dies closes its sockets one by one, and the control socket may be the last; what is below it in its
 * pid namespace goes on until then, and a moment longer. */
bool zvm_launcher_lost(struct zvm_launcher *launcher, unsigned generation)
{
	pthread_mutex_lock(&launcher->lock);
	bool dead = launcher->control < 0 || launcher->generation != generation;
	struct pollfd control = {.fd = launcher->control}; /* POLLHUP needs no asking for */
	if (!dead && poll(&control, 1, DYING_MS) > 0) {
		bury(launcher);
		dead = true;
	}
	pthread_mutex_unlock(&launcher->lock);
	return dead;
}

void zvm_boxed_close(struct zvm_boxed *box)
{
	zvm_close_pointer(&box->socket);
	zvm_close_pointer(&box->status);
	zvm_close_pointer(&box->arena);
	box->socket = box->status = box->arena = -1;
}

/* Without the lock: who starts a launcher holds it for long. */
pid_t zvm_launcher_process(const struct zvm_launcher *launcher)
{
	return __atomic_load_n(&launcher->pid, __ATOMIC_RELAXED);
}

pid_t zvm_launcher_group(const struct zvm_launcher *launcher, uint32_t number)
{
	return number < ZVM_BOXES_MAX ? launcher->shared->groups[number] : 0;
}

uint64_t zvm_launcher_spent_us(const struct zvm_launcher *launcher, pid_t group)
{
	const struct shared *shared = launcher->shared;
	for (unsigned i = 0; i < ZVM_BOXES_MAX; i++)
		if (shared->groups[i] == group)
			return shared->spent_us[i];
	return 0;
}
