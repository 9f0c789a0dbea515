/* Actions and records as bytes: nothing that matters is left out, nothing encodes like something else, and any bytes
 * whatever are read without harm. */
#include "scratch.h"
#include <zvm/record.h>

/* --- actions --- */

static const char *const arguments[] = {"-n", "ab", "c", NULL};
static const char *const environment[] = {"PATH=/bin", "A=b", NULL};

static struct zvm_action sample(void)
{
	return (struct zvm_action){
	        .box_version = "box-1",
	        .script = "/script/a.py",
	        .script_blob = {1, 2, 3, 0},
	        .script_mode = 0755,
	        .arguments = arguments,
	        .environment = environment,
	        .limits = {100, 200, 300},
	        .input_blob = {4, 5, 6, 0},
	        .ok_statuses = "0,1",
	};
}

static bool encode_alike(const struct zvm_action *a, const struct zvm_action *b)
{
	zvm_autobytes struct zvm_bytes x = {0}, y = {0};
	assert_int_equal(zvm_action_encode(a, &x), 0);
	assert_int_equal(zvm_action_encode(b, &y), 0);
	return x.size == y.size && !memcmp(x.data, y.data, x.size);
}

/* The sample with its n-th field changed a little; false: there are not so many. */
static bool change_field(unsigned n, struct zvm_action *a)
{
	static const char *const more[] = {"-n", "ab", "c", "", NULL}, *const fewer[] = {"-n", "ab", NULL},
	                         *const swapped[] = {"ab", "-n", "c", NULL}, *const moved[] = {"-n", "a", "bc", NULL},
	                         *const none[] = {NULL}, *const other[] = {"PATH=/bin", "A=c", NULL},
	                         *const turned[] = {"A=b", "PATH=/bin", NULL}, *const joined[] = {"-n", "abc", NULL};
	*a = sample();
	switch (n) {
	case 0: a->box_version = "box-2"; break;
	case 1: a->script = "/script/b.py"; break;
	case 2: a->script_blob.high ^= 1; break;
	case 3: a->script_blob.low ^= 1ull << 63; break;
	case 4: a->script_blob.twin ^= 1; break;
	case 5: a->script_mode = 0555; break;
	case 6: a->arguments = more; break;
	case 7: a->arguments = fewer; break;
	case 8: a->arguments = swapped; break;
	case 9: a->arguments = moved; break;
	case 10: a->arguments = joined; break;
	case 11: a->arguments = none; break;
	case 12: a->environment = other; break;
	case 13: a->environment = turned; break;
	case 14: a->environment = none; break;
	case 15: a->limits.memory_bytes++; break;
	case 16: a->limits.output_bytes++; break;
	case 17: a->limits.wall_ms++; break;
	case 18: a->input_blob.high ^= 1; break;
	case 19: a->input_blob.low ^= 1; break;
	case 20: a->input_blob.twin ^= 1; break;
	case 21: a->ok_statuses = "0"; break;
	case 22: a->script_blob.print ^= 1; break;
	case 23: a->input_blob.print ^= 1u << 31; break;
	default: return false;
	}
	return true;
}

static void the_same_action_encodes_the_same(void **state)
{
	char script[] = "/script/a.py";
	struct zvm_action a = sample(), b = sample();
	(void)state;
	b.script = script;
	assert_true(encode_alike(&a, &b));
}

static void any_changed_field_changes_the_encoding(void **state)
{
	struct zvm_action plain = sample(), changed[32];
	unsigned n = 0;
	(void)state;
	while (change_field(n, &changed[n])) {
		assert_false(encode_alike(&plain, &changed[n]));
		for (unsigned k = 0; k < n; k++)
			assert_false(encode_alike(&changed[k], &changed[n]));
		n++;
	}
	assert_int_equal(n, 24);
}

static void a_byte_moved_between_neighbours_changes_the_encoding(void **state)
{
	struct zvm_action a = sample(), b = sample();
	(void)state;
	a.box_version = "box";
	a.script = "/script";
	b.box_version = "box/";
	b.script = "script";
	assert_false(encode_alike(&a, &b));
}

