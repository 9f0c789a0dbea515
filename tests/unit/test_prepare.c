/*
 * Prepared images. Small ELF files are made here function by function, so that each way to prove a site, and each way
 * to fail, is alone in one; then the libraries of this machine are prepared and every byte that changed is accounted
 * for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zvm/blob.h>
#include <zvm/cleanup.h>
#include "plan.h"
#include "prepare.h"
#include "sites.h"
#include "maker.h"
#include "undo.h"

/* The image's code is `expected`, and nothing else of the file has changed. */
static void assert_image(struct maker *m, struct zvm_prepared *p, const unsigned char *expected)
{
	static unsigned char original[CODE_AT + CODE_ROOM], image[CODE_AT + CODE_ROOM];
	zvm_autofd int fd = write_file(m);
	ssize_t size = pread(fd, original, sizeof original, 0);
	assert_true(p->fd >= 0);
	assert_int_equal(pread(p->fd, image, (size_t)size, 0), size);
	assert_memory_equal(original, image, CODE_AT);
	assert_memory_equal(image + CODE_AT, expected, m->size);
	zvm_close_pointer(&p->fd);
}

static void assert_untouched(struct maker *m, unsigned unproven)
{
	struct zvm_prepared p = prepare(m);
	assert_int_equal(p.fd, -1);
	assert_int_equal(p.sites, 0);
	assert_int_equal(p.unproven, unproven);
}

static void every_instruction_is_taken_away(void **state)
{
	(void)state;
	static const unsigned char code[] = {
	        0x0f, 0xa2,                   /* cpuid */
	        0x0f, 0x31,                   /* rdtsc */
	        0x0f, 0x01, 0xf9,             /* rdtscp */
	        0x0f, 0xc7, 0xf0,             /* rdrand eax */
	        0x66, 0x41, 0x0f, 0xc7, 0xf7, /* rdrand r15w */
	        0x48, 0x0f, 0xc7, 0xf9,       /* rdseed rcx */
	        0xf3, 0x41, 0x0f, 0xc7, 0xf8, /* rdpid r8 */
	        0x0f, 0x01, 0xd0,             /* xgetbv */
	        0x0f, 0x01, 0xfd,             /* rdpru */
	        0x0f, 0x33,                   /* rdpmc */
	        0x66, 0x44, 0x0f, 0x03, 0xc1, /* lsl r8w, cx */
	        0xc3,
	};
	static const unsigned escapes[] = {0, 2, 4, 7, 12, 16, 21, 24, 27, 30, 34};
	static struct maker m;
	unsigned char expected[sizeof code];
	start(&m);
	add_function(&m, code, sizeof code);
	memcpy(expected, code, sizeof code);
	for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
		assert_int_equal(expected[escapes[i]], 0x0f);
		expected[escapes[i]] = 0xf4;
	}
	struct zvm_prepared p = prepare(&m);
	assert_int_equal(p.sites, 11);
	assert_int_equal(p.unproven, 0);
	assert_image(&m, &p, expected);
}

static void the_insides_of_other_instructions_stay(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0xb8, 0x0f, 0xa2, 0x0f, 0x31,                           /* mov $0x310fa20f, %eax */
	         0x48, 0xb8, 0x0f, 0x01, 0xf9, 0x0f, 0xc7, 0xf0, 0x0f, 0x01, /* movabs */
	         0x8b, 0x80, 0x0f, 0xc7, 0xf8, 0x00,                         /* mov 0xf8c70f(%rax), %eax */
	         0xc3);
	assert_untouched(&m, 0);
}

static void what_is_only_like_one_stays(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0x0f, 0xc7, 0x0f,   /* cmpxchg8b (%rdi): memory, not a register */
	         0xf3, 0x0f, 0xc7, 0xf0, /* senduipi */
	         0x0f, 0x01, 0xd1,       /* xsetbv */
	         0x0f, 0x05, 0xc3);
	/* senduipi has the bytes of a rdrand: it is an instruction, and not one of ours. */
	assert_untouched(&m, 0);
}

static void data_behind_a_jump_is_left_alone(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0xeb, 0x02, 0x0f, 0xa2, 0xc3); /* jmp over it */
	assert_untouched(&m, 1);
}

static void a_branch_between_boundaries_discredits_a_function(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0x74, 0x01, 0xb8, 0x90, 0x90, 0x90, 0x90, 0x0f, 0xa2, 0xc3); /* je into the mov */
	assert_untouched(&m, 1);
}

