/* The host's end of a box's questions: see broker.c. */
#ifndef ZVM_BROKER_H
#define ZVM_BROKER_H

#include <time.h>
#include <zvm/box.h>
#include "plan.h"
#include "protocol.h"

struct zvm_broker;

int zvm_broker_new(const struct zvm_box_request *request, struct zvm_broker **ret);
/* The box's socket, once there is one; stays the caller's, and will not block. 0 or -errno. */
int zvm_broker_attach(struct zvm_broker *broker, int socket);
void zvm_broker_free(struct zvm_broker *broker);

/* zvm_asker: a question of ours, recorded like one of the guest's. */
zvm_asker zvm_broker_ask;

/* Puts prepared images in place of the program's and the interpreter's descriptors. 0 or -errno. */
int zvm_broker_prepare(struct zvm_broker *broker, struct zvm_program *program);

/* It starts with the questions that another has answered, and the same answers. Before it is attached. 0 or -errno. */
int zvm_broker_inherit(struct zvm_broker *broker, const struct zvm_broker *from);

#define ZVM_BROKER_STOPPED 2
/* Serves one packet. 1: served; ZVM_BROKER_STOPPED: the box has become a template; 0: *ret_report is filled; -EPIPE:
 * the box has hung up; -EPROTO: it speaks nonsense, or does not listen. */
int zvm_broker_serve(struct zvm_broker *broker, struct zvm_report *ret_report);

/* -errno of the first question that could not be answered for a reason of ours; 0: there was none. */
int zvm_broker_trouble(const struct zvm_broker *broker);

/* The content that this path was opened with, to be read: a descriptor of the caller's; -1. */
int zvm_broker_content(struct zvm_broker *broker, const char *path);

/* A file that a box was given, as it was then. */
struct zvm_given {
	int fd;
	uint64_t size;
	struct timespec modified;
};
int zvm_given_take(int *fd, struct zvm_given *ret); /* 0 or -errno; the descriptor is *ret's then */
bool zvm_given_stands(const struct zvm_given *given);
/* All that this box was given; whoever inherits will have to ask for it anew. -EMFILE: not all descriptors are kept. */
int zvm_broker_take_given(struct zvm_broker *broker, struct zvm_given **ret, unsigned *ret_count);
void zvm_given_free(struct zvm_given *list, unsigned count);
int zvm_broker_copy_dependencies(const struct zvm_broker *broker, struct zvm_dependency **ret, unsigned *ret_count);
void zvm_dependencies_free(struct zvm_dependency *list, unsigned count);
/* Hands over the dependencies. 0 or -ENOMEM. */
int zvm_broker_take_dependencies(struct zvm_broker *broker, struct zvm_dependency **ret, unsigned *ret_count);

/* Hands over the files that were mapped executable with unproven places in them. */
void zvm_broker_take_unproven(struct zvm_broker *broker, char ***ret, unsigned *ret_count);

#endif
