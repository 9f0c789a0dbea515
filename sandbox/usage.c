/*
 * What boxes have used so far, as the kernel tells it of their processes.
 *
 * All processes of all boxes are below the launcher process, and no box can leave the process group that it was put
 * into: so its number, which stands last in NSpgid of /proc/PID/status, says of each process which box it belongs to,
 * whatever that box says. The launcher adds what those have used that it has buried. It is never asked anything: that
 * would be one more thing to do for the process that all runs wait for.
 *
 * Memory is what the processes have of their own, and the box's arena, where the private files are: that stays when the
 * process has ended which has written them.
 *
 * A process that ends between two looks is missing from both sums for a moment.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <zvm/box.h>
#include <zvm/cleanup.h>
#include "launch.h"

/* Of the processes of all boxes: more than the wall allows (ZVM_WALL_PROCESSES). */
#define PROCESSES_MAX 1024

struct family {
	pid_t pids[PROCESSES_MAX];
	unsigned count;
};

/* --- the meter --- */

static pthread_mutex_t meters = PTHREAD_MUTEX_INITIALIZER; /* around those: held for an assignment, or an fstat */

void zvm_meter_start(struct zvm_box_meter *meter, const struct zvm_launcher *launcher, const struct zvm_boxed *box)
{
	if (!meter)
		return;
	pthread_mutex_lock(&meters);
	*meter = (struct zvm_box_meter){zvm_launcher_group(launcher, box->number), box->arena};
	pthread_mutex_unlock(&meters);
}

void zvm_meter_stop(struct zvm_box_meter *meter)
{
	if (!meter)
		return;
	pthread_mutex_lock(&meters);
	*meter = ZVM_BOX_METER;
	pthread_mutex_unlock(&meters);
}

/* The lock is global: a meter that is read is about to be stopped, perhaps, and its arena's number to be another's. */
void zvm_box_meter_read(const struct zvm_box_meter *meter, struct zvm_box_usage *ret)
{
	struct stat st;
	pthread_mutex_lock(&meters);
	*ret = (struct zvm_box_usage){.box = meter->box};
	if (meter->box && fstat(meter->arena, &st) == 0)
		ret->memory_kib = (uint64_t)st.st_blocks / 2;
	pthread_mutex_unlock(&meters);
}

/* --- processes --- */

/* A small file of /proc, as a string; its length or -errno. */
static ssize_t read_proc(pid_t pid, const char *name, char *text, size_t room)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	zvm_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, room - 1);
	if (n < 0)
		return -errno;
	text[n] = 0;
	return n;
}

/* Another PID namespace's /proc would tell of strangers. */
static bool is_our_proc(void)
{
	char number[16];
	ssize_t n = readlink("/proc/self", number, sizeof number - 1);
	if (n <= 0)
		return false;
	number[n] = 0;
	return atoi(number) == getpid();
}

static int add_children(struct family *family, pid_t parent)
{
	char name[48], text[PROCESSES_MAX * 8];
	snprintf(name, sizeof name, "task/%d/children", (int)parent);
	ssize_t n = read_proc(parent, name, text, sizeof text);
	if (n < 0)
		return (int)n;
	char *end;
	for (const char *at = text; family->count < PROCESSES_MAX; at = end) {
		long pid = strtol(at, &end, 10);
		if (end == at || *end != ' ') /* the last one may be cut */
			break;
		family->pids[family->count++] = (pid_t)pid;
	}
	return 0;
}

/* The launcher's children and theirs: a guest that owns its monitor can have some that are not the launcher's. */
static int find_family(struct family *family, pid_t launcher)
{
	int r = add_children(family, launcher);
	for (unsigned i = 0; r == 0 && i < family->count; i++)
		(void)add_children(family, family->pids[i]); /* it may have ended */
	return r;
}

static unsigned long number_behind(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	return at ? strtoul(at + strlen(key), NULL, 10) : 0;
}

/* The group's number where it has the fewest ancestors to be known to: the launcher's own namespace. */
static int group_of(const char *status)
{
	const char *at = strstr(status, "\nNSpgid:");
	int group = 0;
	if (!at)
		return 0;
	for (at += strlen("\nNSpgid:"); *at == '\t'; at += strspn(at + 1, "0123456789") + 1)
		group = atoi(at + 1);
	return group;
}

/* Of all its threads, as the kernel schedules them; it need not be our child. */
static uint64_t processor_us(pid_t pid)
{
	clockid_t id;
	struct timespec t;
	if (clock_getcpuclockid(pid, &id) || clock_gettime(id, &t) < 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void add_process(pid_t pid, struct zvm_box_usage *usages, unsigned count)
{
	char status[4096];
	if (read_proc(pid, "status", status, sizeof status) < 0)
		return;
	int group = group_of(status);
	for (unsigned i = 0; group && i < count; i++) {
		if (usages[i].box != group)
			continue;
		usages[i].processes++;
		usages[i].cpu_us += processor_us(pid);
		/* Files are the page cache's, and shared with whoever else reads them; what is shared is the arena. */
		usages[i].memory_kib += number_behind(status, "\nRssAnon:");
	}
}

int zvm_launcher_usage(const struct zvm_launcher *launcher, struct zvm_box_usage *usages, unsigned count)
{
	pid_t pid = zvm_launcher_process(launcher);
	zvm_autofree struct family *family = calloc(1, sizeof *family);
	if (!family)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++)
		usages[i].cpu_us = zvm_launcher_spent_us(launcher, usages[i].box);
	int r = pid && is_our_proc() ? find_family(family, pid) : -ENOENT;
	for (unsigned i = 0; r == 0 && i < family->count; i++)
		add_process(family->pids[i], usages, count);
	return r;
}
