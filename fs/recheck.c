/* See recheck.h. */
#include "recheck_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zvm/blob.h>
#include <zvm/cleanup.h>
#include "content.h"
#include "plain.h"

/* --- verdicts --- */

static int decide(struct zvm_recheck *ret, enum zvm_verdict verdict, char *text)
{
	*ret = (struct zvm_recheck){verdict, text};
	return text || verdict == ZVM_VERDICT_CANCELLED ? 0 : -ENOMEM;
}

static int cannot(struct zvm_recheck *ret, const char *why)
{
	return decide(ret, ZVM_VERDICT_CANNOT, strdup(why));
}

static int not_kept(struct zvm_recheck *ret, const char *what)
{
	char *text;
	return decide(ret, ZVM_VERDICT_CANNOT, asprintf(&text, "%s is no longer kept", what) < 0 ? NULL : text);
}

void zvm_recheck_free(struct zvm_recheck *recheck)
{
	free(recheck->text);
	*recheck = (struct zvm_recheck){0};
}

/* --- what the store must have kept --- */

struct material {
	int script_fd, input_fd, out_fd, err_fd;
	struct zvm_replay *replay;
};

static void free_material(struct material *m)
{
	zvm_close_pointer(&m->script_fd);
	zvm_close_pointer(&m->input_fd);
	zvm_close_pointer(&m->out_fd);
	zvm_close_pointer(&m->err_fd);
	zvm_replay_free(m->replay);
}

/* An empty output has no object. */
static int open_output(struct zvm_store *store, const struct zvm_output *output, int *ret)
{
	if (output->size)
		return zvm_store_object(store, &output->digest, ret, NULL);
	*ret = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return *ret < 0 ? -errno : 0;
}

/* -ENOENT: *ret_what is not there. */
static int gather(struct zvm_store *store, const struct zvm_action *action, const struct zvm_record *record,
                  struct material *m, const char **ret_what)
{
	*ret_what = "its script";
	int r = zvm_store_object(store, &action->script_blob, &m->script_fd, NULL);
	r = r ? r : zvm_replay_new(store, action, record, &m->replay);
	if (r)
		return r;
	*ret_what = "its input";
	r = zvm_store_object(store, &action->input_blob, &m->input_fd, NULL);
	if (r)
		return r;
	*ret_what = "its output";
	r = open_output(store, &record->out, &m->out_fd);
	r = r ? r : open_output(store, &record->err, &m->err_fd);
	if (r)
		return r;
	*ret_what = zvm_replay_missing(m->replay);
	return *ret_what ? -ENOENT : 0;
}

/* --- running --- */

static void free_rerun(struct zvm_store *store, struct zvm_rerun *run)
{
	zvm_box_outcome_free(&run->outcome);
	zvm_store_recycle(store, &run->out_fd);
	zvm_store_recycle(store, &run->err_fd);
	zvm_store_recycle(store, &run->trace_fd);
}

static int run_box(const struct zvm_rechecker *rechecker, const struct zvm_action *action, const struct material *m,
                   FILE *trace, struct zvm_rerun *run)
{
	struct zvm_contents contents = zvm_blobs_contents(rechecker->blobs);
	struct zvm_box_request request = {
	        .view = zvm_replay_view(m->replay),
	        .contents = &contents,
	        .asker = zvm_replay_asker(m->replay),
	        .script = action->script,
	        .script_fd = m->script_fd,
	        .script_digest = action->script_blob,
	        .arguments = action->arguments,
	        .environment = action->environment,
	        .limits = action->limits,
	        .stdin_fd = m->input_fd,
	        .stdout_fd = run->out_fd,
	        .stderr_fd = run->err_fd,
	        .cancel_fd = rechecker->cancel_fd,
	        .trace = trace ? zvm_plain_trace : NULL,
	        .trace_context = trace,
	};
	int r = zvm_action_seeds(action, request.seed, request.own_seed);
	return r ? r : zvm_box_run(rechecker->launcher, &request, &run->outcome);
}

