/*
 * Who and where the guest is: always uid and gid 1000 on a host called zvm with one processor, whatever the real one
 * is.
 */
#include "internal.h"

#define LAST_CAPABILITY 40u /* as /proc/sys/kernel/cap_last_cap says */

static s64 nobody_else(u64 id)
{
	return (u32)id == 1000 || (u32)id == 0xffffffffu ? 0 : -EPERM;
}

#define CONSTANT(name, value)   \
	s64 name(const u64 *a)  \
	{                       \
		(void)a;        \
		return (value); \
	}

CONSTANT(call_getuid, 1000)
CONSTANT(call_geteuid, 1000)
CONSTANT(call_getgid, 1000)
CONSTANT(call_getegid, 1000)
CONSTANT(call_setfsuid, 1000)
CONSTANT(call_setfsgid, 1000)
CONSTANT(call_setuid, nobody_else(a[0]))
CONSTANT(call_setgid, nobody_else(a[0]))
CONSTANT(call_setreuid, nobody_else(a[0]) | nobody_else(a[1]))
CONSTANT(call_setregid, nobody_else(a[0]) | nobody_else(a[1]))
CONSTANT(call_setresuid, nobody_else(a[0]) | nobody_else(a[1]) | nobody_else(a[2]))
CONSTANT(call_setresgid, nobody_else(a[0]) | nobody_else(a[1]) | nobody_else(a[2]))
CONSTANT(call_personality, (u32)a[0] == 0xffffffffu || !a[0] ? 0 : -EINVAL)
CONSTANT(call_ioprio_get, 0)
CONSTANT(call_ioprio_set, 0)
CONSTANT(call_syslog, -EPERM)
CONSTANT(call_membarrier, (u32)a[0] == 0 && !(u32)a[1] ? 0 : -EINVAL)

static s64 three_ids(const u64 *a)
{
	u32 id = 1000;
	return GUEST_PUT(a[0], id) || GUEST_PUT(a[1], id) || GUEST_PUT(a[2], id) ? -EFAULT : 0;
}

s64 call_getresuid(const u64 *a)
{
	return three_ids(a);
}

s64 call_getresgid(const u64 *a)
{
	return three_ids(a);
}

s64 call_getgroups(const u64 *a)
{
	u32 id = 1000;
	if ((s32)a[0] < 0)
		return -EINVAL;
	if (!a[0])
		return 1;
	return GUEST_PUT(a[1], id) ? -EFAULT : 1;
}

s64 call_uname(const u64 *a)
{
	struct new_utsname name = {"Linux", "zvm", "6.1.0-zvm", "#1 SMP zvm 2000-01-01", "x86_64", "(none)"};
	return GUEST_PUT(a[0], name);
}

s64 call_sysinfo(const u64 *a)
{
	struct {
		s64 uptime;
		u64 loads[3], total, free, shared, buffer, swap_total, swap_free;
		u16 processes, padding;
		u64 high_total, high_free;
		u32 unit;
		u8 rest[4];
	} info = {.uptime = (s64)((clock_query() - EPOCH_NS) / 1000000000ull + 1000),
	          .total = arena->memory_limit,
	          .free = arena->memory_limit - arena->memory_used,
	          .processes = (u16)arena->task_count,
	          .unit = 1};
	return GUEST_PUT(a[0], info);
}

s64 call_getcpu(const u64 *a)
{
	u32 zero = 0;
	if ((a[0] && GUEST_PUT(a[0], zero)) || (a[1] && GUEST_PUT(a[1], zero)))
		return -EFAULT;
	return 0;
}

/* --- scheduling: one processor, one policy for all --- */

#define POLICY_NORMAL 0u
#define POLICY_FIFO 1u
#define POLICY_ROUND_ROBIN 2u
#define POLICY_BATCH 3u
#define POLICY_IDLE 5u
#define POLICY_DEADLINE 6u

/* The task of that number, 0 being the current one; or why it cannot be asked about. */
static s64 task_known(u64 tid, struct task **ret)
{
	if ((s32)tid < 0)
		return -EINVAL;
	*ret = task_self();
	for (u32 i = 0; i < arena->task_count && tid; i++)
		if (arena->tasks[i].tid == (s32)tid && arena->tasks[i].state != TASK_FREE) {
			*ret = &arena->tasks[i];
			return 0;
		}
	return tid ? -ESRCH : 0;
}