static void an_argument_is_not_taken_for_a_variable(void **state)
{
	static const char *const two[] = {"X=y", "Z=z", NULL}, *const one[] = {"X=y", NULL},
	                         *const rest[] = {"Z=z", NULL}, *const none[] = {NULL};
	struct zvm_action a = sample(), b = sample(), c = sample();
	(void)state;
	a.arguments = two;
	a.environment = none;
	b.arguments = one;
	b.environment = rest;
	c.arguments = none;
	c.environment = two;
	assert_false(encode_alike(&a, &b));
	assert_false(encode_alike(&b, &c));
	assert_false(encode_alike(&a, &c));
}

static void an_action_reads_back_as_it_was_written(void **state)
{
	zvm_autobytes struct zvm_bytes bytes = {0}, again = {0};
	struct zvm_action a = sample(), *read;
	(void)state;
	assert_int_equal(zvm_action_encode(&a, &bytes), 0);
	assert_int_equal(zvm_action_decode(bytes.data, bytes.size, &read), 0);
	assert_string_equal(read->script, "/script/a.py");
	assert_string_equal(read->arguments[1], "ab");
	assert_null(read->arguments[3]);
	assert_int_equal(zvm_action_encode(read, &again), 0);
	assert_int_equal(again.size, bytes.size);
	assert_memory_equal(again.data, bytes.data, bytes.size);
	zvm_action_free(read);
}

static void half_an_action_and_one_with_more_behind_it_are_refused(void **state)
{
	zvm_autobytes struct zvm_bytes bytes = {0};
	struct zvm_action a = sample(), *read;
	(void)state;
	assert_int_equal(zvm_action_encode(&a, &bytes), 0);
	for (size_t n = 0; n < bytes.size; n++)
		assert_int_equal(zvm_action_decode(bytes.data, n, &read), -EBADMSG);
	zvm_bytes_append(&bytes, "", 1);
	assert_int_equal(zvm_action_decode(bytes.data, bytes.size, &read), -EBADMSG);
}

static void no_arguments_at_all_are_an_empty_list(void **state)
{
	static const char *const none[] = {NULL};
	struct zvm_action a = sample(), b = sample();
	(void)state;
	a.arguments = NULL;
	b.arguments = none;
	assert_true(encode_alike(&a, &b));
}

/* --- seeds --- */

static void seed_of(const struct zvm_action *a, unsigned char seed[32])
{
	memset(seed, 0, 32);
	unsigned char start[32];
	assert_int_equal(zvm_action_seeds(a, start, seed), 0);
}

static bool is_of_the_store(unsigned n)
{
	return n == 4 || n == 20 || n >= 22;
}

static void every_field_but_what_only_the_store_knows_changes_the_seed(void **state)
{
	unsigned char plain[32], seed[32];
	struct zvm_action a = sample();
	(void)state;
	seed_of(&a, plain);
	for (unsigned n = 0; change_field(n, &a); n++) {
		seed_of(&a, seed);
		assert_int_equal(!memcmp(seed, plain, 32), is_of_the_store(n));
	}
}

/* Twin numbers and prints depend on the store; the same run must be the same elsewhere. */
static void the_seed_is_the_same_in_every_store(void **state)
{
	unsigned char one[32], other[32];
	struct zvm_action a = sample(), b = sample();
	(void)state;
	a.script_blob.twin = 0;
	a.input_blob.twin = 9;
	b.script_blob.twin = 4;
	b.input_blob.twin = 0;
	b.input_blob.print = b.script_blob.print = 8;
	seed_of(&a, one);
	seed_of(&b, other);
	assert_memory_equal(one, other, 32);
}

