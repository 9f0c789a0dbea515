/* Inside the launcher process: launch.c serves, launch_template.c forks boxes from templates. */
#ifndef ZVM_LAUNCH_INTERNAL_H
#define ZVM_LAUNCH_INTERNAL_H

#include <sys/types.h>
#include "launch.h"

#define ZVM_BOXES_MAX 256

struct zvm_box_slot {
	pid_t group; /* 0: free slot */
	int status;  /* our end; -1 while the box waits in the pool */
	int socket;  /* the host's end, while in the pool; else -1 */
	int arena;   /* memfd, while in the pool; else -1 */
	struct zvm_box_status sum;
};

struct zvm_template_slot {
	pid_t group; /* of its box; 0: free slot */
	struct zvm_box_slot *box;
	int socket; /* takes fork orders */
	int arena;
	int feed;       /* to the daemon, who finds boxes there, and says with a byte each that he took one */
	unsigned ahead; /* boxes that nobody has taken yet */
	uint64_t arena_size;
	const unsigned char *memory; /* the arena, mapped */
};

struct zvm_launcher_process {
	int control, zygote, signals, proc, cgroup;
	pid_t zygote_pid;
	unsigned pool;
	const struct zvm_launcher *launcher;
	struct zvm_box_slot boxes[ZVM_BOXES_MAX];
	struct zvm_template_slot templates[ZVM_TEMPLATES_MAX];
};

/* launch.c */
struct zvm_box_slot *zvm_launch_free_slot(struct zvm_launcher_process *l);
/* A slot that has a box now, a process group of its own. `status`, `socket` and `arena` are the slot's from now on. */
void zvm_launch_occupy(struct zvm_launcher_process *l, struct zvm_box_slot *slot, const struct zvm_box_slot *box);

/* launch_template.c */
/* From the box in this slot, which has stopped; takes the three descriptors, whatever becomes of it. */
void zvm_launch_template_start(struct zvm_launcher_process *l, struct zvm_box_slot *box, const int fds[3]);
/* Something is to be read from its feed. */
void zvm_launch_template_serve(struct zvm_template_slot *t);
/* One whose box has died is forgotten. */
void zvm_launch_templates_tidy(struct zvm_launcher_process *l);
/* One that has fewer boxes ahead than it should have; NULL: there is none. */
struct zvm_template_slot *zvm_launch_template_hungry(struct zvm_launcher_process *l);
/* One box more. */
void zvm_launch_template_feed(struct zvm_launcher_process *l, struct zvm_template_slot *t);

#endif
