/* Actions and records as bytes: one canonical encoding each, length-prefixed and versioned (bytes.h). */
#include <errno.h>
#include <string.h>
#include <xxhash.h>
#include <zvm/cleanup.h>
#include <zvm/record.h>

#define ACTION_VERSION "zvm action 1"
#define RECORD_VERSION "zvm record 2"
#define LIST_MAX 1000000u
/* Eleven numbers and a digest of three; the shortest dependency has an empty path and no text. */
#define DEPENDENCY_LEAST (14 * 8)

static void put_strings(struct zvm_bytes *out, const char *const *list)
{
	size_t n = 0;
	while (list && list[n])
		n++;
	zvm_bytes_number(out, n);
	for (size_t i = 0; i < n; i++)
		zvm_bytes_string(out, list[i]);
}

int zvm_action_encode(const struct zvm_action *a, struct zvm_bytes *out)
{
	zvm_bytes_string(out, ACTION_VERSION);
	zvm_bytes_string(out, a->box_version);
	zvm_bytes_string(out, a->script);
	zvm_bytes_digest(out, &a->script_blob);
	zvm_bytes_number(out, a->script_mode);
	put_strings(out, a->arguments);
	put_strings(out, a->environment);
	zvm_bytes_number(out, a->limits.memory_bytes);
	zvm_bytes_number(out, a->limits.output_bytes);
	zvm_bytes_number(out, a->limits.wall_ms);
	zvm_bytes_digest(out, &a->input_blob);
	zvm_bytes_string(out, a->ok_statuses);
	return out->error;
}

int zvm_action_kind(const struct zvm_action *a, struct zvm_bytes *out)
{
	struct zvm_action kind = *a;
	kind.input_blob = (struct zvm_digest){0};
	return zvm_action_encode(&kind, out);
}

static int seed_of(const struct zvm_action *a, unsigned char seed[32])
{
	zvm_autobytes struct zvm_bytes bytes = {0};
	int r = zvm_action_encode(a, &bytes);
	if (r)
		return r;
	for (unsigned i = 0; i < 4; i++) {
		XXH64_hash_t part = XXH3_64bits_withSeed(bytes.data, bytes.size, 0x7a766d00u + i);
		memcpy(seed + 8 * i, &part, 8);
	}
	return 0;
}

/*
 * Seeds must differ between actions and never between stores, so twin numbers (which depend on what a store saw first)
 * and prints are left out: only names and hashes go in.
 */
int zvm_action_seeds(const struct zvm_action *a, unsigned char seed[32], unsigned char own_seed[32])
{
	struct zvm_action plain = *a;
	plain.script_blob.twin = plain.input_blob.twin = 0;
	plain.script_blob.print = plain.input_blob.print = 0;
	int r = seed_of(&plain, own_seed);
	plain.input_blob = (struct zvm_digest){0};
	return r ? r : seed_of(&plain, seed);
}

/* --- records --- */

static void put_text(struct zvm_bytes *out, const char *s)
{
	zvm_bytes_number(out, s != NULL);
	if (s)
		zvm_bytes_string(out, s);
}

static void put_dependency(struct zvm_bytes *out, const struct zvm_dependency *d)
{
	const struct zvm_answer *a = &d->answer;
	zvm_bytes_number(out, d->question.kind);
	zvm_bytes_number(out, d->question.flags);
	zvm_bytes_string(out, d->question.path);
	zvm_bytes_number(out, (uint64_t)(int64_t)a->error);
	zvm_bytes_number(out, a->mode);
	zvm_bytes_number(out, a->size);
	zvm_bytes_number(out, a->inode);
	zvm_bytes_number(out, (uint64_t)a->mtime);
	put_text(out, a->text);
	zvm_bytes_number(out, a->elsewhere);
	zvm_bytes_number(out, a->has_content);
	zvm_bytes_digest(out, &a->digest);
}