static void the_parts_of_a_seed_differ(void **state)
{
	unsigned char seed[32];
	struct zvm_action a = sample();
	(void)state;
	seed_of(&a, seed);
	for (int i = 0; i < 4; i++)
		for (int k = 0; k < i; k++)
			assert_memory_not_equal(seed + 8 * i, seed + 8 * k, 8);
}

/*
 * Every byte, so that no change of the encoding goes unnoticed: whoever changes it on purpose gives it another version,
 * for old stores have records like this.
 */
static void assert_bytes(const struct zvm_bytes *encoded, const unsigned char *expected, size_t size)
{
	assert_int_equal(encoded->error, 0);
	assert_int_equal(encoded->size, size);
	assert_memory_equal(encoded->data, expected, size);
}

static void an_action_is_these_bytes(void **state)
{
	static const char *const words[] = {"-x", "", NULL}, *const settings[] = {"A=b", NULL};
	static const unsigned char expected[] = {
	        0x0c, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x7a, 0x76, 0x6d, 0x20, 0x61, 0x63, 0x74, 0x69, 0x6f,
	        0x6e, 0x20, 0x31, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x62, 0x6f, 0x78, 0x09, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x2f, 0x73, 0x63, 0x72, 0x69, 0x70, 0x74, 0x2f, 0x73, 0x01, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00,
	        0x04, 0x00, 0x00, 0x00, 0xed, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x2d, 0x78, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x41, 0x3d, 0x62, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x06, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x00, 0x0b,
	        0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x30};
	const struct zvm_action a = {.box_version = "box",
	                             .script = "/script/s",
	                             .script_blob = {1, 2, 3, 4},
	                             .script_mode = 0755,
	                             .arguments = words,
	                             .environment = settings,
	                             .limits = {.memory_bytes = 5, .output_bytes = 6, .wall_ms = 7},
	                             .input_blob = {8, 9, 10, 11},
	                             .ok_statuses = "0"};
	zvm_autobytes struct zvm_bytes encoded = {0};
	(void)state;
	assert_int_equal(zvm_action_encode(&a, &encoded), 0);
	assert_bytes(&encoded, expected, sizeof expected);
}