static void a_branch_behind_a_lock_prefix_does_not(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0x74, 0x01, 0xf0, 0x48, 0x0f, 0xb1, 0x0f, 0x0f, 0xa2, 0xc3); /* je; lock cmpxchg; cpuid; ret */
	struct zvm_prepared p = prepare(&m);
	assert_int_equal(p.sites, 1);
	assert_image(&m, &p, (const unsigned char[]){0x74, 0x01, 0xf0, 0x48, 0x0f, 0xb1, 0x0f, 0xf4, 0xa2, 0xc3});
}

static void a_function_that_does_not_decode_is_left_alone(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0x0f, 0xa2, 0x06, 0x06, 0xc3);
	assert_untouched(&m, 1);
}

static void what_a_function_calls_is_code_too(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0xe8, 0x03, 0x00, 0x00, 0x00, 0xc3); /* call behind the two bytes of padding */
	CODE(&m, 0x66, 0x90, 0x0f, 0xa2, 0xc3);
	struct zvm_prepared p = prepare(&m);
	assert_int_equal(p.sites, 1);
	assert_int_equal(p.unproven, 0);
	assert_image(&m, &p, (const unsigned char[]){0xe8, 0x03, 0x00, 0x00, 0x00, 0xc3, 0x66, 0x90, 0xf4, 0xa2, 0xc3});
}

static void what_nobody_calls_is_unproven(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0xc3);
	CODE(&m, 0x66, 0x90, 0x0f, 0xa2, 0xc3);
	assert_untouched(&m, 1);
}

static void two_calls_that_contradict_each_other_prove_nothing(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0xe8, 0x07, 0x00, 0x00, 0x00,   /* call to the mov, and */
	         0xe8, 0x03, 0x00, 0x00, 0x00, 0xc3, /* to its second byte */
	         0x90, 0xb8, 0x0f, 0xa2, 0x90, 0x90, 0xc3);
	m.f.symbols[0].st_size = 11;
	struct zvm_prepared p = prepare(&m);
	assert_int_equal(p.fd, -1);
	assert_int_equal(p.unproven, 1);
}

static void bytes_beside_the_segment_are_counted(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0xc3, 0x90, 0x90, 0x0f, 0xa2);
	m.f.symbols[0].st_size = 1;
	struct zvm_prepared prepared;
	zvm_autofd int fd = write_file(&m);
	Elf64_Phdr program = m.f.program;
	program.p_filesz = program.p_memsz = 3; /* the page is mapped whole all the same */
	assert_int_equal(pwrite(fd, &program, sizeof program, offsetof(struct file, program)), sizeof program);
	assert_int_equal(zvm_prepare(fd, &prepared), 0);
	assert_int_equal(prepared.fd, -1);
	assert_int_equal(prepared.unproven, 1);
}

static void a_hlt_that_looks_like_a_site_becomes_a_cli(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0x0f, 0xa2, 0x75, 0x02, 0xf4, 0x90, 0xf4, 0x31, 0xc0, 0xc3); /* hlt; nop / hlt; xor */
	struct zvm_prepared p = prepare(&m);
	assert_int_equal(p.sites, 1);
	assert_image(&m, &p, (const unsigned char[]){0xf4, 0xa2, 0x75, 0x02, 0xf4, 0x90, 0xfa, 0x31, 0xc0, 0xc3});
}

static void an_image_cannot_be_changed(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0x0f, 0xa2, 0xc3);
	struct zvm_prepared p = prepare(&m);
	assert_int_equal(pwrite(p.fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(p.fd, 1), -1);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, p.fd, 0), MAP_FAILED);
	close(p.fd);
}

static void without_sites_the_file_itself_is_mapped(void **state)
{
	(void)state;
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0x31, 0xc0, 0xf4, 0x31, 0xc0, 0xc3);
	assert_untouched(&m, 0);
}

static void nothing_is_known_of_what_is_no_elf_file(void **state)
{
	(void)state;
	struct zvm_prepared prepared;
	zvm_autofd int fd = memfd_create("text", MFD_CLOEXEC);
	assert_int_equal(write(fd, "\x0f\xa2 and more", 11), 11);
	assert_int_equal(zvm_prepare(fd, &prepared), 0);
	assert_true(prepared.unread && prepared.fd < 0 && !prepared.sites);
}

