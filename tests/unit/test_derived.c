/* What contents were turned into: found again as long as both are there, and never for another content. */
#include "scratch.h"
#include <zvm/store.h>
#include "../../fs/derived.h"

static struct zvm_store *store;
static struct zvm_derived *derived;
static const unsigned char note[ZVM_NOTE_SIZE] = "a note", other_note[ZVM_NOTE_SIZE] = "another";

static void open_all(unsigned flags)
{
	assert_int_equal(zvm_store_open(in_scratch("store"), flags, &store, NULL), 0);
	assert_int_equal(zvm_derived_open(store, &derived), 0);
}

static void close_all(void)
{
	zvm_derived_close(derived);
	zvm_store_close(store);
}

static void reopen(unsigned flags)
{
	close_all();
	open_all(flags);
}

static int set_up(void **state)
{
	if (scratch_make(state))
		return -1;
	open_all(ZVM_STORE_CREATE);
	return 0;
}

static int tear_down(void **state)
{
	close_all();
	return scratch_remove(state);
}

static struct zvm_digest put(const char *text)
{
	struct zvm_digest digest;
	assert_int_equal(zvm_store_put(store, text, strlen(text), &digest), 0);
	return digest;
}

static const char *path_of(const struct zvm_digest *digest)
{
	char text[ZVM_DIGEST_TEXT];
	zvm_digest_format(digest, text);
	return in_scratch("store/objects/%.2s/%s", text, text);
}

/* text NULL: only the note. */
static void keep(const char *name, const struct zvm_digest *source, const unsigned char *with, const char *text)
{
	zvm_autofd int fd = -1, kept = -1;
	if (text) {
		put_text(in_scratch("image"), text);
		fd = open(in_scratch("image"), O_RDONLY | O_CLOEXEC);
	}
	assert_int_equal(zvm_derived_keep(derived, name, source, with, fd, &kept), 0);
	assert_true(text ? holds(kept, text, strlen(text)) : kept == -1);
}

static void assert_found(const char *name, const struct zvm_digest *source, const unsigned char *with, const char *text)
{
	unsigned char got[ZVM_NOTE_SIZE] = "";
	zvm_autofd int fd = -1;
	assert_int_equal(zvm_derived_find(derived, name, source, got, &fd), 0);
	assert_memory_equal(got, with, ZVM_NOTE_SIZE);
	assert_true(text ? holds(fd, text, strlen(text)) : fd == -1);
}

static void assert_unknown(const char *name, const struct zvm_digest *source)
{
	unsigned char got[ZVM_NOTE_SIZE];
	int fd = -1;
	assert_int_equal(zvm_derived_find(derived, name, source, got, &fd), -ENOENT);
	assert_int_equal(fd, -1);
}

static void what_was_kept_is_found_by_name_and_source(void **state)
{
	struct zvm_digest a = put("source a"), b = put("source b");
	(void)state;
	assert_unknown("image 1", &a);
	keep("image 1", &a, note, "derived from a");
	keep("image 1", &b, other_note, NULL);
	for (int again = 0; again < 2; again++) {
		assert_found("image 1", &a, note, "derived from a");
		assert_found("image 1", &b, other_note, NULL);
		assert_unknown("image 2", &a);
		assert_unknown("image", &a);
		reopen(0);
	}
	keep("image 1", &a, other_note, "derived anew");
	assert_found("image 1", &a, other_note, "derived anew");
	reopen(0);
	assert_found("image 1", &a, other_note, "derived anew");
}

static void forged_sources_are_told_apart(void **state)
{
	size_t size[2];
	struct zvm_digest one, other;
	zvm_autofree char *a = get_bytes("tests/assets/xxh128-pair-a", &size[0]),
	                  *b = get_bytes("tests/assets/xxh128-pair-b", &size[1]);
	(void)state;
	assert_int_equal(zvm_store_put(store, a, size[0], &one), 0);
	assert_int_equal(zvm_store_put(store, b, size[1], &other), 0);
	keep("image 1", &one, note, "derived from the honest one");
	assert_unknown("image 1", &other);
	/* Nor does a content that took the name of a lost one inherit what was made of that. */
	assert_int_equal(unlink(path_of(&one)), 0);
	assert_int_equal(unlink(path_of(&other)), 0);
	assert_int_equal(zvm_store_put(store, b, size[1], &other), 0);
	assert_true(one.high == other.high && one.low == other.low && one.twin == other.twin);
	assert_false(zvm_digest_equal(&one, &other));
	assert_unknown("image 1", &other);
}

static void what_is_lost_is_not_found(void **state)
{
	struct zvm_digest source = put("source"), image = put("image");
	(void)state;
	keep("image 1", &source, note, "image");
	assert_int_equal(unlink(path_of(&image)), 0);
	assert_unknown("image 1", &source);
	keep("image 1", &source, note, "image");
	assert_found("image 1", &source, note, "image");
	assert_int_equal(unlink(path_of(&source)), 0);
	assert_unknown("image 1", &source);
}

static void what_another_process_keeps_is_found(void **state)
{
	struct zvm_digest source = put("source");
	struct zvm_derived *others, *ours = derived;
	(void)state;
	assert_unknown("image 1", &source);
	assert_int_equal(zvm_derived_open(store, &others), 0);
	derived = others;
	keep("image 1", &source, note, "image");
	derived = ours;
	assert_found("image 1", &source, note, "image");
	zvm_derived_close(others);
}

static void a_read_only_store_is_asked_and_never_told(void **state)
{
	struct zvm_digest source = put("source"), fresh = put("fresh");
	size_t before, after;
	int fd = -1;
	(void)state;
	keep("image 1", &source, note, "image");
	free(get_bytes(in_scratch("store/stat/derived"), &before));
	reopen(ZVM_STORE_READONLY);
	assert_found("image 1", &source, note, "image");
	put_text(in_scratch("new"), "new image");
	zvm_autofd int image = open(in_scratch("new"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(zvm_derived_keep(derived, "image 1", &fresh, note, image, &fd), -EROFS);
	zvm_derived_keep(derived, "image 1", &fresh, note, -1, &fd);
	free(get_bytes(in_scratch("store/stat/derived"), &after));
	assert_int_equal(after, before);
}

static void no_descriptor_is_lost(void **state)
{
	struct zvm_digest source = put("source");
	unsigned before = open_descriptors();
	(void)state;
	for (int i = 0; i < 20; i++) {
		keep("image 1", &source, note, "image");
		assert_found("image 1", &source, note, "image");
		assert_unknown("image 2", &source);
	}
	assert_true(open_descriptors() <= before + ZVM_SPARES_MAX);
}

#define WITH_DERIVED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        WITH_DERIVED(what_was_kept_is_found_by_name_and_source),
	        WITH_DERIVED(forged_sources_are_told_apart),
	        WITH_DERIVED(what_is_lost_is_not_found),
	        WITH_DERIVED(what_another_process_keeps_is_found),
	        WITH_DERIVED(a_read_only_store_is_asked_and_never_told),
	        WITH_DERIVED(no_descriptor_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
