/*
 * The load plan and what running a path means. Files are made here byte by byte; the asker is a table instead of a
 * view, so that each question can be counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zvm/box.h>
#include <zvm/cleanup.h>
#include "plan.h"
#include "walk.h"

/* --- made-up ELF files --- */

#define PAGE 4096u

struct file {
	Elf64_Ehdr header;
	Elf64_Phdr program[20];
	char interpreter[64];
};

/* A dynamic program with text and data, as a linker would lay it out. */
static struct file good_file(void)
{
	struct file f = {
	        .header = {.e_ident = ELFMAG,
	                   .e_type = ET_DYN,
	                   .e_machine = EM_X86_64,
	                   .e_version = EV_CURRENT,
	                   .e_entry = 0x1000,
	                   .e_phoff = sizeof(Elf64_Ehdr),
	                   .e_ehsize = sizeof(Elf64_Ehdr),
	                   .e_phentsize = sizeof(Elf64_Phdr),
	                   .e_phnum = 5},
	        .interpreter = "/lib64/ld-linux-x86-64.so.2",
	};
	memcpy(f.header.e_ident + EI_CLASS, (unsigned char[]){ELFCLASS64, ELFDATA2LSB, EV_CURRENT}, 3);
	f.program[0] = (Elf64_Phdr){
	        .p_type = PT_INTERP, .p_offset = offsetof(struct file, interpreter), .p_filesz = 28, .p_memsz = 28};
	f.program[1] = (Elf64_Phdr){
	        .p_type = PT_LOAD, .p_flags = PF_R, .p_filesz = sizeof f, .p_memsz = sizeof f, .p_align = PAGE};
	f.program[2] = (Elf64_Phdr){.p_type = PT_LOAD,
	                            .p_flags = PF_R | PF_X,
	                            .p_vaddr = 0x1000,
	                            .p_offset = 0x1000,
	                            .p_filesz = 0x234,
	                            .p_memsz = 0x234,
	                            .p_align = PAGE};
	f.program[3] = (Elf64_Phdr){.p_type = PT_LOAD,
	                            .p_flags = PF_R | PF_W,
	                            .p_vaddr = 0x2ff0,
	                            .p_offset = 0x1ff0,
	                            .p_filesz = 0x10,
	                            .p_memsz = 0x5000,
	                            .p_align = PAGE};
	f.program[4] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W};
	return f;
}

static int write_elf(const struct file *f, size_t size)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, f, size < sizeof *f ? size : sizeof *f, 0),
	                 (ssize_t)(size < sizeof *f ? size : sizeof *f));
	return fd;
}

static int plan_sized(const struct file *f, size_t size, struct zvm_image *image, char *interpreter,
                      const char **reason)
{
	zvm_autofd int fd = write_elf(f, size);
	return zvm_plan_image(fd, image, interpreter, reason);
}

static int plan(const struct file *f, struct zvm_image *image, char *interpreter, const char **reason)
{
	return plan_sized(f, 0x2000, image, interpreter, reason);
}

static void assert_refused(const struct file *f, const char *part_of_reason)
{
	struct zvm_image image;
	char interpreter[ZVM_PATH_MAX];
	const char *reason;
	assert_int_equal(plan(f, &image, interpreter, &reason), -ENOEXEC);
	assert_non_null(reason);
	if (!strstr(reason, part_of_reason))
		fail_msg("refused because %s, not because of %s", reason, part_of_reason);
}

static void assert_accepted(const struct file *f)
{
	struct zvm_image image;
	char interpreter[ZVM_PATH_MAX];
	const char *reason;
	if (plan(f, &image, interpreter, &reason))
		fail_msg("refused because %s", reason);
}

