/*
 * Going through all that a store holds: for gc, fsck and verify, not for the path of a read.
 *
 *   r = zvm_survey_objects(store, visit_object, context);
 *   r = zvm_survey_records(store, visit_record, context);
 *
 * Takes no lock and keeps nothing in memory but one directory: a store may change meanwhile, and what comes or goes
 * during the walk may be seen or not. A visitor may remove what it is shown. One that returns non-zero ends the walk,
 * which returns that; otherwise 0, or -errno when a directory of the store cannot be read.
 */
#ifndef ZVM_FS_SURVEY_H
#define ZVM_FS_SURVEY_H

#include <stdbool.h>
#include <zvm/store.h>

/* One name below objects/ or records/. */
struct zvm_surveyed {
	int shelf;                /* directory that holds it: borrowed for the call */
	const char *shelf_name;   /* "ab" */
	const char *name;         /* in the shelf */
	bool ours;                /* its name has the form of ours, and lies where that name belongs */
	struct zvm_digest digest; /* if ours: of the object, or the address of the action */
};

/* Every name in every shelf of objects/, whatever it is; a name beside the shelves has shelf_name "". */
int zvm_survey_objects(struct zvm_store *store, int (*visit)(void *context, const struct zvm_surveyed *object),
                       void *context);
/* Every action's directory in records/, likewise: its runs are the visitor's to list. */
int zvm_survey_records(struct zvm_store *store, int (*visit)(void *context, const struct zvm_surveyed *action),
                       void *context);

#endif