static void put_list(struct zvm_bytes *out, char *const *list, unsigned count)
{
	zvm_bytes_number(out, count);
	for (unsigned i = 0; i < count; i++)
		zvm_bytes_string(out, list[i]);
}

static void put_output(struct zvm_bytes *out, const struct zvm_output *o)
{
	zvm_bytes_digest(out, &o->digest);
	zvm_bytes_number(out, o->size);
}

int zvm_record_encode(const struct zvm_record *r, struct zvm_bytes *out)
{
	zvm_bytes_string(out, RECORD_VERSION);
	const uint64_t numbers[] = {r->end,
	                            (uint64_t)r->exit_status,
	                            (uint64_t)r->signal,
	                            r->failed,
	                            r->nonce,
	                            r->wall_us,
	                            r->cpu_us,
	                            r->max_rss_kib,
	                            r->system_calls,
	                            r->virtual_ns,
	                            r->peak_memory,
	                            r->faults,
	                            r->bytes_read,
	                            r->bytes_written,
	                            (uint64_t)r->computed_at,
	                            r->not_vetted};
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		zvm_bytes_number(out, numbers[i]);
	put_output(out, &r->out);
	put_output(out, &r->err);
	put_text(out, r->message);
	put_list(out, r->refused, r->refused_count);
	put_list(out, r->walls, r->wall_count);
	put_list(out, r->unproven, r->unproven_count);
	zvm_bytes_number(out, r->call_count);
	for (unsigned i = 0; i < r->call_count; i++) {
		zvm_bytes_number(out, r->calls[i].number);
		zvm_bytes_number(out, r->calls[i].count);
	}
	zvm_bytes_number(out, r->dependency_count);
	for (unsigned i = 0; i < r->dependency_count; i++)
		put_dependency(out, &r->dependencies[i]);
	return out->error;
}

/* --- decoding --- */

/*
 * Decoding is as strict as encoding is canonical: whatever is accepted would be encoded as the very same bytes. So no
 * value is ever silently narrowed to another one.
 */
static uint32_t get_number(struct zvm_reader *in, uint32_t most)
{
	uint64_t n = zvm_read_number(in);
	if (n > most)
		zvm_reader_fail(in, -EBADMSG);
	return (uint32_t)n;
}

static bool get_bool(struct zvm_reader *in)
{
	return get_number(in, 1);
}

static int get_signed(struct zvm_reader *in)
{
	int64_t n = (int64_t)zvm_read_number(in);
	if (n != (int)n)
		zvm_reader_fail(in, -EBADMSG);
	return (int)n;
}

static struct zvm_digest get_digest(struct zvm_reader *in)
{
	uint64_t high = zvm_read_number(in), low = zvm_read_number(in);
	return zvm_digest_of(high, low, zvm_read_number(in));
}

static char *get_text(struct zvm_reader *in)
{
	return get_bool(in) ? zvm_read_string(in) : NULL;
}

/* A count that the bytes which are left could hold, each element taking at least `least`. */
static unsigned get_count(struct zvm_reader *in, size_t least)
{
	uint64_t n = zvm_read_number(in);
	if (n > LIST_MAX || n > in->left / least) {
		zvm_reader_fail(in, -EBADMSG);
		return 0;
	}
	return (unsigned)n;
}

static void get_list(struct zvm_reader *in, char ***ret, unsigned *ret_count)
{
	unsigned n = get_count(in, 8);
	*ret = calloc((size_t)n + 1, sizeof **ret);
	if (!*ret) {
		zvm_reader_fail(in, -ENOMEM);
		return;
	}
	for (; *ret_count < n && !in->error; ++*ret_count) {
		(*ret)[*ret_count] = zvm_read_string(in);
		if (!(*ret)[*ret_count])
			break;
	}
}

