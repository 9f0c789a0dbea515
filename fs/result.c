/* Results: what readers hold. Made from a story, when every stage has been found or run. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zvm/cleanup.h>
#include "content.h"
#include "audience.h"
#include "engine_internal.h"
#include "warrant.h"

struct zvm_story *zvm_story_new(const struct zvm_spec *spec, const char *input_name)
{
	struct zvm_story *story = calloc(1, sizeof *story);
	if (!story)
		return NULL;
	pthread_mutex_init(&story->lock, NULL);
	story->info_fd = -1;
	story->spec = strdup(spec->text);
	story->input_name = strdup(input_name);
	story->stages = calloc(spec->stage_count, sizeof *story->stages);
	story->stage_count = spec->stage_count;
	for (unsigned i = 0; story->stages && i < spec->stage_count; i++)
		story->stages[i].outputs = (struct zvm_outputs){-1, -1};
	if (!story->spec || !story->input_name || !story->stages) {
		story->stage_count = story->stages ? story->stage_count : 0;
		zvm_story_free(story);
		return NULL;
	}
	return story;
}

void zvm_stage_clear(struct zvm_stage_story *stage)
{
	for (char **a = stage->arguments; a && *a; a++)
		free(*a);
	free(stage->arguments);
	free(stage->name);
	free(stage->message);
	zvm_close_pointer(&stage->outputs.out_fd);
	zvm_close_pointer(&stage->outputs.err_fd);
	zvm_record_free(stage->record);
	zvm_script_unref(stage->script);
	*stage = (struct zvm_stage_story){.outputs = {-1, -1}};
}

void zvm_story_free(struct zvm_story *story)
{
	if (!story)
		return;
	for (unsigned i = 0; i < story->stage_count; i++)
		zvm_stage_clear(&story->stages[i]);
	free(story->stages);
	free(story->spec);
	free(story->input_name);
	zvm_close_pointer(&story->info_fd);
	pthread_mutex_destroy(&story->lock);
	free(story);
}

struct zvm_result *zvm_result_ref(struct zvm_result *result)
{
	__atomic_add_fetch(&result->references, 1, __ATOMIC_RELAXED);
	return result;
}

void zvm_result_unref(struct zvm_result *result)
{
	if (!result || __atomic_sub_fetch(&result->references, 1, __ATOMIC_ACQ_REL))
		return;
	zvm_close_pointer(&result->out_fd);
	zvm_close_pointer(&result->err_fd);
	zvm_story_free(result->story);
	zvm_warrant_unref(result->warrant);
	free(result);
}

struct zvm_result *zvm_result_summary(struct zvm_result *result, bool with_info)
{
	int fd;
	uint64_t info_size = 0;
	if (with_info && zvm_result_info(result, &fd, &info_size))
		return NULL;
	struct zvm_result *summary = malloc(sizeof *summary);
	if (!summary)
		return NULL;
	*summary = *result;
	summary->references = 1;
	summary->out_fd = summary->err_fd = -1;
	summary->story = NULL;
	summary->warrant = zvm_warrant_ref(result->warrant);
	summary->info_size = info_size;
	return summary;
}

bool zvm_result_same(const struct zvm_result *a, const struct zvm_result *b)
{
	return a->error == b->error && a->identity == b->identity && a->failed == b->failed &&
	       a->out_size == b->out_size && zvm_digest_equal(&a->out_digest, &b->out_digest);
}

/* --- err/ --- */

const char *zvm_stage_line(const struct zvm_stage_story *stage)
{
	return stage->message ? stage->message : stage->record ? stage->record->message : NULL;
}

static int append_stderr(const struct zvm_stage_story *stage, int to)
{
	char buffer[65536];
	int r = 0;
	for (uint64_t at = 0; r == 0 && at < stage->record->err.size;) {
		long n = zvm_read_at(stage->outputs.err_fd, buffer, sizeof buffer, at);
		if (n <= 0)
			return n ? (int)n : -EIO;
		r = zvm_write_all(to, buffer, (size_t)n);
		at += (uint64_t)n;
	}
	return r;
}

static bool is_plain(const struct zvm_story *story)
{
	return story->stage_count == 1 && story->stages[0].record && !zvm_stage_line(&story->stages[0]);
}