/* --- files that are made to hurt --- */

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void huge_files_are_not_looked_into(void **state)
{
	(void)state;
	static struct maker m;
	struct zvm_prepared prepared;
	start(&m);
	FUNCTION(&m, 0x0f, 0xa2, 0xc3);
	zvm_autofd int fd = write_file(&m);
	assert_int_equal(ftruncate(fd, (off_t)ZVM_ELF_SIZE_MAX + 1), 0);
	assert_int_equal(zvm_prepare(fd, &prepared), 0);
	assert_true(prepared.unread && prepared.fd < 0);
}

/* One symbol table, named by sixty thousand sections. */
static void the_same_table_again_and_again_ends(void **state)
{
	(void)state;
	static struct maker m;
	struct zvm_prepared prepared;
	const off_t sections = 1 << 20, symbols = 8 << 20;
	start(&m);
	FUNCTION(&m, 0x0f, 0xa2, 0xc3);
	m.f.header.e_shnum = 60000;
	m.f.header.e_shoff = (Elf64_Off)sections;
	zvm_autofd int fd = write_file(&m);
	Elf64_Shdr section = {.sh_type = SHT_SYMTAB,
	                      .sh_offset = (Elf64_Off)symbols,
	                      .sh_size = 8 << 20,
	                      .sh_entsize = sizeof(Elf64_Sym)};
	assert_int_equal(ftruncate(fd, 16 << 20), 0);
	for (off_t i = 0; i < 60000; i++)
		assert_int_equal(pwrite(fd, &section, sizeof section, sections + i * (off_t)sizeof section),
		                 sizeof section);
	double before = seconds();
	assert_int_equal(zvm_prepare(fd, &prepared), 0);
	assert_true(prepared.fd < 0 && prepared.unread);
	assert_true(seconds() - before < 10);
}

/* 16 MiB of candidates, and of one function. */
static void millions_of_candidates_end(void **state)
{
	(void)state;
	static struct maker m;
	struct zvm_prepared prepared;
	const size_t size = 16 << 20;
	start(&m);
	FUNCTION(&m, 0x90);
	zvm_autofd int fd = write_file(&m);
	Elf64_Phdr program = m.f.program;
	program.p_filesz = program.p_memsz = size;
	assert_int_equal(pwrite(fd, &program, sizeof program, offsetof(struct file, program)), sizeof program);
	zvm_autofree unsigned char *bytes = malloc(size);
	for (size_t i = 0; i < size; i += 2)
		memcpy(bytes + i, "\x0f\xa2", 2);
	assert_int_equal(pwrite(fd, bytes, size, CODE_AT), size);
	double before = seconds();
	assert_int_equal(zvm_prepare(fd, &prepared), 0);
	assert_true(prepared.fd < 0 && prepared.unread);
	assert_true(seconds() - before < 10);
}

/* --- the libraries of this machine --- */

static bool decodes_as(const unsigned char *code, size_t left, enum zvm_site_kind kind)
{
	ZydisDecoder decoder;
	ZydisDecodedInstruction i;
	char name[32];
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, code, left, &i)))
		return false;
	snprintf(name, sizeof name, "%s", ZydisMnemonicGetString(i.mnemonic));
	return !strcmp(name, zvm_site_name(kind)) ||
	       (kind == ZVM_SITE_RDPID && i.mnemonic == ZYDIS_MNEMONIC_RDSEED); /* without its prefix */
}

static void next_hazard(const struct zvm_sites *sites, size_t *at)
{
	while (*at < sites->count && (!sites->list[*at].proven || sites->list[*at].kind == ZVM_SITE_SYSCALL))
		(*at)++;
}

/*
 * The jumps can be undone; then every byte that differs is a proven hazard, every proven hazard differs, and in the way
 * that its kind says.
 */