static void a_good_file_becomes_a_plan(void **state)
{
	(void)state;
	struct file f = good_file();
	struct zvm_image image;
	char interpreter[ZVM_PATH_MAX];
	const char *reason;
	assert_int_equal(plan(&f, &image, interpreter, &reason), 0);
	assert_string_equal(interpreter, "/lib64/ld-linux-x86-64.so.2");
	assert_int_equal(image.entry, 0x1000);
	assert_true(image.relocatable && !image.executable_stack);
	assert_int_equal(image.segment_count, 3);
	assert_int_equal(image.low, 0);
	assert_int_equal(image.high, 0x8000);
	assert_int_equal(image.program_headers, sizeof(Elf64_Ehdr));
	assert_int_equal(image.program_header_count, 5);
	assert_int_equal(image.segments[1].protection, PROT_READ | PROT_EXEC);
	assert_int_equal(image.segments[2].address, 0x2ff0);
	assert_int_equal(image.segments[2].file_offset, 0x1ff0);
	assert_int_equal(image.segments[2].file_size, 0x10);
	assert_int_equal(image.segments[2].memory_size, 0x5000);
	assert_int_equal(image.segments[2].protection, PROT_READ | PROT_WRITE);
}

static void the_stack_is_executable_only_on_request(void **state)
{
	(void)state;
	struct file f = good_file();
	struct zvm_image image;
	char interpreter[ZVM_PATH_MAX];
	const char *reason;
	f.program[4].p_flags |= PF_X;
	assert_int_equal(plan(&f, &image, interpreter, &reason), 0);
	assert_true(image.executable_stack);
	f.header.e_phnum = 4;
	assert_int_equal(plan(&f, &image, interpreter, &reason), 0);
	assert_false(image.executable_stack);
}

static void files_for_other_machines_are_refused(void **state)
{
	(void)state;
	struct file f = good_file();
	f.header.e_machine = EM_AARCH64;
	assert_refused(&f, "another machine");
	f = good_file();
	f.header.e_ident[EI_CLASS] = ELFCLASS32;
	assert_refused(&f, "another machine");
	f = good_file();
	f.header.e_ident[EI_DATA] = ELFDATA2MSB;
	assert_refused(&f, "another machine");
	f = good_file();
	f.header.e_type = ET_REL;
	assert_refused(&f, "not a program");
	f.header.e_type = ET_CORE;
	assert_refused(&f, "not a program");
	f = good_file();
	f.header.e_ident[0] = 'M';
	assert_refused(&f, "neither");
}

static void damaged_headers_are_refused(void **state)
{
	(void)state;
	struct file f = good_file();
	f.header.e_phnum = 0;
	assert_refused(&f, "program headers");
	f.header.e_phnum = 65535;
	assert_refused(&f, "program headers");
	f = good_file();
	f.header.e_phentsize = 32;
	assert_refused(&f, "program headers");
	f = good_file();
	f.header.e_phoff = 0x1fff;
	assert_refused(&f, "cut short");
	f.header.e_phoff = UINT64_MAX - 10;
	assert_refused(&f, "cut short");
	f = good_file();
	f.header.e_ident[EI_VERSION] = 9;
	assert_refused(&f, "damaged");
	f = good_file();
	f.program[1].p_type = f.program[2].p_type = f.program[3].p_type = PT_NULL;
	assert_refused(&f, "nothing to load");
}

static void section_headers_are_not_even_looked_at(void **state)
{
	(void)state;
	struct file f = good_file();
	f.header.e_shoff = UINT64_MAX - 3;
	f.header.e_shnum = 0;
	f.header.e_shentsize = 1;
	f.header.e_shstrndx = 65535;
	assert_accepted(&f);
	f.header.e_shnum = 65535;
	f.header.e_shoff = 64;
	assert_accepted(&f);
}