/* Every stage's stderr in order, and behind each a line of ours if there is something to say. */
static int collect_errors(struct zvm_story *story, struct zvm_result *result)
{
	if (is_plain(story)) {
		result->err_size = story->stages[0].record->err.size;
		result->err_fd = zvm_steal_fd(&story->stages[0].outputs.err_fd);
		result->err_digest = story->stages[0].record->err.digest;
		result->err_stored = true;
		return 0;
	}
	zvm_autofd int fd = memfd_create("zvm err", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (unsigned i = 0; i < story->stage_count; i++) {
		const struct zvm_stage_story *stage = &story->stages[i];
		int r = stage->record ? append_stderr(stage, fd) : 0;
		if (r)
			return r;
		if (zvm_stage_line(stage) && dprintf(fd, "zvm: %s\n", zvm_stage_line(stage)) < 0)
			return -EIO;
		if (stage->error)
			break;
	}
	result->err_size = (uint64_t)lseek(fd, 0, SEEK_CUR);
	result->err_fd = zvm_steal_fd(&fd);
	return 0;
}

/* --- the whole --- */

/* What tells one run of a stage from another: a reader's inode may have given two of them the same nonce. */
static void identify_stage(struct zvm_bytes *to, const struct zvm_stage_story *stage)
{
	const struct zvm_record *record = stage->record;
	zvm_bytes_digest(to, &stage->script->digest);
	zvm_bytes_digest(to, &stage->input);
	zvm_bytes_digest(to, &record->out.digest);
	zvm_bytes_digest(to, &record->err.digest);
	zvm_bytes_number(to, record->nonce);
	zvm_bytes_number(to, (uint64_t)record->computed_at);
	zvm_bytes_number(to, record->wall_us);
}

static int identify(const struct zvm_story *story, struct zvm_result *result)
{
	zvm_autobytes struct zvm_bytes runs = {0};
	for (unsigned i = 0; i < story->stage_count; i++)
		identify_stage(&runs, &story->stages[i]);
	result->identity = XXH3_64bits(runs.data, runs.size);
	return runs.error;
}

static void take_verdict(const struct zvm_story *story, struct zvm_result *result)
{
	for (unsigned i = 0; i < story->stage_count; i++) {
		const struct zvm_stage_story *stage = &story->stages[i];
		if (stage->error) {
			result->error = stage->error;
			return;
		}
		if (!stage->record)
			return;
		result->computed_at = stage->record->computed_at;
		result->wall_us += stage->record->wall_us;
		if (stage->record->failed || !result->failed) {
			result->exit_status = stage->record->exit_status;
			result->signal = stage->record->signal;
		}
		result->failed |= stage->record->failed;
	}
	/* If the last stage was computed now, that is the nonce which the reader's inode was promised. */
	result->nonce = story->stages[story->stage_count - 1].record->nonce;
}

static int fill(struct zvm_story *story, struct zvm_result *result)
{
	struct zvm_stage_story *last = &story->stages[story->stage_count - 1];
	take_verdict(story, result);
	if (!result->error) {
		result->out_digest = last->record->out.digest;
		result->out_size = last->record->out.size;
		result->out_fd = zvm_steal_fd(&last->outputs.out_fd);
		int r = identify(story, result);
		if (r)
			return r;
	}
	return collect_errors(story, result);
}

int zvm_result_of_story(struct zvm_story *story, struct zvm_result **ret)
{
	struct zvm_result *result = calloc(1, sizeof *result);
	if (!result) {
		zvm_story_free(story);
		return -ENOMEM;
	}
	result->references = 1;
	result->out_fd = result->err_fd = -1;
	result->story = story;
	int r = fill(story, result);
	if (r) {
		zvm_result_unref(result);
		return r;
	}
	*ret = result;
	return 0;
}

/* --- who may read it --- */

/* A file that was only looked at counts with its way; one that was read, and a directory that was listed, itself, too.
 */
static void narrow_by(struct zvm_audience *audience, const struct zvm_view *view, const struct zvm_dependency *d)
{
	zvm_autofree char *host = NULL;
	if (d->answer.error || d->answer.elsewhere || zvm_view_host_path(view, d->question.path, &host))
		return;
	if (!d->answer.has_content)
		*strrchr(host, '/') = 0;
	if (*host)
		zvm_audience_narrow_way(audience, host, d->answer.has_content ? S_IROTH : S_IXOTH);
}

void zvm_result_narrow(struct zvm_result *result, const struct stat *input, bool others)
{
	struct zvm_audience audience = zvm_audience_begin(input);
	for (unsigned i = 0; i < result->story->stage_count; i++) {
		const struct zvm_stage_story *stage = &result->story->stages[i];
		if (stage->script)
			zvm_audience_narrow(&audience, &stage->script->st, S_IROTH | S_IXOTH);
		for (unsigned k = 0; others && stage->record && k < stage->record->dependency_count; k++)
			narrow_by(&audience, stage->script->view, &stage->record->dependencies[k]);
	}
	result->audience = audience.mode;
}

int zvm_result_info(struct zvm_result *result, int *ret_fd, uint64_t *ret_size)
{
	struct zvm_story *story = result->story;
	int r = 0;
	pthread_mutex_lock(&story->lock);
	if (story->info_fd < 0) {
		zvm_autofree char *text = NULL;
		size_t size = 0;
		zvm_autofd int fd = memfd_create("zvm info", MFD_CLOEXEC);
		r = fd < 0 ? -errno : zvm_story_write_info(story, &text, &size);
		r = r ? r : zvm_write_all(fd, text, size);
		if (r == 0) {
			story->info_fd = zvm_steal_fd(&fd);
			story->info_size = size;
		}
	}
	*ret_fd = story->info_fd;
	*ret_size = story->info_size;
	pthread_mutex_unlock(&story->lock);
	return r;
}
