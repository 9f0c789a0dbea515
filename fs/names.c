/*
 * One table (table.h) holds both: under the hash of a name, and under the hash of its kin, what was computed last. The
 * two kinds of hashes have different seeds, so a name without arguments is not its own kin.
 */
#include "names.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>
#include "store_internal.h"
#include "table.h"

#define BUCKETS 65536
#define KIN 1 /* the seed of kin */

/* No padding: it is compared as bytes. */
struct entry {
	uint64_t high, low; /* an address has no twin number */
	int64_t when;
	uint32_t parts[ZVM_PART_COUNT];
	uint32_t unused;
};

/* --- names and parts --- */

int zvm_name_of(const char *inputs, const char *const *scripts, const struct zvm_spec *spec, unsigned stage,
                const char *input, struct zvm_name *ret)
{
	zvm_autobytes struct zvm_bytes all = {0};
	zvm_bytes_string(&all, inputs);
	zvm_bytes_string(&all, input);
	for (; scripts && *scripts; scripts++)
		zvm_bytes_string(&all, *scripts);
	for (unsigned i = 0; i < stage; i++) {
		zvm_bytes_number(&all, spec->stages[i].word_count);
		for (char *const *word = spec->stages[i].words; *word; word++)
			zvm_bytes_string(&all, *word);
	}
	zvm_bytes_number(&all, stage);
	char *const *words = spec->stages[stage].words;
	zvm_bytes_string(&all, *words);
	ret->kin = all.error ? 0 : XXH3_64bits_withSeed(all.data, all.size, KIN);
	while (*++words)
		zvm_bytes_string(&all, *words);
	ret->name = all.error ? 0 : XXH3_64bits(all.data, all.size);
	return all.error;
}

static uint32_t short_hash(const void *data, size_t size)
{
	return (uint32_t)XXH3_64bits(data, size);
}

static uint32_t hash_words(const char *const *words)
{
	uint64_t hash = 0;
	for (; *words; words++)
		hash = XXH3_64bits_withSeed(*words, strlen(*words), hash + 1);
	return (uint32_t)hash;
}

void zvm_parts_of(const struct zvm_action *a, uint32_t parts[ZVM_PART_COUNT])
{
	parts[ZVM_PART_BOX] = short_hash(a->box_version, strlen(a->box_version));
	parts[ZVM_PART_SCRIPT_PATH] = short_hash(a->script, strlen(a->script));
	parts[ZVM_PART_SCRIPT] = short_hash(&a->script_blob, sizeof a->script_blob);
	parts[ZVM_PART_SCRIPT_MODE] = a->script_mode;
	parts[ZVM_PART_ARGUMENTS] = hash_words(a->arguments);
	parts[ZVM_PART_ENVIRONMENT] = hash_words(a->environment);
	parts[ZVM_PART_MEMORY] = short_hash(&a->limits.memory_bytes, sizeof a->limits.memory_bytes);
	parts[ZVM_PART_OUTPUT] = short_hash(&a->limits.output_bytes, sizeof a->limits.output_bytes);
	parts[ZVM_PART_TIME] = short_hash(&a->limits.wall_ms, sizeof a->limits.wall_ms);
	parts[ZVM_PART_INPUT] = short_hash(&a->input_blob, sizeof a->input_blob);
	parts[ZVM_PART_STATUSES] = short_hash(a->ok_statuses, strlen(a->ok_statuses));
}

/* --- the table --- */

int zvm_names_open(struct zvm_store *store, struct zvm_table **ret)
{
	static const struct zvm_table_shape shape = {sizeof(uint64_t), sizeof(struct entry), BUCKETS};
	return zvm_table_open(store->directory, "stat/names", store->flags & ZVM_STORE_READONLY, &shape, ret);
}

void zvm_names_note(struct zvm_table *names, const struct zvm_name *name, const struct zvm_digest *address,
                    const struct zvm_action *action)
{
	struct entry entry = {.high = address->high, .low = address->low, .when = (int64_t)time(NULL)};
	zvm_parts_of(action, entry.parts);
	zvm_table_put(names, &name->name, &entry);
	zvm_table_put(names, &name->kin, &entry);
}

bool zvm_names_find(struct zvm_table *names, const struct zvm_name *name, struct zvm_named *ret)
{
	struct entry entry;
	bool found = zvm_table_find(names, &name->name, &entry);
	if (!found && !zvm_table_find(names, &name->kin, &entry))
		return false;
	*ret = (struct zvm_named){
	        .is_kin = !found, .address = {.high = entry.high, .low = entry.low}, .when = entry.when};
	memcpy(ret->parts, entry.parts, sizeof ret->parts);
	return true;
}