static void account(const char *path, struct zvm_sites *sites, struct undo *undo)
{
	struct zvm_image plan;
	char interpreter[ZVM_PATH_MAX];
	const char *reason;
	struct zvm_prepared prepared;
	zvm_autofree unsigned char *original = NULL, *image = NULL;
	size_t size, image_size, next = 0;
	zvm_autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(zvm_plan_library(fd, &plan, interpreter, &reason), 0);
	assert_int_equal(zvm_elf_read(fd, &original, &size), 0);
	struct zvm_elf_bytes elf = {original, size, &plan};
	assert_int_equal(zvm_sites_find(&elf, sites), 0);
	assert_int_equal(zvm_prepare(fd, &prepared), 0);
	*undo = (struct undo){.plan = &plan, .jumps = &prepared.jumps, .original = original, .size = size};
	assert_int_equal(prepared.fd >= 0, zvm_sites_any(sites) || prepared.jumps.size);
	if (prepared.fd < 0)
		return;
	assert_int_equal(zvm_elf_read(prepared.fd, &image, &image_size), 0);
	assert_int_equal(image_size, prepared.jumps.size ? prepared.jumps.offset + prepared.jumps.size : size);
	undo->image = image;
	const char *wrong = undo_jumps(undo);
	if (wrong)
		fail_msg("%s: %s", path, wrong);
	assert_true(undo->backward + undo->forward <= sites->proven[ZVM_SITE_SYSCALL]);
	for (size_t at = 0; at < size; at++) {
		if (original[at] == image[at])
			continue;
		next_hazard(sites, &next);
		if (next == sites->count || sites->list[next].offset != at)
			fail_msg("%s: byte %#zx has changed, and is no site", path, at);
		bool halt = sites->list[next].kind == ZVM_SITE_HALT;
		assert_int_equal(original[at], halt ? 0xf4 : 0x0f);
		assert_int_equal(image[at], halt ? 0xfa : 0xf4);
		assert_true(decodes_as(original + at, size - at, sites->list[next].kind));
		next++;
	}
	next_hazard(sites, &next);
	assert_int_equal(next, sites->count);
	zvm_close_pointer(&prepared.fd);
}

static size_t all_sites(const struct zvm_sites *sites)
{
	size_t sum = 0;
	for (int kind = 0; kind < ZVM_SITE_HAZARDS; kind++)
		sum += sites->proven[kind];
	return sum;
}

/* `least`, and `jumps`: what every version of it that we know has. */
static void library(const char *pattern, enum zvm_site_kind kind, size_t least, size_t unproven_most, size_t jumps)
{
	struct undo undo;
	glob_t found;
	struct zvm_sites sites;
	if (glob(pattern, 0, NULL, &found))
		fail_msg("%s is not there", pattern);
	account(found.gl_pathv[0], &sites, &undo);
	print_message(
	        "# %s: %zu sites, %zu unproven; of %zu system calls %zu jump over what is before, %zu over what is "
	        "behind\n",
	        found.gl_pathv[0], all_sites(&sites), sites.unproven, sites.proven[ZVM_SITE_SYSCALL], undo.backward,
	        undo.forward);
	if (undo.backward + undo.forward < jumps)
		fail_msg("%s has %zu jumps", pattern, undo.backward + undo.forward);
	if (sites.proven[kind] < least)
		fail_msg("%s has %zu %s", pattern, sites.proven[kind], zvm_site_name(kind));
	assert_true(sites.unproven <= unproven_most);
	zvm_sites_free(&sites);
	globfree(&found);
}

static void only_proven_sites_of_real_libraries_change(void **state)
{
	(void)state;
	library("/lib*/x86_64-linux-gnu/libc.so.6", ZVM_SITE_RDTSC, 1, 0, 400);
	library("/lib64/ld-linux-x86-64.so.2", ZVM_SITE_CPUID, 20, 0, 30);
	library("/usr/lib/x86_64-linux-gnu/libcrypto.so.3", ZVM_SITE_CPUID, 4, 40,
	        0); /* tables of curves lie in its text */
	library("/usr/lib/x86_64-linux-gnu/libstdc++.so.6", ZVM_SITE_RDRAND, 1, 0, 0);
	library("/usr/bin/python3", ZVM_SITE_CPUID, 0, 0, 0);
	library("/bin/busybox", ZVM_SITE_CPUID, 10, 10, 200);
}

/* --- keeping --- */

struct kept {
	char directory[32];
	struct zvm_store *store;
	struct zvm_blobs *blobs;
	struct zvm_contents contents;
	struct zvm_digest digest;
	int fd; /* the stored file */
};

static void open_kept(struct kept *k)
{
	char path[64], *reason = NULL;
	snprintf(path, sizeof path, "%s/store", k->directory);
	assert_int_equal(zvm_store_open(path, ZVM_STORE_CREATE, &k->store, &reason), 0);
	free(reason);
	assert_int_equal(zvm_blobs_open(k->store, &k->blobs), 0);
	k->contents = zvm_blobs_contents(k->blobs);
}

static void close_kept(struct kept *k)
{
	zvm_blobs_close(k->blobs);
	zvm_store_close(k->store);
}