static void a_record_is_these_bytes(void **state)
{
	struct zvm_dependency asked[] = {
	        {.question = {.kind = ZVM_ASK_OPEN, .flags = 1, .path = (char[]){"/x"}},
	         .answer = {.mode = 2,
	                    .size = 3,
	                    .inode = 4,
	                    .mtime = 5,
	                    .has_content = true,
	                    .digest = {6, 7, 8, 9},
	                    .fd = -1}},
	        {.question = {.kind = ZVM_ASK_LOOKUP, .path = (char[]){"/y"}}, .answer = {.error = -2, .fd = -1}},
	        {.question = {.kind = ZVM_ASK_LOOKUP, .path = (char[]){"/z"}},
	         .answer = {.text = (char[]){"/t"}, .elsewhere = true, .fd = -1}},
	};
	char *refused[] = {(char[]){"r"}}, *walls[] = {(char[]){"w"}, (char[]){""}}, *unproven[] = {(char[]){"u"}};
	static const unsigned char expected[] = {
	        0x0c, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x7a, 0x76, 0x6d, 0x20, 0x72, 0x65, 0x63, 0x6f, 0x72,
	        0x64, 0x20, 0x32, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x0f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x11,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x12, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x13, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1e, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1f, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xec, 0xff, 0xff, 0xff,
	        0xff, 0xff, 0xff, 0xff, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x06, 0x00, 0x00, 0x00, 0x07, 0x00,
	        0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x00, 0x00, 0x00, 0x0c, 0x00, 0x00, 0x00,
	        0x0d, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x72, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x77, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x75, 0x01,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x21, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x22, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x2f, 0x78, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x08, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x2f,
	        0x79, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x2f, 0x7a, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x2f, 0x74, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
	const struct zvm_record r = {.end = ZVM_END_SIGNAL,
	                             .exit_status = 1,
	                             .signal = 2,
	                             .failed = true,
	                             .nonce = 3,
	                             .out = {{4, 5, 6, 7}, 8},
	                             .err = {{9, 10, 11, 12}, 13},
	                             .message = (char[]){"m"},
	                             .wall_us = 14,
	                             .cpu_us = 15,
	                             .max_rss_kib = 16,
	                             .system_calls = 17,
	                             .virtual_ns = 18,
	                             .peak_memory = 19,
	                             .faults = 30,
	                             .bytes_read = 31,
	                             .bytes_written = 32,
	                             .calls = &(struct zvm_call_count){33, 34},
	                             .call_count = 1,
	                             .computed_at = -20,
	                             .refused = refused,
	                             .refused_count = 1,
	                             .walls = walls,
	                             .wall_count = 2,
	                             .unproven = unproven,
	                             .unproven_count = 1,
	                             .not_vetted = true,
	                             .dependencies = asked,
	                             .dependency_count = 3};
	zvm_autobytes struct zvm_bytes encoded = {0};
	(void)state;
	assert_int_equal(zvm_record_encode(&r, &encoded), 0);
	assert_bytes(&encoded, expected, sizeof expected);
}

/* --- records --- */

static struct zvm_dependency dependencies[] = {
        {.question = {.kind = ZVM_ASK_OPEN, .flags = ZVM_ASK_NOFOLLOW, .path = (char[]){"/script/helper.py"}},
         .answer = {.mode = 0100644,
                    .size = 1234,
                    .inode = 0x0123456789abcdefu,
                    .mtime = -1,
                    .has_content = true,
                    .digest = {7, 8, 4294967295u, 0},
                    .fd = -1}},
        {.question = {.kind = ZVM_ASK_LOOKUP, .path = (char[]){"/usr/lib/nosuch"}},
         .answer = {.error = -ENOENT, .fd = -1}},
        {.question = {.kind = ZVM_ASK_LOOKUP, .path = (char[]){"/script/link"}},
         .answer = {.text = (char[]){"/tmp/x"}, .elsewhere = true, .fd = -1}},
        /* The shortest that there can be, and an empty text, which is not none. */
        {.question = {.kind = ZVM_ASK_LOOKUP, .path = (char[]){""}}, .answer = {.fd = -1}},
        {.question = {.kind = ZVM_ASK_LOOKUP, .path = (char[]){""}}, .answer = {.text = (char[]){""}, .fd = -1}},
};

static char *refused[] = {(char[]){"socket(AF_INET)"}, (char[]){""}};
static char message[] = "killed by SIGSEGV at 0x1234";
static char *walls[] = {(char[]){"seccomp"}};

static struct zvm_call_count calls[] = {{0, UINT64_MAX}, {UINT32_MAX, 1}};

static struct zvm_record full_record(void)
{
	return (struct zvm_record){
	        .end = ZVM_END_SIGNAL,
	        .exit_status = -1,
	        .signal = 11,
	        .failed = true,
	        .nonce = UINT64_MAX,
	        .out = {{1, 2, 0, 0}, 3},
	        .err = {{4, 5, 6, 0}, UINT64_MAX},
	        .message = message,
	        .wall_us = 10,
	        .cpu_us = 11,
	        .max_rss_kib = 12,
	        .system_calls = 13,
	        .virtual_ns = 14,
	        .peak_memory = 15,
	        .faults = 16,
	        .bytes_read = 17,
	        .bytes_written = 18,
	        .calls = calls,
	        .call_count = 2,
	        .computed_at = INT64_MIN,
	        .refused = refused,
	        .refused_count = 2,
	        .walls = walls,
	        .wall_count = 1,
	        .not_vetted = true,
	        .dependencies = dependencies,
	        .dependency_count = sizeof dependencies / sizeof dependencies[0],
	        .references = 1,
	};
}

static void encode(const struct zvm_record *r, struct zvm_bytes *out)
{
	assert_int_equal(zvm_record_encode(r, out), 0);
}

/* Decodes from memory of exactly that size, so that a step beyond shows. */
static int decode(const void *data, size_t size, struct zvm_record **ret)
{
	char *copy = malloc(size ? size : 1);
	assert_non_null(copy);
	memcpy(copy, data, size);
	int r = zvm_record_decode(copy, size, ret);
	free(copy);
	return r;
}

static void assert_encodes_as(const struct zvm_record *r, const struct zvm_bytes *wanted)
{
	zvm_autobytes struct zvm_bytes again = {0};
	encode(r, &again);
	assert_int_equal(again.size, wanted->size);
	assert_memory_equal(again.data, wanted->data, wanted->size);
}

static void a_record_reads_back_as_it_was_written(void **state)
{
	zvm_autobytes struct zvm_bytes bytes = {0};
	struct zvm_record *back, r = full_record();
	(void)state;
	encode(&r, &bytes);
	assert_int_equal(decode(bytes.data, bytes.size, &back), 0);
	assert_true(back->end == r.end && back->exit_status == -1 && back->signal == 11 && back->failed);
	assert_true(back->nonce == r.nonce && back->err.size == UINT64_MAX && back->computed_at == INT64_MIN);
	assert_true(back->not_vetted && back->refused_count == 2 && back->wall_count == 1);
	assert_true(back->wall_us == 10 && back->cpu_us == 11 && back->max_rss_kib == 12 && back->system_calls == 13);
	assert_true(back->virtual_ns == 14 && back->peak_memory == 15 && back->faults == 16);
	assert_true(back->bytes_read == 17 && back->bytes_written == 18 && back->call_count == 2);
	assert_memory_equal(back->calls, calls, sizeof calls);
	assert_string_equal(back->message, r.message);
	assert_string_equal(back->refused[0], refused[0]);
	assert_int_equal(back->dependency_count, r.dependency_count);
	for (unsigned i = 0; i < r.dependency_count; i++) {
		const struct zvm_dependency *a = &back->dependencies[i], *b = &dependencies[i];
		assert_true(a->question.kind == b->question.kind && a->question.flags == b->question.flags);
		assert_string_equal(a->question.path, b->question.path);
		assert_true(zvm_answer_equal(&a->answer, &b->answer) && a->answer.fd == -1);
	}
	assert_encodes_as(back, &bytes);
	zvm_record_free(back);
}

static void the_smallest_record_reads_back(void **state)
{
	zvm_autobytes struct zvm_bytes bytes = {0};
	struct zvm_record *back, r = {.end = ZVM_END_EXIT};
	(void)state;
	encode(&r, &bytes);
	assert_int_equal(decode(bytes.data, bytes.size, &back), 0);
	assert_true(!back->message && !back->dependency_count && !back->refused_count && !back->wall_count);
	assert_encodes_as(back, &bytes);
	zvm_record_free(back);
}

static void a_record_that_ends_with_the_shortest_dependencies_reads_back(void **state)
{
	(void)state;
	for (unsigned count = 1; count <= 3; count++) {
		zvm_autobytes struct zvm_bytes bytes = {0};
		struct zvm_dependency least[3] = {dependencies[3], dependencies[3], dependencies[3]};
		struct zvm_record *back, r = {.end = ZVM_END_EXIT, .dependencies = least, .dependency_count = count};
		encode(&r, &bytes);
		assert_int_equal(decode(bytes.data, bytes.size, &back), 0);
		assert_int_equal(back->dependency_count, count);
		zvm_record_free(back);
	}
}

static void ends_that_are_not_remembered_are_refused(void **state)
{
	(void)state;
	for (int end = ZVM_END_REFUSED; end <= ZVM_END_BROKEN + 1; end++) {
		zvm_autobytes struct zvm_bytes bytes = {0};
		struct zvm_record *back, r = {.end = (enum zvm_box_end)end};
		encode(&r, &bytes);
		assert_int_equal(decode(bytes.data, bytes.size, &back), -EBADMSG);
	}
}

static void a_truncated_record_is_refused(void **state)
{
	zvm_autobytes struct zvm_bytes bytes = {0};
	struct zvm_record *back, r = full_record();
	(void)state;
	encode(&r, &bytes);
	for (size_t size = 0; size < bytes.size; size++)
		assert_int_equal(decode(bytes.data, size, &back), -EBADMSG);
}

static void bytes_after_a_record_are_refused(void **state)
{
	zvm_autobytes struct zvm_bytes bytes = {0};
	struct zvm_record *back, r = full_record();
	(void)state;
	encode(&r, &bytes);
	zvm_bytes_append(&bytes, "", 1);
	assert_int_equal(decode(bytes.data, bytes.size, &back), -EBADMSG);
}

/* The checksum around a record is another matter: here every damage must be survived, and none half understood. */
static void a_flipped_bit_is_refused_or_is_another_whole_record(void **state)
{
	zvm_autobytes struct zvm_bytes bytes = {0};
	struct zvm_record *back, r = full_record();
	unsigned accepted = 0, turned_away = 0;
	(void)state;
	encode(&r, &bytes);
	for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
		bytes.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
		int result = decode(bytes.data, bytes.size, &back);
		assert_true(result == 0 || result == -EBADMSG);
		if (result == 0) {
			assert_encodes_as(back, &bytes);
			zvm_record_free(back);
		}
		*(result ? &turned_away : &accepted) += 1;
		bytes.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	assert_true(accepted > 0 && turned_away > 0);
}

static void a_byte_of_any_value_anywhere_is_survived(void **state)
{
	zvm_autobytes struct zvm_bytes bytes = {0};
	struct zvm_record *back, r = full_record();
	(void)state;
	r.dependency_count = 2;
	encode(&r, &bytes);
	for (size_t at = 0; at < bytes.size; at++) {
		unsigned char was = bytes.data[at];
		static const unsigned char values[] = {0, 1, 127, 128, 254, 255};
		for (size_t i = 0; i < sizeof values; i++) {
			bytes.data[at] = values[i];
			if (decode(bytes.data, bytes.size, &back) == 0)
				zvm_record_free(back);
		}
		bytes.data[at] = was;
	}
}

/* A count is believed only as far as the bytes that follow could hold it: no gigabytes for a lie. */
static void a_huge_count_is_refused_before_memory_is_asked_for(void **state)
{
	zvm_autobytes struct zvm_bytes bytes = {0};
	struct zvm_record *back, r = {.end = ZVM_END_EXIT};
	static const uint64_t counts[] = {1, 1000000, 1000001, UINT32_MAX, 1ull << 32, UINT64_MAX, UINT64_MAX / 8};
	(void)state;
	encode(&r, &bytes);
	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
		for (size_t list = 1; list <= 3; list++) { /* dependencies, walls, refused: the last three numbers */
			zvm_autobytes struct zvm_bytes lie = {0};
			zvm_bytes_append(&lie, bytes.data, bytes.size - 8 * list);
			zvm_bytes_number(&lie, counts[i]);
			zvm_bytes_append(&lie, bytes.data + bytes.size - 8 * (list - 1), 8 * (list - 1));
			/* One string is eight bytes, which are there, and say that its length is 0. */
			if (counts[i] == 1 && list > 1)
				continue;
			assert_int_equal(decode(lie.data, lie.size, &back), -EBADMSG);
		}
}

/* The fuzzer starts from records of today's encoding, not of last year's. ZVM_WRITE_SEEDS=1 writes them anew. */
static void the_fuzzers_seeds_are_records(void **state)
{
	struct zvm_dependency least[] = {dependencies[3]};
	const struct {
		const char *path;
		struct zvm_record record;
	} seeds[] = {
	        {"tests/fuzz/corpus/fuzz_record/full", full_record()},
	        {"tests/fuzz/corpus/fuzz_record/smallest", {.end = ZVM_END_EXIT}},
	        {"tests/fuzz/corpus/fuzz_record/one-least-dependency",
	         {.end = ZVM_END_EXIT, .dependencies = least, .dependency_count = 1}},
	};
	(void)state;
	for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
		zvm_autobytes struct zvm_bytes bytes = {0};
		size_t size;
		encode(&seeds[i].record, &bytes);
		if (getenv("ZVM_WRITE_SEEDS"))
			put_bytes(seeds[i].path, bytes.data, bytes.size);
		zvm_autofree char *seed = get_bytes(seeds[i].path, &size);
		assert_int_equal(size, bytes.size);
		assert_memory_equal(seed, bytes.data, size);
	}
}

