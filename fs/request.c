/* What the box is asked for, made of an action: by job.c to be run, by maker.c to make a template of. */
#include <zvm/cleanup.h>
#include "engine_internal.h"
#include "store_internal.h"

static int pinned_view(struct zvm_store *store, const struct zvm_script *script, struct zvm_view **ret)
{
	int r = zvm_view_open(script->directory, ret);
	if (r || !script->directory)
		return r;
	zvm_autofd int fd = -1;
	r = zvm_store_object(store, &script->digest, &fd, NULL);
	r = r ? r : zvm_view_pin(*ret, script->name, script->st.st_mode & 0777, script->size, &script->digest, fd);
	if (r) {
		zvm_view_close(*ret);
		*ret = NULL;
	}
	return r;
}

/* As a lookup is checked, by the view that belongs to the script: what is remembered of it is told apart by that. */
static int holds(void *context, const struct zvm_dependency *list, unsigned count, void **proof)
{
	const struct zvm_request *request = context;
	return zvm_records_hold(request->engine->records, request->script->view, list, count,
	                        (struct zvm_proof **)proof);
}

static void forget(void *proof)
{
	zvm_proof_unref(proof);
}

int zvm_request_open(struct zvm_engine *engine, const struct zvm_script *script, const struct zvm_action *action,
                     struct zvm_request *ret)
{
	*ret = (struct zvm_request){.engine = engine, .script = script, .script_fd = -1};
	int r = zvm_store_object(engine->options.store, &script->digest, &ret->script_fd, NULL);
	r = r ? r : pinned_view(engine->options.store, script, &ret->view);
	r = r ? r : zvm_action_kind(action, &ret->kind);
	ret->contents = zvm_blobs_contents(engine->blobs);
	ret->box = (struct zvm_box_request){
	        .view = ret->view,
	        .contents = &ret->contents,
	        .asker = zvm_records_asker(engine->records),
	        .script = script->guest_path,
	        .script_fd = ret->script_fd,
	        .script_digest = script->digest,
	        .arguments = action->arguments,
	        .environment = action->environment,
	        .limits = action->limits,
	        .kind = ret->kind.data,
	        .kind_size = ret->kind.size,
	        .holder = {ret, holds, forget},
	        .stdin_fd = -1,
	        .stdout_fd = -1,
	        .stderr_fd = -1,
	        .cancel_fd = -1,
	        .trace = engine->options.trace,
	        .trace_context = engine->options.trace_context,
	};
	return r ? r : zvm_action_seeds(action, ret->box.seed, ret->box.own_seed);
}

void zvm_request_close(struct zvm_request *request)
{
	zvm_view_close(request->view);
	zvm_close_pointer(&request->script_fd);
	zvm_bytes_free(&request->kind);
}