static void start_kept(struct kept *k, struct maker *m)
{
	zvm_autofd int fd = write_file(m);
	uint64_t size;
	*k = (struct kept){.directory = "/tmp/zvm-prepare-XXXXXX"};
	assert_non_null(mkdtemp(k->directory));
	open_kept(k);
	assert_int_equal(zvm_store_put_file(k->store, fd, &k->digest, &size), 0);
	assert_int_equal(zvm_store_object(k->store, &k->digest, &k->fd, NULL), 0);
}

static void end_kept(struct kept *k)
{
	char command[64];
	close(k->fd);
	close_kept(k);
	snprintf(command, sizeof command, "rm -rf '%s'", k->directory);
	assert_int_equal(system(command), 0);
}

static struct maker *one_cpuid(void)
{
	static struct maker m;
	start(&m);
	FUNCTION(&m, 0x0f, 0xa2, 0xc3);
	return &m;
}

static void assert_found(struct kept *k, unsigned sites)
{
	struct zvm_prepared p;
	unsigned char first = 0;
	assert_int_equal(zvm_prepared_find(&k->contents, &k->digest, &p), 0);
	assert_int_equal(p.sites, sites);
	assert_int_equal(p.fd >= 0, sites > 0);
	if (p.fd < 0)
		return;
	assert_int_equal(pread(p.fd, &first, 1, CODE_AT), 1);
	assert_int_equal(first, 0xf4);
	close(p.fd);
}

static void assert_not_found(struct kept *k)
{
	struct zvm_prepared p;
	assert_int_equal(zvm_prepared_find(&k->contents, &k->digest, &p), -ENOENT);
	assert_int_equal(p.fd, -1);
}

static void make(struct kept *k)
{
	struct zvm_prepared p;
	assert_int_equal(zvm_prepared_make(&k->contents, &k->digest, k->fd, &p), 0);
	zvm_close_pointer(&p.fd);
}

static void an_image_is_made_once_for_all_who_share_the_store(void **state)
{
	(void)state;
	struct kept k;
	start_kept(&k, one_cpuid());
	assert_not_found(&k);
	struct kept other = k;
	open_kept(&other);
	assert_not_found(&other);
	make(&k);
	assert_found(&k, 1);
	assert_found(&other, 1); /* which had read the table before */
	close_kept(&other);
	close_kept(&k);
	open_kept(&k);
	assert_found(&k, 1);
	end_kept(&k);
}

static void that_there_is_nothing_to_rewrite_is_remembered_too(void **state)
{
	(void)state;
	static struct maker m;
	struct kept k;
	start(&m);
	FUNCTION(&m, 0xc3);
	start_kept(&k, &m);
	make(&k);
	assert_found(&k, 0);
	end_kept(&k);
}

static void damage(const struct kept *k, const char *command)
{
	char line[256];
	snprintf(line, sizeof line, "cd '%s/store' && %s", k->directory, command);
	assert_int_equal(system(line), 0);
}

static void an_image_that_is_gone_or_damaged_is_made_anew(void **state)
{
	(void)state;
	static const char *const commands[] = {
	        "rm -f $(ls -t objects/*/* | head -n 1)",
	        "f=$(ls -t objects/*/* | head -n 1); chmod u+w $f; printf x | dd of=$f bs=1 seek=4096 conv=notrunc "
	        "status=none",
	};
	for (size_t i = 0; i < 2; i++) {
		struct kept k;
		start_kept(&k, one_cpuid());
		usleep(20000); /* so that the image is the youngest object */
		make(&k);
		close_kept(&k);
		damage(&k, commands[i]);
		open_kept(&k);
		assert_not_found(&k);
		make(&k);
		assert_found(&k, 1);
		end_kept(&k);
	}
}

/* The name of a collected object may pass to another content: what was made of the first is not the second's. */
static void an_image_is_not_given_to_another_content_of_the_same_name(void **state)
{
	(void)state;
	struct kept k;
	start_kept(&k, one_cpuid());
	make(&k);
	damage(&k, "f=$(ls -tr objects/*/* | head -n 1); cp $f tmp/o && rm -f $f && mv tmp/o $f");
	assert_not_found(&k);
	end_kept(&k);
}

/* --- files that are made to take long --- */

static void put_symbol(struct maker *m, size_t at, size_t size)
{
	m->f.symbols[m->symbols++] =
	        (Elf64_Sym){.st_info = STT_FUNC, .st_shndx = 1, .st_value = CODE_AT + at, .st_size = size};
}

