/*
 * The box: runs one unmodified program, once, with nothing of the world but what it is given.
 *
 *   struct zvm_launcher *launcher;
 *   zvm_launcher_start(&(struct zvm_launcher_options){0}, &launcher);   // before the caller has threads
 *   ...
 *   struct zvm_box_request request = {...};
 *   struct zvm_box_outcome outcome;
 *   int r = zvm_box_run(launcher, &request, &outcome);                  // from any thread; blocks
 *   if (r == 0) ...                                                     // outcome.end says how it ended
 *   zvm_box_outcome_free(&outcome);
 *   zvm_launcher_stop(launcher);
 *
 * zvm_launcher_start forks the launcher process, which sets up the namespaces once and keeps walled boxes
 * waiting. zvm_box_run takes one, hands it the program, serves its questions about files through
 * the view until it ends, and returns after the kernel has confirmed that every process of it is gone: nothing
 * writes to the request's descriptors any more. A box is used once.
 *
 * If the launcher dies, runs under way end with ZVM_END_BROKEN and the next zvm_box_run starts another one.
 * If the caller's process dies, every box dies.
 */
#ifndef ZVM_BOX_H
#define ZVM_BOX_H

#include <stdbool.h>
#include <stdint.h>
#include <zvm/view.h>

/* Part of every action: change it whenever a guest could notice a difference in the box. */
#define ZVM_BOX_VERSION "zvm-box-3"

struct zvm_launcher;

/* One thing that may stand around a box. `stands` false: `reason` says
 * why not, `remedy` how to get it (may be empty). */
struct zvm_wall_report {
	const char *name; /* "seccomp", "user namespace", ..., static */
	bool stands;
	char reason[160], remedy[160];
};
#define ZVM_WALLS_MAX 24

struct zvm_launcher_options {
	unsigned pool; /* boxes kept waiting; 0: as many as there are processors */
	bool fresh;    /* none is kept waiting: each is made when it is asked for */
	bool plain;    /* no namespaces, Landlock or cgroup: only seccomp and rlimits (for tests of the bare wall) */
	bool native_cpuid;   /* cpuid is not made to trap, as on machines that cannot (for tests of prepared images) */
	bool template_first; /* each run goes on from a template, which is made for it if need be (to compare) */
	bool no_jumps; /* system calls trap, also those that prepared images have jumps for (for tests of these) */
	struct zvm_wall_report *walls; /* NULL, or ZVM_WALLS_MAX of them: what became of each if there is no launcher */
	unsigned wall_count;           /* of them, set then */
};

int zvm_launcher_start(struct zvm_launcher_options *options, struct zvm_launcher **ret);
void zvm_launcher_stop(struct zvm_launcher *launcher);

/* Which walls this launcher's boxes have; returns how many of reports[] were filled. */
unsigned zvm_launcher_walls(struct zvm_launcher *launcher, struct zvm_wall_report reports[ZVM_WALLS_MAX]);

/* Limits are inclusive; 0 is never "unlimited": the caller fills all of them. */
struct zvm_limits {
	uint64_t memory_bytes; /* what guest mappings and private files may add up to */
	uint64_t output_bytes; /* of stdout and of stderr, each */
	uint64_t wall_ms;
};

/* One question the guest asked and what it was told; the list of them is the run's dependencies. */
struct zvm_dependency {
	struct zvm_question question;
	struct zvm_answer answer; /* fd is -1 */
};

/*
 * Do these still hold? 1, 0, or -errno. *proof, NULL at first, remembers what made it so, for the next time, and is
 * given to `forget` in the end, which may be called from any thread.
 */
struct zvm_holder {
	void *context;
	int (*holds)(void *context, const struct zvm_dependency *list, unsigned count, void **proof);
	void (*forget)(void *proof);
};

struct zvm_box_request {
	const struct zvm_view *view;
	const struct zvm_contents *contents;
	struct zvm_asker asker; /* .ask NULL: the view itself */
	const char *script;     /* guest path: "/script/count.py", "/usr/bin/sort" */
	int script_fd;          /* its stored content, read-only; borrowed */
	struct zvm_digest script_digest;
	const char *const *arguments;   /* after argv[0]; NULL-terminated */
	const char *const *environment; /* whole, "NAME=VALUE", NULL-terminated, in the order the guest sees */
	/* Of the box's random generator: until the run looks at its input or shows anything, and from there on. The
	 * first must follow from `kind`. */
	unsigned char seed[32], own_seed[32];
	/* All that decides what such a run does, but for its input and what it reads of the world; NULL: no template.
	 */
	const void *kind;
	size_t kind_size;
	struct zvm_holder holder; /* with kind */
	struct zvm_limits limits;
	int stdin_fd;                /* regular file, read-only, borrowed */
	int stdout_fd, stderr_fd;    /* regular files, empty, O_WRONLY; borrowed; the box appends to them */
	int cancel_fd;               /* eventfd or pipe: becomes readable to kill the run; -1: never */
	struct zvm_box_meter *meter; /* NULL, or what tells others, while it runs, what it uses */
	void (*trace)(void *context, const char *line,
	              size_t length); /* NULL, or called for each system call of the guest */
	void *trace_context;
};

struct zvm_call_count {
	unsigned number;
	uint64_t count;
};