static void impossible_segments_are_refused(void **state)
{
	(void)state;
	struct file f = good_file();
	f.program[2].p_filesz = f.program[2].p_memsz = 0x2000;
	assert_refused(&f, "cut short");
	f = good_file();
	f.program[2].p_filesz = f.program[2].p_memsz = UINT64_MAX;
	assert_refused(&f, "size is impossible");
	f = good_file();
	f.program[2].p_filesz = 0x235;
	assert_refused(&f, "size is impossible");
	f = good_file();
	f.program[2].p_offset = UINT64_MAX - 0x100;
	assert_refused(&f, "cut short");
	f = good_file();
	f.program[2].p_offset = 0x1010;
	assert_refused(&f, "not aligned");
	f = good_file();
	f.program[3].p_vaddr = 0x1ff0;
	assert_refused(&f, "overlap");
	f = good_file();
	f.program[3].p_vaddr = 0x0ff0;
	assert_refused(&f, "overlap");
	f = good_file();
	f.program[3].p_vaddr = 0x8000000000000ff0;
	assert_refused(&f, "size is impossible");
	f = good_file();
	f.program[3].p_vaddr = 0x500002ff0;
	assert_refused(&f, "spread too far");
	f = good_file();
	f.program[3].p_memsz = 17ull << 30;
	assert_refused(&f, "size is impossible");
	f = good_file();
	for (int i = 3; i < 20; i++)
		f.program[i] =
		        (Elf64_Phdr){.p_type = PT_LOAD, .p_flags = PF_R, .p_vaddr = (uint64_t)i * PAGE, .p_memsz = 1};
	f.header.e_phnum = 20;
	assert_refused(&f, "too many segments");
}

static void segments_without_bytes_need_no_place_in_the_file(void **state)
{
	(void)state;
	struct file f = good_file();
	f.program[3].p_filesz = 0;
	f.program[3].p_offset = 0x123456789;
	assert_accepted(&f);
	f.program[3].p_memsz = 0;
	f.program[3].p_vaddr = UINT64_MAX;
	assert_accepted(&f);
}

static void fixed_programs_stay_off_the_lowest_addresses(void **state)
{
	(void)state;
	struct file f = good_file();
	f.header.e_type = ET_EXEC;
	assert_refused(&f, "lowest");
	for (int i = 1; i < 4; i++)
		f.program[i].p_vaddr += 0x400000;
	f.header.e_entry += 0x400000;
	assert_accepted(&f);
	for (int i = 1; i < 4; i++)
		f.program[i].p_vaddr += ZVM_GUEST_END - 0x800000;
	assert_refused(&f, "size is impossible");
}

static void the_entry_must_be_code(void **state)
{
	(void)state;
	static const uint64_t bad[] = {0, 0x40, 0xfff, 0x1234, 0x2ff0, 0x9000, UINT64_MAX};
	struct file f = good_file();
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		f.header.e_entry = bad[i];
		assert_refused(&f, "entry point");
	}
	f.header.e_entry = 0x1233;
	assert_accepted(&f);
}

static void the_interpreters_name_is_checked(void **state)
{
	(void)state;
	struct file f = good_file();
	f.program[0].p_filesz = 27; /* no NUL */
	assert_refused(&f, "interpreter");
	f.program[0].p_filesz = 1;
	assert_refused(&f, "interpreter");
	f.program[0].p_filesz = ZVM_PATH_MAX + 1;
	assert_refused(&f, "interpreter");
	f.program[0].p_filesz = UINT64_MAX;
	assert_refused(&f, "interpreter");
	f.program[0].p_filesz = 28;
	f.program[0].p_offset = UINT64_MAX - 3;
	assert_refused(&f, "interpreter");
	f = good_file();
	f.interpreter[0] = 'x';
	assert_refused(&f, "absolute");
	f = good_file();
	f.program[4] = f.program[0];
	assert_refused(&f, "interpreter");
}

static void every_truncation_is_refused_and_none_crashes(void **state)
{
	(void)state;
	struct file f = good_file();
	struct zvm_image image;
	char interpreter[ZVM_PATH_MAX];
	const char *reason;
	for (size_t size = 0; size < 0x2000; size += size < sizeof f ? 1 : 97) {
		int r = plan_sized(&f, size, &image, interpreter, &reason);
		assert_int_equal(r, -ENOEXEC);
		assert_non_null(reason);
	}
}