static void free_list(char **list, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

/* --- actions, decoded --- */

/* What an action points to, when it is its own. */
struct decoded_action {
	struct zvm_action action; /* first: zvm_action_free gets its address */
	char *box_version, *script, *ok_statuses;
	char **arguments, **environment;
	unsigned argument_count, environment_count;
};

static void get_action(struct zvm_reader *in, struct decoded_action *d)
{
	zvm_autofree char *version = zvm_read_string(in);
	if (version && strcmp(version, ACTION_VERSION))
		zvm_reader_fail(in, -EBADMSG);
	d->box_version = zvm_read_string(in);
	d->script = zvm_read_string(in);
	d->action.script_blob = get_digest(in);
	d->action.script_mode = get_number(in, UINT32_MAX);
	get_list(in, &d->arguments, &d->argument_count);
	get_list(in, &d->environment, &d->environment_count);
	d->action.limits.memory_bytes = zvm_read_number(in);
	d->action.limits.output_bytes = zvm_read_number(in);
	d->action.limits.wall_ms = zvm_read_number(in);
	d->action.input_blob = get_digest(in);
	d->ok_statuses = zvm_read_string(in);
	if (in->left)
		zvm_reader_fail(in, -EBADMSG);
}

int zvm_action_decode(const void *data, size_t size, struct zvm_action **ret)
{
	struct zvm_reader in = {.data = data, .left = size};
	struct decoded_action *d = calloc(1, sizeof *d);
	if (!d)
		return -ENOMEM;
	get_action(&in, d);
	if (in.error) {
		zvm_action_free(&d->action);
		return in.error;
	}
	d->action.box_version = d->box_version;
	d->action.script = d->script;
	d->action.ok_statuses = d->ok_statuses;
	d->action.arguments = (const char *const *)d->arguments;
	d->action.environment = (const char *const *)d->environment;
	*ret = &d->action;
	return 0;
}

void zvm_action_free(struct zvm_action *action)
{
	struct decoded_action *d = (struct decoded_action *)action;
	if (!d)
		return;
	free_list(d->arguments, d->argument_count);
	free_list(d->environment, d->environment_count);
	free(d->box_version);
	free(d->script);
	free(d->ok_statuses);
	free(d);
}

/* --- records, decoded --- */

static void get_dependency(struct zvm_reader *in, struct zvm_dependency *d)
{
	struct zvm_answer *a = &d->answer;
	a->fd = -1;
	d->question.kind = (enum zvm_ask_kind)get_number(in, ZVM_ASK_OPEN);
	d->question.flags = get_number(in, UINT32_MAX);
	d->question.path = zvm_read_string(in);
	a->error = get_signed(in);
	a->mode = get_number(in, UINT32_MAX);
	a->size = zvm_read_number(in);
	a->inode = zvm_read_number(in);
	a->mtime = (int64_t)zvm_read_number(in);
	a->text = get_text(in);
	a->elsewhere = get_bool(in);
	a->has_content = get_bool(in);
	a->digest = get_digest(in);
	if (d->question.kind != ZVM_ASK_LOOKUP && d->question.kind != ZVM_ASK_OPEN)
		zvm_reader_fail(in, -EBADMSG);
}

static struct zvm_output get_output(struct zvm_reader *in)
{
	struct zvm_output o = {.digest = get_digest(in)};
	o.size = zvm_read_number(in);
	return o;
}

static void get_calls(struct zvm_reader *in, struct zvm_record *r)
{
	unsigned n = get_count(in, 16);
	r->calls = calloc((size_t)n + 1, sizeof *r->calls);
	if (!r->calls)
		zvm_reader_fail(in, -ENOMEM);
	while (!in->error && r->call_count < n) {
		struct zvm_call_count *c = &r->calls[r->call_count++];
		c->number = get_number(in, UINT32_MAX);
		c->count = zvm_read_number(in);
	}
}

static void get_record(struct zvm_reader *in, struct zvm_record *r)
{
	zvm_autofree char *version = zvm_read_string(in);
	if (!version || strcmp(version, RECORD_VERSION)) {
		zvm_reader_fail(in, -EBADMSG);
		return;
	}
	r->end = (enum zvm_box_end)get_number(in, ZVM_END_SIGNAL);
	r->exit_status = get_signed(in);
	r->signal = get_signed(in);
	r->failed = get_bool(in);
	uint64_t *const numbers[] = {&r->nonce,      &r->wall_us,     &r->cpu_us, &r->max_rss_kib, &r->system_calls,
	                             &r->virtual_ns, &r->peak_memory, &r->faults, &r->bytes_read,  &r->bytes_written};
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		*numbers[i] = zvm_read_number(in);
	r->computed_at = (int64_t)zvm_read_number(in);
	r->not_vetted = get_bool(in);
	r->out = get_output(in);
	r->err = get_output(in);
	r->message = get_text(in);
	get_list(in, &r->refused, &r->refused_count);
	get_list(in, &r->walls, &r->wall_count);
	get_list(in, &r->unproven, &r->unproven_count);
	get_calls(in, r);
	unsigned n = get_count(in, DEPENDENCY_LEAST);
	r->dependencies = calloc((size_t)n + 1, sizeof *r->dependencies);
	if (!r->dependencies)
		zvm_reader_fail(in, -ENOMEM);
	while (!in->error && r->dependency_count < n)
		get_dependency(in, &r->dependencies[r->dependency_count++]);
	/* Only these two ends are remembered, and they are the first two. */
	_Static_assert(ZVM_END_EXIT == 0 && ZVM_END_SIGNAL == 1, "get_number accepts what is remembered");
}

int zvm_record_decode(const void *data, size_t size, struct zvm_record **ret)
{
	struct zvm_reader in = {.data = data, .left = size};
	struct zvm_record *r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	r->references = 1;
	get_record(&in, r);
	if (in.left)
		zvm_reader_fail(&in, -EBADMSG);
	if (in.error) {
		zvm_record_free(r);
		return in.error;
	}
	*ret = r;
	return 0;
}

void zvm_record_free(struct zvm_record *r)
{
	if (!r || __atomic_sub_fetch(&r->references, 1, __ATOMIC_ACQ_REL))
		return;
	free(r->message);
	free(r->calls);
	free_list(r->refused, r->refused_count);
	free_list(r->walls, r->wall_count);
	free_list(r->unproven, r->unproven_count);
	for (unsigned i = 0; i < r->dependency_count; i++) {
		free(r->dependencies[i].question.path);
		zvm_answer_free(&r->dependencies[i].answer);
	}
	free(r->dependencies);
	free(r);
}

int zvm_record_of_outcome(struct zvm_box_outcome *o, struct zvm_record **ret)
{
	struct zvm_record *r = calloc(1, sizeof *r);
	if (!r)
		return -ENOMEM;
	*r = (struct zvm_record){
	        .references = 1,
	        .end = o->end,
	        .exit_status = o->exit_status,
	        .signal = o->signal,
	        .message = o->message,
	        .wall_us = o->wall_us,
	        .cpu_us = o->cpu_us,
	        .max_rss_kib = o->max_rss_kib,
	        .system_calls = o->system_calls,
	        .virtual_ns = o->virtual_ns,
	        .peak_memory = o->peak_memory,
	        .faults = o->faults,
	        .bytes_read = o->bytes_read,
	        .bytes_written = o->bytes_written,
	        .calls = o->calls,
	        .call_count = o->call_count,
	        .refused = o->refused,
	        .refused_count = o->refused_count,
	        .walls = o->walls,
	        .wall_count = o->wall_count,
	        .unproven = o->unproven,
	        .unproven_count = o->unproven_count,
	        .not_vetted = o->not_vetted,
	        .dependencies = o->dependencies,
	        .dependency_count = o->dependency_count,
	};
	o->message = NULL;
	o->calls = NULL;
	o->call_count = 0;
	o->refused = o->walls = o->unproven = NULL;
	o->dependencies = NULL;
	o->refused_count = o->wall_count = o->unproven_count = o->dependency_count = 0;
	*ret = r;
	return 0;
}