static bool is_real_time(u32 policy)
{
	return policy == POLICY_FIFO || policy == POLICY_ROUND_ROBIN;
}

static bool is_policy(u32 policy)
{
	return policy <= POLICY_BATCH || policy == POLICY_IDLE || policy == POLICY_DEADLINE;
}

/* What an unprivileged user may choose changes nothing here; priorities are for real time, which he may not. */
static s64 choose_policy(u64 tid, u32 policy, s32 priority)
{
	struct task *task;
	s64 r = task_known(tid, &task);
	if (r)
		return r;
	bool fits = is_real_time(policy) ? priority >= 1 && priority <= 99 : priority == 0;
	if (!is_policy(policy) || policy == POLICY_DEADLINE || !fits)
		return -EINVAL;
	if (is_real_time(policy))
		return -EPERM;
	task->policy = policy;
	return 0;
}

s64 call_sched_setscheduler(const u64 *a)
{
	s32 priority;
	if ((s32)a[1] < 0 || !a[2])
		return -EINVAL;
	if (GUEST_GET(priority, a[2]))
		return -EFAULT;
	return choose_policy(a[0], (u32)a[1] & ~0x40000000u /* SCHED_RESET_ON_FORK */, priority);
}

/* The policy stays, so the only priority is none. */
s64 call_sched_setparam(const u64 *a)
{
	struct task *task;
	s64 r = task_known(a[0], &task);
	const u64 arguments[3] = {a[0], r ? POLICY_NORMAL : task->policy, a[1]};
	return r ? r : call_sched_setscheduler(arguments);
}

s64 call_sched_getscheduler(const u64 *a)
{
	struct task *task;
	s64 r = task_known(a[0], &task);
	return r ? r : task->policy;
}

s64 call_sched_get_priority_max(const u64 *a)
{
	return !is_policy((u32)a[0]) ? -EINVAL : is_real_time((u32)a[0]) ? 99 : 0;
}

s64 call_sched_get_priority_min(const u64 *a)
{
	return !is_policy((u32)a[0]) ? -EINVAL : is_real_time((u32)a[0]) ? 1 : 0;
}

s64 call_sched_getaffinity(const u64 *a)
{
	u64 one = 1;
	if ((u32)a[1] < 8 || (u32)a[1] % 8)
		return -EINVAL;
	struct task *task;
	s64 r = task_known(a[0], &task);
	return r ? r : GUEST_PUT(a[2], one) ? -EFAULT : 8;
}

/* The one processor must be among those asked for. */
s64 call_sched_setaffinity(const u64 *a)
{
	u64 mask = 0;
	if (guest_read(&mask, a[2], min_u64((u32)a[1], sizeof mask)))
		return -EFAULT;
	struct task *task;
	s64 r = task_known(a[0], &task);
	return r ? r : mask & 1 ? 0 : -EINVAL;
}

s64 call_sched_getparam(const u64 *a)
{
	u32 zero = 0;
	if (!a[1])
		return -EINVAL;
	struct task *task;
	s64 r = task_known(a[0], &task);
	return r ? r : GUEST_PUT(a[1], zero);
}

s64 call_sched_rr_get_interval(const u64 *a)
{
	u64 interval[2] = {0, 4000000};
	struct task *task;
	s64 r = task_known(a[0], &task);
	return r ? r : GUEST_PUT(a[1], interval);
}

/* struct sched_attr: size, policy, flags, nice, priority, then deadlines. */
s64 call_sched_getattr(const u64 *a)
{
	u32 attributes[12] = {48};
	if (!a[1] || (u32)a[2] < sizeof attributes || (u32)a[2] > PAGE_SIZE || a[3])
		return -EINVAL;
	struct task *task;
	s64 r = task_known(a[0], &task);
	if (r)
		return r;
	attributes[1] = task->policy;
	return GUEST_PUT(a[1], attributes);
}

s64 call_sched_setattr(const u64 *a)
{
	u32 attributes[12];
	if (!a[1] || (s32)a[0] < 0 || a[2])
		return -EINVAL;
	if (GUEST_GET(attributes, a[1]))
		return -EFAULT;
	return choose_policy(a[0], attributes[1], (s32)attributes[5]);
}