static int run_again(const struct zvm_rechecker *rechecker, const struct zvm_action *action, const struct material *m,
                     bool traced, struct zvm_rerun *run)
{
	FILE *trace = NULL;
	int r = zvm_store_begin(rechecker->store, &run->out_fd);
	r = r ? r : zvm_store_begin(rechecker->store, &run->err_fd);
	if (r == 0 && traced) {
		r = zvm_store_begin(rechecker->store, &run->trace_fd);
		int copy = r ? -1 : fcntl(run->trace_fd, F_DUPFD_CLOEXEC, 0);
		trace = copy < 0 ? NULL : fdopen(copy, "w");
		if (!trace)
			r = r ? r : -ENOMEM;
	}
	r = r ? r : run_box(rechecker, action, m, trace, run);
	if (trace && fclose(trace) && r == 0)
		r = -EIO;
	return r;
}

/* --- judging --- */

/* Ends that say nothing about the stored run. */
static const char *no_evidence(const struct zvm_box_outcome *o)
{
	switch (o->end) {
	case ZVM_END_TIME: return "its time limit, which is one of real time, ended it this time";
	case ZVM_END_MEMORY: return "it was killed for its memory this time";
	case ZVM_END_BROKEN: return o->message ? o->message : "the box broke down";
	default: return o->real_time ? "only real time could move it on" : NULL;
	}
}

static int add_traces(const struct zvm_rechecker *rechecker, const struct zvm_action *action, const struct material *m,
                      FILE *out)
{
	struct zvm_rerun one = {-1, -1, -1, {0}}, two = {-1, -1, -1, {0}};
	int r = run_again(rechecker, action, m, true, &one);
	r = r ? r : run_again(rechecker, action, m, true, &two);
	r = r ? r : zvm_recheck_print_traces(&one, &two, out);
	free_rerun(rechecker->store, &one);
	free_rerun(rechecker->store, &two);
	return r;
}

static int judge(const struct zvm_rechecker *rechecker, const struct zvm_action *action,
                 const struct zvm_record *record, const struct material *m, const struct zvm_rerun *again,
                 struct zvm_recheck *ret)
{
	struct zvm_comparison comparison = {action, record, m->replay, m->out_fd, m->err_fd, again};
	char *text = NULL;
	size_t length;
	const char *why = no_evidence(&again->outcome);
	if (again->outcome.end == ZVM_END_CANCELLED)
		return decide(ret, ZVM_VERDICT_CANCELLED, NULL);
	if (why)
		return cannot(ret, why);
	FILE *out = open_memstream(&text, &length);
	if (!out)
		return -ENOMEM;
	int differs = zvm_recheck_compare(&comparison, out);
	int r = differs == 1 ? zvm_recheck_print_records(&comparison, out) : 0;
	if (r == 0 && differs == 1)
		r = add_traces(rechecker, action, m, out);
	if (fclose(out) && r == 0)
		r = -ENOMEM;
	*ret = (struct zvm_recheck){differs == 1 ? ZVM_VERDICT_DIFFERS : ZVM_VERDICT_SAME, text};
	return differs < 0 ? differs : r;
}

int zvm_recheck(const struct zvm_rechecker *rechecker, const struct zvm_action *action, const struct zvm_record *record,
                struct zvm_recheck *ret)
{
	struct material m = {-1, -1, -1, -1, NULL};
	struct zvm_rerun again = {-1, -1, -1, {0}};
	const char *what;
	*ret = (struct zvm_recheck){0};
	if (strcmp(action->box_version, ZVM_BOX_VERSION))
		return cannot(ret, "another version of zvm computed it");
	int r = gather(rechecker->store, action, record, &m, &what);
	if (r == -ENOENT) {
		r = not_kept(ret, what);
	} else if (r == 0) {
		r = run_again(rechecker, action, &m, false, &again);
		r = r ? r : judge(rechecker, action, record, &m, &again, ret);
	}
	free_rerun(rechecker->store, &again);
	free_material(&m);
	if (r)
		zvm_recheck_free(ret);
	return r;
}