static void real_programs_are_accepted(void **state)
{
	(void)state;
	static const char *const paths[] = {"/proc/self/exe", "/usr/bin/env", "/lib64/ld-linux-x86-64.so.2"};
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
		struct zvm_image image;
		char interpreter[ZVM_PATH_MAX];
		const char *reason;
		zvm_autofd int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(zvm_plan_image(fd, &image, interpreter, &reason), 0);
		assert_int_equal(!*interpreter, i == 2);
		assert_true(image.program_headers != 0);
	}
}

/* --- a table of guest files --- */

enum { LINK = 2 };

static struct guest_file {
	const char *path, *text; /* of a LINK: its target; NULL: the good ELF file */
	int mode, asked_open;
} guest_files[] = {
        {"/usr/bin/python3.11", NULL, 0755, 0},
        {"/usr/bin/python3", "python3.11", LINK, 0},
        {"/usr/bin/env", NULL, 0755, 0},
        {"/usr/bin/awk", "/etc/alternatives/awk", LINK, 0},
        {"/etc/alternatives/awk", "../../usr/bin/mawk", LINK, 0},
        {"/usr/bin/mawk", NULL, 0755, 0},
        {"/usr/bin/notes", "text", 0644, 0},
        {"/lib64/ld-linux-x86-64.so.2", NULL, 0755, 0},
        {"/script/plain", "just text\n", 0755, 0},
        {"/script/empty", "", 0755, 0},
        {"/script/py", "#!/usr/bin/python3 -B  \nprint(1)\n", 0755, 0},
        {"/script/env", "#!/usr/bin/env python3\n", 0755, 0},
        {"/script/nested", "#! \t/script/py\tx y \n", 0755, 0},
        {"/script/missing", "#!/usr/bin/nosuch\n", 0755, 0},
        {"/script/env-missing", "#!/usr/bin/env nosuch\n", 0755, 0},
        {"/script/env-words", "#!/usr/bin/env python3 -u\n", 0755, 0},
        {"/script/env-split", "#!/usr/bin/env -S python3  -u -B\n", 0755, 0},
        {"/script/env-quoted", "#!/usr/bin/env -S python3 'a b'\n", 0755, 0},
        {"/script/env-option", "#!/usr/bin/env -i\n", 0755, 0},
        {"/script/env-variable", "#!/usr/bin/env A=1\n", 0755, 0},
        {"/script/forbidden", "#!/usr/bin/notes\n", 0755, 0},
        {"/script/blank", "#! \t \n", 0755, 0},
        {"/script/self", "#!/script/self\n", 0755, 0},
        {"/script/cr", "#!/usr/bin/python3\r\n", 0755, 0},
        {"/script/control", "#!/usr/bin/\x1b[2J\n", 0755, 0},
        {"/script/no-newline", "#!/usr/bin/python3", 0755, 0},
        {"/script/nul", "#!/usr/bin/python3\0garbage\n", 0755, 0},
        {"/script/wrong-elf",
         "\x7f"
         "ELF",
         0755, 0},
};
#define FILE_COUNT (sizeof guest_files / sizeof guest_files[0])

static unsigned absent_asked;

static struct guest_file *find_file(const char *path)
{
	for (size_t i = 0; i < FILE_COUNT; i++)
		if (!strcmp(guest_files[i].path, path))
			return &guest_files[i];
	return NULL;
}

/* The three links of the table, as a walk would follow them. */
static const char *resolved(const char *path)
{
	if (!strcmp(path, "/usr/bin/awk") || !strcmp(path, "/etc/alternatives/awk"))
		return "/usr/bin/mawk";
	return !strcmp(path, "/usr/bin/python3") ? "/usr/bin/python3.11" : path;
}