/* capget and capset: version 3, no capability. */
s64 call_capget(const u64 *a)
{
	u32 header[2], none[6] = {0};
	if (GUEST_GET(header, a[0]))
		return -EFAULT;
	if (header[0] != 0x20080522 && header[0] != 0x20071026 && header[0] != 0x19980330) {
		header[0] = 0x20080522;
		return guest_write(a[0], header, sizeof header) ? -EFAULT : a[1] ? -EINVAL : 0;
	}
	return a[1] ? guest_write(a[1], none, header[0] == 0x19980330 ? 12 : 24) : 0;
}

s64 call_capset(const u64 *a)
{
	u32 sets[6];
	if (GUEST_GET(sets, a[1]))
		return -EFAULT;
	for (int i = 0; i < 6; i++)
		if (sets[i])
			return -EPERM;
	return 0;
}

/* --- limits: what the guest sees; the real ones are the wall's --- */

#define UNLIMITED UINT64_MAX

void limits_start(struct process *p)
{
	for (u32 i = 0; i < 16; i++)
		p->limits[i][0] = p->limits[i][1] = UNLIMITED;
	p->limits[RLIMIT_STACK][0] = STACK_SIZE;
	p->limits[RLIMIT_CORE][0] = p->limits[RLIMIT_CORE][1] = 0;
	p->limits[RLIMIT_NPROC][0] = p->limits[RLIMIT_NPROC][1] = PROCESSES_MAX;
	p->limits[RLIMIT_NOFILE][0] = p->limits[RLIMIT_NOFILE][1] = DESCRIPTORS_MAX;
	p->limits[RLIMIT_MEMLOCK][0] = p->limits[RLIMIT_MEMLOCK][1] = 64 << 10;
	p->limits[RLIMIT_SIGPENDING][0] = p->limits[RLIMIT_SIGPENDING][1] = 1024;
	p->limits[RLIMIT_MSGQUEUE][0] = p->limits[RLIMIT_MSGQUEUE][1] = 0;
	p->limits[RLIMIT_NICE][0] = p->limits[RLIMIT_NICE][1] = 0;
	p->limits[RLIMIT_RTPRIO][0] = p->limits[RLIMIT_RTPRIO][1] = 0;
}

s64 call_prlimit64(const u64 *a)
{
	struct process *p = process_find((s32)a[0]);
	u64 new[2];
	if (a[1] >= 16)
		return -EINVAL;
	if (!p)
		return -ESRCH;
	u64 *limit = p->limits[a[1]], old[2] = {limit[0], limit[1]};
	if (a[2]) {
		if (GUEST_GET(new, a[2]))
			return -EFAULT;
		if (new[0] > new[1])
			return -EINVAL;
		if (new[1] > limit[1])
			return -EPERM;
		limit[0] = new[0];
		limit[1] = new[1];
	}
	return a[3] ? GUEST_PUT(a[3], old) : 0;
}

s64 call_getrlimit(const u64 *a)
{
	const u64 arguments[4] = {0, a[0], 0, a[1]};
	return a[1] ? call_prlimit64(arguments) : -EFAULT;
}

s64 call_setrlimit(const u64 *a)
{
	const u64 arguments[4] = {0, a[0], a[1], 0};
	return a[1] ? call_prlimit64(arguments) : -EFAULT;
}

/* --- prctl --- */

static s64 set_name(u64 address)
{
	struct task *task = task_self();
	char name[16];
	s64 length = guest_string(name, address, 15);
	if (length < 0 && length != -ENAMETOOLONG)
		return length;
	name[length < 0 ? 15 : length] = 0;
	memset(task->name, 0, sizeof task->name);
	memcpy(task->name, name, strlen(name));
	if (task->tid == process_self()->pid)
		memcpy(process_self()->name, task->name, sizeof task->name);
	return 0;
}