enum zvm_box_end {
	ZVM_END_EXIT,      /* exit_status */
	ZVM_END_SIGNAL,    /* by a signal of its own doing */
	ZVM_END_REFUSED,   /* never started: `error` -ENOEXEC, -EACCES, -ENOENT (interpreter), `message` says why */
	ZVM_END_TIME,      /* wall or CPU time limit */
	ZVM_END_OUTPUT,    /* output limit */
	ZVM_END_MEMORY,    /* killed at the hard memory wall (the guest's own ENOMEM is no end) */
	ZVM_END_DEADLOCK,  /* every task waits for another */
	ZVM_END_CANCELLED, /* cancel_fd */
	ZVM_END_BROKEN,    /* the launcher died, or the box broke its protocol: EIO, never remembered */
};

struct zvm_box_outcome {
	enum zvm_box_end end;
	int exit_status, signal;
	int error;     /* REFUSED: -errno; BROKEN: -errno if the host was to blame, else 0 */
	char *message; /* one line for err/ without newline, or NULL: why refused, where it crashed, who waits for whom
	                */
	uint64_t stdout_size, stderr_size; /* what the guest wrote, as the host saw it */
	uint64_t wall_us, cpu_us, max_rss_kib;
	uint64_t faults; /* page faults of its processes, as the kernel counted them */
	uint64_t system_calls, virtual_ns, peak_memory;
	uint64_t bytes_read, bytes_written; /* by system calls */
	struct zvm_call_count *calls;       /* by number, those that were made */
	unsigned call_count;
	char **refused; /* names of system calls (and "socket(AF_INET)" and the like) answered with a refusal */
	unsigned refused_count;
	struct zvm_dependency *dependencies; /* each question once, in the order first asked */
	unsigned dependency_count;
	/* "PATH: N": files mapped executable in which N places look like instructions that tell machines apart, and
	 * could be neither proven to be such (and taken away) nor to be something else. */
	char **unproven;
	unsigned unproven_count;
	bool not_vetted; /* code ran of which nothing is known: made or changed by the guest itself (a JIT) */
	bool from_template;
	bool wants_template; /* zvm_box_template with such a request is worth its while */
	bool real_time;      /* only real time could have moved it on: never remembered */
	char **walls;        /* names of the walls that stood */
	unsigned wall_count;
};

/*
 * Runs the request. 0 with *ret filled (always free it), or -errno if zvm itself could not (-ENOMEM, -EAGAIN).
 * Thread-safe. The descriptors and strings of the request must stay valid until it returns.
 */
int zvm_box_run(struct zvm_launcher *launcher, const struct zvm_box_request *request, struct zvm_box_outcome *ret);
void zvm_box_outcome_free(struct zvm_box_outcome *outcome);

/*
 * Templates. All runs of a kind are the same until they look at their input, or show anything outside: after libraries
 * are loaded, modules imported, the script compiled. A template is a box that has stopped there, and from which boxes
 * are forked that go on, each with an input of its own, with the same bytes in the end as if it had begun at the
 * beginning. It serves zvm_box_run by itself for as long as the files that it has read are the same.
 *
 * This makes one, if there is none: runs the program that far, without its input or outputs (stdin_fd, stdout_fd,
 * stderr_fd and own_seed are not looked at). 0; -EEXIST: there is one, or is about to be; or another -errno: there
 * is none, which harms nobody.
 */
int zvm_box_template(struct zvm_launcher *launcher, const struct zvm_box_request *request);
/* Those that have not been used for so long (0: all), with what holders have given them. */
void zvm_box_forget_templates(struct zvm_launcher *launcher, unsigned idle_ms);

/*
 * What a box uses while it runs, for whoever looks on.
 *
 *   struct zvm_box_meter meter = ZVM_BOX_METER;                       // of a request; lives as long as zvm_box_run
 *   ... another thread, which knows that it lives ...
 *   zvm_box_meter_read(&meter, &usages[n++]);                         // never waits
 *   ... and when all have been read, and the meters need not live any more ...
 *   r = zvm_launcher_usage(launcher, usages, n);
 *
 * The kernel is asked, never the box, nor the launcher, which all runs wait for.
 */
struct zvm_box_meter {
	int box, arena; /* usage.c's own */
};
#define ZVM_BOX_METER ((struct zvm_box_meter){0, -1})

struct zvm_box_usage {
	int box;             /* its number, 0: it is none (yet, or any more) */
	unsigned processes;  /* that it has now */
	uint64_t cpu_us;     /* of these and of those that have ended */
	uint64_t memory_kib; /* of these, but for files of the host, and in private files; a page that one process has
	                      * from another, or from a template, counts for each that has it */
};

void zvm_box_meter_read(const struct zvm_box_meter *meter, struct zvm_box_usage *ret);
/* Adds what /proc tells, some 10 us for each process. -errno: there is none that knows of them, and nothing is known.
 */
int zvm_launcher_usage(const struct zvm_launcher *launcher, struct zvm_box_usage *usages, unsigned count);

/*
 * For lookups: does this file, were it run, have any chance? 0, -ENOEXEC (neither ELF for this machine nor `#!`, or
 * damaged) or the -errno of reading it, with a one-line reason in *ret_message (malloc'd, may be NULL). Reads only
 * `fd`.
 */
int zvm_box_check_program(int fd, char **ret_message);

/* What a box does about system calls of this number: "emulated", ..., as in zvm-box(7); its name, or "syscall N" in
 * `room`. */
const char *zvm_call_kind(unsigned number);
const char *zvm_call_name(unsigned number, char room[32]);

#endif