static int open_file(const struct guest_file *file)
{
	struct file elf = good_file();
	if (!file->text)
		return write_elf(&elf, 0x2000);
	size_t size = !strcmp(file->path, "/script/nul") ? 27 : strlen(file->text);
	int fd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(write(fd, file->text, size), (ssize_t)size);
	return fd;
}

static int ask(void *context, const struct zvm_question *question, bool want_fd, struct zvm_answer *ret)
{
	const char *path = question->flags & ZVM_ASK_NOFOLLOW ? question->path : resolved(question->path);
	struct guest_file *file = find_file(path);
	assert_ptr_equal(context, guest_files);
	*ret = (struct zvm_answer){.fd = -1};
	if (!strcmp(path, "/usr") || !strcmp(path, "/usr/bin") || !strcmp(path, "/etc") ||
	    !strcmp(path, "/etc/alternatives")) {
		ret->mode = S_IFDIR | 0755;
		return 0;
	}
	if (!file) {
		absent_asked++;
		ret->error = -ENOENT;
		return 0;
	}
	ret->inode = zvm_canonical_inode(path);
	ret->mode = file->mode == LINK ? S_IFLNK | 0777 : S_IFREG | (mode_t)file->mode;
	if (file->mode == LINK)
		ret->text = strdup(file->text);
	if (question->kind == ZVM_ASK_OPEN) {
		file->asked_open++;
		ret->fd = want_fd ? open_file(file) : -1;
	}
	return 0;
}

static int resolve(const char *path, struct zvm_program *ret)
{
	static const char *const arguments[] = {"one", "two", NULL};
	absent_asked = 0;
	return zvm_program_resolve(ask, guest_files, path, -1, NULL, arguments, NULL, ret);
}

static void assert_runs(const char *path, const char *executable, const char *command_line)
{
	struct zvm_program p;
	char line[512] = "";
	if (resolve(path, &p))
		fail_msg("%s does not run: %s", path, p.message);
	for (char **a = p.arguments; *a; a++)
		snprintf(line + strlen(line), sizeof line - strlen(line), "%s<%s>", a == p.arguments ? "" : " ", *a);
	assert_string_equal(line, command_line);
	assert_string_equal(p.executable, executable);
	assert_true(p.fd >= 0 && p.has_interpreter && p.interpreter_fd >= 0);
	assert_int_equal(p.image.entry, 0x1000);
	zvm_program_free(&p);
}

static void assert_does_not_run(const char *path, int error, const char *part_of_message)
{
	struct zvm_program p;
	assert_int_equal(resolve(path, &p), error);
	assert_non_null(p.message);
	if (!strstr(p.message, part_of_message))
		fail_msg("%s says: %s", path, p.message);
	for (const char *c = p.message; *c; c++)
		assert_true(*c >= ' ' && *c <= '~');
	assert_true(p.fd < 0 && p.interpreter_fd < 0);
	zvm_program_free(&p);
}

static void programs_get_their_arguments_as_from_the_kernel(void **state)
{
	(void)state;
	assert_runs("/usr/bin/env", "/usr/bin/env", "<env> <one> <two>");
	assert_runs("/usr/bin/awk", "/usr/bin/mawk", "<awk> <one> <two>");
	assert_runs("/script/py", "/usr/bin/python3.11", "</usr/bin/python3> <-B> </script/py> <one> <two>");
	assert_runs("/script/nested", "/usr/bin/python3.11",
	            "</usr/bin/python3> <-B> </script/py> <x y> </script/nested> <one> <two>");
	assert_runs("/script/no-newline", "/usr/bin/python3.11", "</usr/bin/python3> </script/no-newline> <one> <two>");
	assert_runs("/script/nul", "/usr/bin/python3.11", "</usr/bin/python3> </script/nul> <one> <two>");
}