static void another_version_is_refused(void **state)
{
	zvm_autobytes struct zvm_bytes bytes = {0};
	struct zvm_record *back, r = full_record();
	(void)state;
	encode(&r, &bytes);
	unsigned char *digit = memchr(bytes.data + 8, '2', 16);
	assert_non_null(digit);
	*digit = '1';
	assert_int_equal(decode(bytes.data, bytes.size, &back), -EBADMSG);
}

static void a_record_takes_what_an_outcome_holds(void **state)
{
	struct zvm_record *r;
	struct zvm_box_outcome o = {.end = ZVM_END_EXIT, .exit_status = 3, .message = strdup("said")};
	(void)state;
	o.dependencies = calloc(1, sizeof *o.dependencies);
	o.dependencies[0].question.path = strdup("/usr");
	o.dependency_count = 1;
	o.refused = calloc(1, sizeof *o.refused);
	o.refused[0] = strdup("ptrace");
	o.refused_count = 1;
	o.system_calls = 77;
	assert_int_equal(zvm_record_of_outcome(&o, &r), 0);
	assert_true(!o.message && !o.dependencies && !o.refused && !o.dependency_count && !o.refused_count);
	zvm_box_outcome_free(&o);
	assert_string_equal(r->message, "said");
	assert_string_equal(r->refused[0], "ptrace");
	assert_string_equal(r->dependencies[0].question.path, "/usr");
	assert_true(r->exit_status == 3 && r->system_calls == 77 && r->references == 1);
	zvm_record_free(r);
	zvm_record_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(the_same_action_encodes_the_same),
	        cmocka_unit_test(any_changed_field_changes_the_encoding),
	        cmocka_unit_test(a_byte_moved_between_neighbours_changes_the_encoding),
	        cmocka_unit_test(an_argument_is_not_taken_for_a_variable),
	        cmocka_unit_test(no_arguments_at_all_are_an_empty_list),
	        cmocka_unit_test(an_action_reads_back_as_it_was_written),
	        cmocka_unit_test(half_an_action_and_one_with_more_behind_it_are_refused),
	        cmocka_unit_test(every_field_but_what_only_the_store_knows_changes_the_seed),
	        cmocka_unit_test(the_seed_is_the_same_in_every_store),
	        cmocka_unit_test(the_parts_of_a_seed_differ),
	        cmocka_unit_test(an_action_is_these_bytes),
	        cmocka_unit_test(a_record_is_these_bytes),
	        cmocka_unit_test(a_record_reads_back_as_it_was_written),
	        cmocka_unit_test(the_smallest_record_reads_back),
	        cmocka_unit_test(a_record_that_ends_with_the_shortest_dependencies_reads_back),
	        cmocka_unit_test(ends_that_are_not_remembered_are_refused),
	        cmocka_unit_test(a_truncated_record_is_refused),
	        cmocka_unit_test(bytes_after_a_record_are_refused),
	        cmocka_unit_test(a_flipped_bit_is_refused_or_is_another_whole_record),
	        cmocka_unit_test(a_byte_of_any_value_anywhere_is_survived),
	        cmocka_unit_test(a_huge_count_is_refused_before_memory_is_asked_for),
	        cmocka_unit_test(the_fuzzers_seeds_are_records),
	        cmocka_unit_test(another_version_is_refused),
	        cmocka_unit_test(a_record_takes_what_an_outcome_holds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