/* A text that is longer than a maker's, whose symbols it has. */
static void assert_soon_prepared(struct maker *m, const unsigned char *code, size_t size, unsigned unproven)
{
	struct zvm_prepared prepared;
	m->f.sections[1].sh_size = size;
	zvm_autofd int fd = write_file(m);
	m->f.program.p_filesz = m->f.program.p_memsz = size;
	assert_int_equal(pwrite(fd, &m->f, sizeof m->f, 0), sizeof m->f);
	assert_int_equal(pwrite(fd, code, size, CODE_AT), size);
	clock_t before = clock();
	assert_int_equal(zvm_prepare(fd, &prepared), 0);
	assert_true((clock() - before) / CLOCKS_PER_SEC < 10);
	assert_int_equal(prepared.unproven, unproven);
	zvm_close_pointer(&prepared.fd);
}

/* A million of them into a function with two hundred thousand candidates, all of which are insides. */
static void many_branches_into_one_function_are_soon_followed(void **state)
{
	(void)state;
	enum { INSIDES = 200000, BRANCHES = 1000000, LONG = 5, FIRST = 4 };
	static const unsigned char gap[FIRST] = {0x0f, 0xa2, 0x90, 0x90}, inside[LONG] = {0xb8, 0x90, 0x0f, 0xa2, 0x90};
	static struct maker m;
	size_t branches = FIRST + INSIDES * LONG + 1, size = branches + BRANCHES * LONG + 1;
	zvm_autofree unsigned char *code = malloc(size);
	assert_non_null(code);
	start(&m);
	memcpy(code, gap, FIRST);
	for (size_t i = 0; i < INSIDES; i++)
		memcpy(code + FIRST + i * LONG, inside, LONG);
	put_symbol(&m, FIRST, branches - FIRST);
	for (size_t i = 0, at = branches; i < BRANCHES; i++, at += LONG) {
		int32_t back = (int32_t)(FIRST + LONG) - (int32_t)(at + LONG);
		code[at] = 0xe9;
		memcpy(code + at + 1, &back, sizeof back);
	}
	put_symbol(&m, branches, size - branches);
	code[branches - 1] = code[size - 1] = 0xc3;
	assert_soon_prepared(&m, code, size, 1);
}

static void zeros_that_are_no_padding_are_soon_read(void **state)
{
	(void)state;
	enum { ZEROS = 600000 };
	static unsigned char code[ZEROS] = {0xc3, 0x0f, 0xa2};
	static struct maker m;
	code[ZEROS - 1] = 0x90;
	start(&m);
	put_symbol(&m, 0, 1);
	assert_soon_prepared(&m, code, sizeof code, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	        cmocka_unit_test(every_instruction_is_taken_away),
	        cmocka_unit_test(the_insides_of_other_instructions_stay),
	        cmocka_unit_test(what_is_only_like_one_stays),
	        cmocka_unit_test(data_behind_a_jump_is_left_alone),
	        cmocka_unit_test(a_branch_between_boundaries_discredits_a_function),
	        cmocka_unit_test(a_branch_behind_a_lock_prefix_does_not),
	        cmocka_unit_test(a_function_that_does_not_decode_is_left_alone),
	        cmocka_unit_test(what_a_function_calls_is_code_too),
	        cmocka_unit_test(what_nobody_calls_is_unproven),
	        cmocka_unit_test(two_calls_that_contradict_each_other_prove_nothing),
	        cmocka_unit_test(bytes_beside_the_segment_are_counted),
	        cmocka_unit_test(a_hlt_that_looks_like_a_site_becomes_a_cli),
	        cmocka_unit_test(an_image_cannot_be_changed),
	        cmocka_unit_test(without_sites_the_file_itself_is_mapped),
	        cmocka_unit_test(nothing_is_known_of_what_is_no_elf_file),
	        cmocka_unit_test(huge_files_are_not_looked_into),
	        cmocka_unit_test(the_same_table_again_and_again_ends),
	        cmocka_unit_test(millions_of_candidates_end),
	        cmocka_unit_test(only_proven_sites_of_real_libraries_change),
	        cmocka_unit_test(an_image_is_made_once_for_all_who_share_the_store),
	        cmocka_unit_test(that_there_is_nothing_to_rewrite_is_remembered_too),
	        cmocka_unit_test(an_image_that_is_gone_or_damaged_is_made_anew),
	        cmocka_unit_test(an_image_is_not_given_to_another_content_of_the_same_name),
	        cmocka_unit_test(many_branches_into_one_function_are_soon_followed),
	        cmocka_unit_test(zeros_that_are_no_padding_are_soon_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