static void env_is_resolved_along_the_path_of_the_environment(void **state)
{
	(void)state;
	static const char *const none[] = {NULL}, *const usual[] = {"A=B", "PATH=relative:/nowhere::/usr/bin", NULL},
	                         *const vain[] = {"PATH=/nowhere:", NULL}, *const empty[] = {"PATH=", NULL};
	struct zvm_program p;
	absent_asked = 0;
	assert_int_equal(zvm_program_resolve(ask, guest_files, "/script/env", -1, NULL, none, usual, &p), 0);
	assert_string_equal(p.executable, "/usr/bin/python3.11");
	assert_int_equal(absent_asked, 1); /* /nowhere/python3 */
	zvm_program_free(&p);
	assert_int_equal(zvm_program_resolve(ask, guest_files, "/script/env", -1, NULL, none, vain, &p), -ENOENT);
	assert_non_null(strstr(p.message, "PATH (/nowhere:)"));
	zvm_program_free(&p);
	assert_int_equal(zvm_program_resolve(ask, guest_files, "/script/env", -1, NULL, none, empty, &p), -ENOENT);
	zvm_program_free(&p);
}

static void env_is_resolved_along_the_path_and_absences_are_asked(void **state)
{
	(void)state;
	struct guest_file *env = find_file("/usr/bin/env");
	env->asked_open = 0;
	assert_runs("/script/env", "/usr/bin/python3.11", "<python3> </script/env> <one> <two>");
	assert_int_equal(absent_asked, 1); /* /usr/local/bin/python3 */
	assert_runs("/script/env-split", "/usr/bin/python3.11", "<python3> <-u> <-B> </script/env-split> <one> <two>");
	assert_int_equal(env->asked_open, 0);
	assert_does_not_run("/script/env-missing", -ENOENT,
	                    "nosuch, the interpreter named by /script/env-missing, is not in");
	assert_int_equal(absent_asked, 3);
	assert_does_not_run("/script/env-words", -ENOENT, "python3 -u, the interpreter");
}

static void what_env_alone_understands_is_left_to_env(void **state)
{
	(void)state;
	assert_runs("/script/env-quoted", "/usr/bin/env",
	            "</usr/bin/env> <-S python3 'a b'> </script/env-quoted> <one> <two>");
	assert_runs("/script/env-option", "/usr/bin/env", "</usr/bin/env> <-i> </script/env-option> <one> <two>");
	assert_runs("/script/env-variable", "/usr/bin/env", "</usr/bin/env> <A=1> </script/env-variable> <one> <two>");
}

static void what_cannot_be_run_says_why(void **state)
{
	(void)state;
	assert_does_not_run("/script/nosuch", -ENOENT, "/script/nosuch does not exist");
	assert_does_not_run("/usr/bin/notes", -EACCES, "/usr/bin/notes is not executable");
	assert_does_not_run("/script/plain", -ENOEXEC, "neither");
	assert_does_not_run("/script/empty", -ENOEXEC, "neither");
	assert_does_not_run("/script/wrong-elf", -ENOEXEC, "cut short");
	assert_does_not_run("/script/missing", -ENOENT,
	                    "/usr/bin/nosuch, the interpreter named by /script/missing, does not exist");
	assert_does_not_run("/script/forbidden", -EACCES, "is not executable");
	assert_does_not_run("/script/blank", -ENOEXEC, "names no interpreter");
	assert_does_not_run("/script/self", -ELOOP, "5 interpreters");
	assert_does_not_run("/script/cr", -ENOENT, "/usr/bin/python3?,");
	assert_does_not_run("/script/control", -ENOENT, "/usr/bin/?[2J");
}

static void the_caller_may_give_the_name_and_the_open_file(void **state)
{
	(void)state;
	static const char *const none[] = {NULL};
	struct file elf = good_file();
	struct zvm_program p;
	zvm_autofd int fd = write_elf(&elf, 0x2000);
	assert_int_equal(zvm_program_resolve(ask, guest_files, "/usr/bin/mawk", fd, "-name", none, NULL, &p), 0);
	assert_string_equal(p.arguments[0], "-name");
	assert_null(p.arguments[1]);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	zvm_program_free(&p);
	assert_int_equal(zvm_program_resolve(ask, guest_files, "/script/x", fd, NULL, none, NULL, &p), 0);
	assert_string_equal(p.arguments[0], "/script/x");
	zvm_program_free(&p);
}

