/*
 * Records: which run answers this action, as long as the world still looks the same.
 *
 * An *action* is all that a run is given: box version, script, arguments, environment, limits, seed and input. It is
 * encoded canonically (bytes.h), addressed by the XXH3-128 of the encoding, and compared whole at every lookup.
 * A *record* is one run of it: how it ended, what it wrote, and its dependencies, each a question about the host
 * and the answer the run was given. An action has a few variants on file (newest first), as answers differ
 * between scripts directories or before and after an upgrade; a lookup takes the first whose every answer still holds
 * and whose objects are there.
 *
 *   struct zvm_record *record;
 *   int r = zvm_record_find(records, &action, view, &record, &outputs);   // 0, or -ENOENT: run it
 *   r = zvm_record_save(records, &action, fresh);
 *   zvm_record_free(record);
 *
 * Checksummed, written to tmp/ and renamed, only after the objects it names. A damaged one is a miss, set aside and
 * counted. Thread-safe. Ownership: zvm_record_find gives a reference to the caller, zvm_record_free gives it back.
 */
#ifndef ZVM_RECORD_H
#define ZVM_RECORD_H

#include <zvm/blob.h>
#include <zvm/box.h>
#include <zvm/bytes.h>

struct zvm_action {
	const char *box_version;
	const char *script; /* guest path */
	struct zvm_digest script_blob;
	uint32_t script_mode;         /* permission bits the guest sees on it */
	const char *const *arguments; /* NULL-terminated */
	const char *const *environment;
	struct zvm_limits limits;
	struct zvm_digest input_blob;
	const char *ok_statuses; /* as declared, canonical "0,1"; part of what the result means */
};

struct zvm_output {
	struct zvm_digest digest;
	uint64_t size;
};

struct zvm_record {
	enum zvm_box_end end; /* only ends that are remembered: EXIT, SIGNAL */
	int exit_status, signal;
	bool failed;    /* exit status not among the declared ones, or a signal */
	uint64_t nonce; /* names the inode of this result (inode.h): chosen once, so stable over remounts */
	struct zvm_output out, err;
	char *message; /* see zvm_box_outcome; or NULL */
	uint64_t wall_us, cpu_us, max_rss_kib, system_calls, virtual_ns, peak_memory, faults, bytes_read, bytes_written;
	struct zvm_call_count *calls;
	unsigned call_count;
	int64_t computed_at; /* real time, seconds */
	char **refused;
	unsigned refused_count;
	char **walls;
	unsigned wall_count;
	char **unproven;
	unsigned unproven_count;
	bool not_vetted;
	struct zvm_dependency *dependencies;
	unsigned dependency_count;
	unsigned references; /* atomic; a record is immutable once it is shared */
};

struct zvm_records;
struct zvm_standing;

int zvm_records_open(struct zvm_store *store, struct zvm_blobs *blobs, struct zvm_records **ret);
void zvm_records_close(struct zvm_records *records);

/* Who answers a box's questions: the view, or what is remembered of its answers where a stat proves them. */
struct zvm_asker zvm_records_asker(struct zvm_records *records);
/* For zvm_holder: do these hold, as those of a stored run would have to? *proof as in fs/check.h. */
struct zvm_proof;
int zvm_records_hold(struct zvm_records *records, const struct zvm_view *view, const struct zvm_dependency *list,
                     unsigned count, struct zvm_proof **proof);

int zvm_action_encode(const struct zvm_action *action, struct zvm_bytes *out);
/* The action that these bytes are the encoding of, in memory of its own; -EBADMSG if they are none. */
int zvm_action_decode(const void *data, size_t size, struct zvm_action **ret);
/* Only one from zvm_action_decode; NULL is none. */
void zvm_action_free(struct zvm_action *action);
/* All of it but the input: what runs of one kind have in common (box.h). */
int zvm_action_kind(const struct zvm_action *action, struct zvm_bytes *out);
/* The box's random generator starts from the action: 32 bytes derived from its encoding, the first without the input.
 */
int zvm_action_seeds(const struct zvm_action *action, unsigned char seed[32], unsigned char own_seed[32]);

int zvm_record_encode(const struct zvm_record *record, struct zvm_bytes *out);
int zvm_record_decode(const void *data, size_t size, struct zvm_record **ret);

/* The outputs, opened while looking whether they are there: handed over together with the record. -1: empty. */
struct zvm_outputs {
	int out_fd, err_fd;
};

int zvm_record_find(struct zvm_records *records, const struct zvm_action *action, const struct zvm_view *view,
                    struct zvm_record **ret, struct zvm_outputs *ret_outputs);
/*
 * As find, but reads no file of the host: -EAGAIN if telling would need to. For use where waiting is not wanted; an
 * object that this process has not used yet is still read once, to check it. *ret_standing: the caller's; NULL if only
 * finding it again could tell whether it still holds.
 */
int zvm_record_find_quick(struct zvm_records *records, const struct zvm_action *action, const struct zvm_view *view,
                          struct zvm_record **ret, struct zvm_outputs *ret_outputs, struct zvm_standing **ret_standing);

/*
 * That a run was found, for whoever asks about the same action and view again: does every answer still hold? Says
 * nothing about its outputs. The caller has refreshed the blobs' watch. Freed any time, NULL is none.
 */
bool zvm_standing_holds(struct zvm_standing *standing);
/* As each find does: whoever collects garbage knows that the run was used. */
void zvm_standing_note_use(struct zvm_standing *standing);
void zvm_standing_free(struct zvm_standing *standing);
/*
 * From 0 on this process finds the record as if it was saved, until zvm_record_save has been called with it, which has
 * stored it then if it can be; or zvm_record_withdraw, which has not. Takes a reference. -ENOMEM only.
 */
int zvm_record_announce(struct zvm_records *records, const struct zvm_action *action, struct zvm_record *record);
void zvm_record_withdraw(struct zvm_records *records, const struct zvm_record *record);
int zvm_record_save(struct zvm_records *records, const struct zvm_action *action, const struct zvm_record *record);
void zvm_record_free(struct zvm_record *record);

/* Moves everything of an outcome that a record keeps into a new record (the outcome stays freeable). */
int zvm_record_of_outcome(struct zvm_box_outcome *outcome, struct zvm_record **ret);

#endif