/* What one may set and see again, of which only the first two have an effect in a box. */
static s64 set_own(const u64 *a)
{
	struct process *p = process_self();
	switch (a[0]) {
	case PR_SET_PDEATHSIG: return a[1] > 64 ? -EINVAL : (p->death_signal = (s32)a[1], 0);
	case PR_SET_CHILD_SUBREAPER: p->subreaper = a[1] != 0; return 0;
	case PR_SET_DUMPABLE: return a[1] > 1 ? -EINVAL : (p->dumpable = (u32)a[1], 0);
	case PR_SET_KEEPCAPS: return a[1] > 1 ? -EINVAL : (p->keeps_capabilities = (u32)a[1], 0);
	case PR_SET_NO_NEW_PRIVS: return a[1] != 1 || a[2] || a[3] || a[4] ? -EINVAL : 0;
	default: p->timer_slack = a[1] ? a[1] : 50000; return 0;
	}
}

static s64 get_own(const u64 *a)
{
	const struct process *p = process_self();
	s32 number;
	switch (a[0]) {
	case PR_GET_PDEATHSIG: number = p->death_signal; return GUEST_PUT(a[1], number);
	case PR_GET_CHILD_SUBREAPER: number = (s32)p->subreaper; return GUEST_PUT(a[1], number);
	case PR_GET_TSC: number = 1 /* PR_TSC_ENABLE */; return GUEST_PUT(a[1], number);
	case PR_GET_DUMPABLE: return p->dumpable;
	case PR_GET_KEEPCAPS: return p->keeps_capabilities;
	case PR_GET_NO_NEW_PRIVS: return 1;
	default: return (s64)p->timer_slack;
	}
}

s64 call_prctl(const u64 *a)
{
	switch (a[0]) {
	case PR_SET_NAME: return set_name(a[1]);
	case PR_GET_NAME: return guest_write(a[1], task_self()->name, 16);
	case PR_SET_PDEATHSIG:
	case PR_SET_CHILD_SUBREAPER:
	case PR_SET_DUMPABLE:
	case PR_SET_KEEPCAPS:
	case PR_SET_NO_NEW_PRIVS:
	case PR_SET_TIMERSLACK: return set_own(a);
	case PR_GET_PDEATHSIG:
	case PR_GET_CHILD_SUBREAPER:
	case PR_GET_TSC:
	case PR_GET_DUMPABLE:
	case PR_GET_KEEPCAPS:
	case PR_GET_NO_NEW_PRIVS:
	case PR_GET_TIMERSLACK: return get_own(a);
	case PR_SET_THP_DISABLE: /* hints */
	case PR_SET_VMA:
	case PR_SET_PTRACER:
	case PR_GET_SECCOMP:
	case PR_GET_THP_DISABLE:
	case PR_GET_SECUREBITS:
	case PR_MCE_KILL_GET: return 0;
	case PR_CAPBSET_READ: return a[1] > LAST_CAPABILITY ? -EINVAL : 0;
	case PR_SET_SECCOMP:
	case PR_SET_MM:
	case PR_CAPBSET_DROP: return refuse(NULL, EPERM);
	default: return -EINVAL;
	}
}

/* One value for every process asked about: nobody but the guest is there. */
s64 call_getpriority(const u64 *a)
{
	return (u32)a[0] > 2 ? -EINVAL : 20 - process_self()->nice;
}

s64 call_setpriority(const u64 *a)
{
	struct process *p = process_self();
	s32 nice = (s32)a[2];
	if ((u32)a[0] > 2)
		return -EINVAL;
	nice = nice < -20 ? -20 : nice > 19 ? 19 : nice;
	if (nice < p->nice)
		return -EACCES;
	p->nice = nice;
	return 0;
}

s64 call_arch_prctl(const u64 *a)
{
	struct task *task = task_self();
	switch (a[0]) {
	case ARCH_SET_FS:
		if (a[1] >= ZVM_GUEST_END)
			return -EPERM;
		task->fs_base = a[1];
		return native_call(__NR_arch_prctl, ARCH_SET_FS, a[1], 0, 0, 0, 0);
	case ARCH_GET_FS: return GUEST_PUT(a[1], task->fs_base);
	case ARCH_SET_GS:
		if (a[1] >= ZVM_GUEST_END)
			return -EPERM;
		return native_call(__NR_arch_prctl, ARCH_SET_GS, a[1], 0, 0, 0, 0);
	case ARCH_GET_CPUID: return 1;
	default: return -EINVAL;
	}
}
