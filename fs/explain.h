/*
 * Why would this be computed, or why not?
 *
 *   struct zvm_explainer *explainer;
 *   r = zvm_explainer_open(store, facts, &explainer);              // the store: opened to be looked at
 *   r = zvm_explain(explainer, spec, "books/moby.txt", &explanation);
 *   ... explanation->state, explanation->stages[i].reasons[k] ...
 *   zvm_explanation_free(explanation);
 *   zvm_explainer_close(explainer);
 *
 * Every file is looked at as a run would, and nothing is run, stored or changed: not even a time of use.
 * Not thread-safe: an explainer is for one thread.
 */
#ifndef ZVM_FS_EXPLAIN_H
#define ZVM_FS_EXPLAIN_H

#include <zvm/record.h>
#include <zvm/store.h>
#include "facts.h"
#include "stage.h"

enum zvm_explained_state {
	ZVM_EXPLAINED_HIT,     /* a stored run holds */
	ZVM_EXPLAINED_MISS,    /* it would be computed */
	ZVM_EXPLAINED_REFUSED, /* there would be no result: nothing can be run */
	ZVM_EXPLAINED_UNKNOWN, /* its input is what an earlier stage has yet to write */
};

/* "a sentence about `subject`": each may be NULL but `kind`, which is one word for programs to read. */
struct zvm_reason {
	const char *kind; /* static */
	char *subject;    /* a guest path, "argument 2", "memory limit" */
	char *host;       /* the file of the host */
	char *change;     /* "content changed", "disappeared", "gained a.py" */
	char *was, *is;
	int64_t since; /* real time, seconds: the host's file has been as it is since then; 0: not known */
};

struct zvm_reasons {
	struct zvm_reason *list;
	unsigned count;
};

struct zvm_explained_stage {
	char *text; /* its words, as in the spec */
	enum zvm_explained_state state;
	bool has_action;
	struct zvm_digest address; /* of the action */
	unsigned long number;      /* of the run that is a hit, or that the reasons speak of; 0: none is stored */
	int64_t computed_at;       /* of that run, or of the last run under this name; 0: not known */
	unsigned dependency_count; /* of that run */
	unsigned others;           /* stored runs of the action that do not hold either */
	struct zvm_reasons reasons;
};

struct zvm_explanation {
	enum zvm_explained_state state; /* of the whole: never UNKNOWN */
	unsigned stage_count;
	struct zvm_explained_stage *stages;
};

struct zvm_explainer;

int zvm_explainer_open(struct zvm_store *store, const struct zvm_facts *facts, struct zvm_explainer **ret);
void zvm_explainer_close(struct zvm_explainer *explainer);

int zvm_explain(struct zvm_explainer *explainer, const struct zvm_spec *spec, const char *input,
                struct zvm_explanation **ret);
void zvm_explanation_free(struct zvm_explanation *explanation);

/* The first stage that is no hit; NULL: all are. */
const struct zvm_explained_stage *zvm_explanation_cause(const struct zvm_explanation *explanation);

#endif
