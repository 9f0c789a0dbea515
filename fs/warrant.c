#include "warrant.h"
#include <stdlib.h>
#include "file_identity.h"
#include "watch.h"

struct stage {
	struct zvm_script *script;
	struct zvm_standing *standing;
};

struct zvm_warrant {
	unsigned references; /* atomic */
	struct zvm_file_identity input;
	unsigned stage_count;
	struct stage stages[];
};

/* A stat proves a content only if that is known by it: not of a file that was written just now. */
static bool stat_proves(struct zvm_engine *engine, const struct stat *st)
{
	struct zvm_digest digest;
	return zvm_blob_known(engine->blobs, st, &digest) == 0;
}

static bool can_be(struct zvm_engine *engine, const struct zvm_story *story, const struct stat *input,
                   struct zvm_standing *const *standings)
{
	for (unsigned i = 0; i < story->stage_count; i++)
		if (!standings[i] || !stat_proves(engine, &story->stages[i].script->st))
			return false;
	return stat_proves(engine, input);
}

struct zvm_warrant *zvm_warrant_new(struct zvm_engine *engine, const struct zvm_story *story, const struct stat *input,
                                    struct zvm_standing **standings)
{
	struct zvm_warrant *w = NULL;
	if (can_be(engine, story, input, standings))
		w = calloc(1, sizeof *w + story->stage_count * sizeof w->stages[0]);
	for (unsigned i = 0; i < story->stage_count; i++) {
		if (w)
			w->stages[i] = (struct stage){zvm_script_ref(story->stages[i].script), standings[i]};
		else
			zvm_standing_free(standings[i]);
		standings[i] = NULL;
	}
	if (!w)
		return NULL;
	w->references = 1;
	w->input = zvm_file_identity(input);
	w->stage_count = story->stage_count;
	return w;
}

bool zvm_warrant_holds(struct zvm_engine *engine, const struct zvm_warrant *warrant, const struct stat *input)
{
	struct zvm_file_identity id = zvm_file_identity(input);
	if (!warrant || memcmp(&id, &warrant->input, sizeof id))
		return false;
	zvm_watch_refresh(zvm_blobs_watch(engine->blobs));
	for (unsigned i = 0; i < warrant->stage_count; i++)
		if (!zvm_script_stands(engine->scripts, warrant->stages[i].script) ||
		    !zvm_standing_holds(warrant->stages[i].standing))
			return false;
	return true;
}

void zvm_warrant_note_use(struct zvm_engine *engine, struct zvm_warrant *warrant)
{
	for (unsigned i = 0; i < warrant->stage_count; i++)
		zvm_standing_note_use(warrant->stages[i].standing);
	atomic_fetch_add(&engine->counters.hits, warrant->stage_count);
}

struct zvm_warrant *zvm_warrant_ref(struct zvm_warrant *warrant)
{
	if (warrant)
		__atomic_add_fetch(&warrant->references, 1, __ATOMIC_RELAXED);
	return warrant;
}

void zvm_warrant_unref(struct zvm_warrant *warrant)
{
	if (!warrant || __atomic_sub_fetch(&warrant->references, 1, __ATOMIC_ACQ_REL))
		return;
	for (unsigned i = 0; i < warrant->stage_count; i++) {
		zvm_script_unref(warrant->stages[i].script);
		zvm_standing_free(warrant->stages[i].standing);
	}
	free(warrant);
}