static void a_check_reads_only_the_file(void **state)
{
	(void)state;
	static const struct {
		const char *path;
		int result;
	} cases[] = {{"/script/py", 0},
	             {"/script/missing", 0},
	             {"/usr/bin/env", 0},
	             {"/script/plain", -ENOEXEC},
	             {"/script/empty", -ENOEXEC},
	             {"/script/blank", -ENOEXEC},
	             {"/script/wrong-elf", -ENOEXEC}};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char *message = NULL;
		zvm_autofd int fd = open_file(find_file(cases[i].path));
		assert_int_equal(zvm_box_check_program(fd, &message), cases[i].result);
		assert_int_equal(message != NULL, cases[i].result != 0);
		free(message);
		assert_int_equal(zvm_box_check_program(fd, NULL), cases[i].result);
	}
	zvm_autofd int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *message = NULL;
	assert_int_equal(zvm_box_check_program(directory, &message), -ENOEXEC);
	assert_non_null(message);
	free(message);
}

/* The kernel reads 256 bytes: the name must be complete in 255 of them, an argument is cut. */
static void long_lines_are_cut_as_the_kernel_cuts_them(void **state)
{
	(void)state;
	static const char *const none[] = {NULL};
	char line[400];
	struct zvm_program p;
	zvm_autofd int fd = memfd_create("long", MFD_CLOEXEC);
	memset(line, 'a', sizeof line);
	memcpy(line, "#!/usr/bin/python3 ", 19);
	assert_int_equal(pwrite(fd, line, sizeof line, 0), sizeof line);
	assert_int_equal(zvm_program_resolve(ask, guest_files, "/script/long", fd, NULL, none, NULL, &p), 0);
	assert_int_equal(strlen(p.arguments[1]), 255 - 19);
	zvm_program_free(&p);
	memset(line + 2, 'a', 300);
	assert_int_equal(pwrite(fd, line, sizeof line, 0), sizeof line);
	assert_int_equal(zvm_program_resolve(ask, guest_files, "/script/long", fd, NULL, none, NULL, &p), -ENOEXEC);
	zvm_program_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_good_file_becomes_a_plan),
	        cmocka_unit_test(the_stack_is_executable_only_on_request),
	        cmocka_unit_test(files_for_other_machines_are_refused),
	        cmocka_unit_test(damaged_headers_are_refused),
	        cmocka_unit_test(section_headers_are_not_even_looked_at),
	        cmocka_unit_test(impossible_segments_are_refused),
	        cmocka_unit_test(segments_without_bytes_need_no_place_in_the_file),
	        cmocka_unit_test(fixed_programs_stay_off_the_lowest_addresses),
	        cmocka_unit_test(the_entry_must_be_code),
	        cmocka_unit_test(the_interpreters_name_is_checked),
	        cmocka_unit_test(every_truncation_is_refused_and_none_crashes),
	        cmocka_unit_test(real_programs_are_accepted),
	        cmocka_unit_test(programs_get_their_arguments_as_from_the_kernel),
	        cmocka_unit_test(env_is_resolved_along_the_path_of_the_environment),
	        cmocka_unit_test(env_is_resolved_along_the_path_and_absences_are_asked),
	        cmocka_unit_test(what_env_alone_understands_is_left_to_env),
	        cmocka_unit_test(what_cannot_be_run_says_why),
	        cmocka_unit_test(the_caller_may_give_the_name_and_the_open_file),
	        cmocka_unit_test(a_check_reads_only_the_file),
	        cmocka_unit_test(long_lines_are_cut_as_the_kernel_cuts_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
