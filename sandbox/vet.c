/*
 * What a program is made of: the scripts that lead to it, the ELF file, its ELF interpreter, and the libraries that
 * these name, each file once, in the order of need. Libraries are looked for as ld.so would, in DT_RUNPATH and in the
 * standard directories. Nothing is run: running a stranger's program to ask it for its libraries is what ldd warns of.
 */
#include <zvm/vet.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zvm/cleanup.h>
#include "plan.h"
#include "vet_code.h"
#include "walk.h"

#define FILES_MAX 1000

static const char *const standard_directories[] = {
        "/lib/x86_64-linux-gnu",
        "/usr/lib/x86_64-linux-gnu",
        "/lib64",
        "/usr/lib64",
        "/lib",
        "/usr/lib",
        "/usr/local/lib",
        "/usr/local/lib64",
        "/usr/local/lib/x86_64-linux-gnu",
};
static const char *const program_directories[] = {"/usr/local/bin", "/usr/bin", "/bin"};

struct identity {
	dev_t device;
	ino_t inode;
};

struct closure {
	struct zvm_vetting *vetting;
	struct identity *seen; /* as long as vetting->files */
	char *run_path;        /* DT_RPATH of the program, which its libraries inherit */
};

const char *zvm_hazard_name(enum zvm_hazard hazard)
{
	static const char *const names[ZVM_HAZARD_COUNT] = {
	        [ZVM_HAZARD_CPUID] = "cpuid",       [ZVM_HAZARD_XGETBV] = "xgetbv",
	        [ZVM_HAZARD_RDTSC] = "rdtsc",       [ZVM_HAZARD_RDTSCP] = "rdtscp",
	        [ZVM_HAZARD_RDRAND] = "rdrand",     [ZVM_HAZARD_RDSEED] = "rdseed",
	        [ZVM_HAZARD_RDPID] = "rdpid",       [ZVM_HAZARD_RDPRU] = "rdpru",
	        [ZVM_HAZARD_RDPMC] = "rdpmc",       [ZVM_HAZARD_LSL] = "lsl",
	        [ZVM_HAZARD_XBEGIN] = "xbegin",     [ZVM_HAZARD_TABLES] = "tables",
	        [ZVM_HAZARD_XSAVE] = "xsave",       [ZVM_HAZARD_APPROXIMATE] = "approximate",
	        [ZVM_HAZARD_LEGACY_CALL] = "int80",
	};
	return names[hazard];
}

static const char *errno_text(int r)
{
	return strerror(-r);
}

/* --- the list --- */

static struct zvm_vetted_file *add_file(struct closure *c, const char *path, enum zvm_vetted_role role,
                                        const struct stat *st)
{
	struct zvm_vetting *v = c->vetting;
	if (v->count >= FILES_MAX)
		return NULL;
	struct zvm_vetted_file *files = realloc(v->files, (v->count + 1) * sizeof *files);
	if (files)
		v->files = files;
	struct identity *seen = realloc(c->seen, (v->count + 1) * sizeof *seen);
	if (seen)
		c->seen = seen;
	char *copy = strdup(path);
	if (!files || !seen || !copy) {
		free(copy);
		return NULL;
	}
	files[v->count] = (struct zvm_vetted_file){.path = copy, .role = role, .missing = !st};
	seen[v->count] = st ? (struct identity){st->st_dev, st->st_ino} : (struct identity){0, 0};
	return &files[v->count++];
}

static bool already_there(const struct closure *c, const struct stat *st)
{
	for (unsigned i = 0; i < c->vetting->count; i++)
		if (!c->vetting->files[i].missing && c->seen[i].device == st->st_dev && c->seen[i].inode == st->st_ino)
			return true;
	return false;
}

static bool already_missing(const struct closure *c, const char *name)
{
	for (unsigned i = 0; i < c->vetting->count; i++)
		if (c->vetting->files[i].missing && !strcmp(c->vetting->files[i].path, name))
			return true;
	return false;
}

/* --- one ELF file --- */

struct dynamic {
	uint64_t strings, strings_size, run_path;
	bool has_run_path, inherited; /* DT_RPATH is, DT_RUNPATH is not */
};

static const char *dynamic_string(const struct zvm_elf_bytes *elf, const struct dynamic *d, uint64_t offset)
{
	if (offset >= d->strings_size)
		return NULL;
	uint64_t left = zvm_elf_left(elf, d->strings + offset);
	if (left > d->strings_size - offset)
		left = d->strings_size - offset;
	const unsigned char *text = left ? zvm_elf_at(elf, d->strings + offset, left) : NULL;
	return text && memchr(text, 0, left) ? (const char *)text : NULL;
}

/* The entries of PT_DYNAMIC that hold where strings are; *ret_count is how many entries there are. */
static const unsigned char *read_dynamic(const struct zvm_elf_bytes *elf, struct dynamic *d, uint64_t *ret_count)
{
	uint64_t address, size;
	Elf64_Dyn entry;
	*d = (struct dynamic){0};
	*ret_count = 0;
	if (!zvm_elf_header(elf, PT_DYNAMIC, &address, &size))
		return NULL;
	const unsigned char *at = zvm_elf_at(elf, address, size);
	if (!at)
		return NULL;
	for (uint64_t i = 0; i < size / sizeof entry; i++) {
		memcpy(&entry, at + i * sizeof entry, sizeof entry);
		if (entry.d_tag == DT_NULL)
			break;
		++*ret_count;
		if (entry.d_tag == DT_STRTAB)
			d->strings = entry.d_un.d_ptr;
		else if (entry.d_tag == DT_STRSZ)
			d->strings_size = entry.d_un.d_val;
		else if (entry.d_tag == DT_RUNPATH || (entry.d_tag == DT_RPATH && !d->has_run_path)) {
			d->run_path = entry.d_un.d_val;
			d->has_run_path = true;
			d->inherited = entry.d_tag == DT_RPATH;
		}
	}
	return at;
}

/* --- finding libraries --- */

static int open_library(const char *path, struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode))
		return fd;
	zvm_close_pointer(&fd);
	return -1;
}

/* One directory of a run path, $ORIGIN expanded; false: too long. */
static bool expand(const char *item, size_t length, const char *user, const char *name, char path[ZVM_PATH_MAX])
{
	static const char *const origins[] = {"${ORIGIN}", "$ORIGIN"};
	const char *slash = strrchr(user, '/');
	int n = -1;
	for (size_t i = 0; i < 2 && n < 0; i++) {
		size_t skip = strlen(origins[i]);
		if (length >= skip && !memcmp(item, origins[i], skip))
			n = snprintf(path, ZVM_PATH_MAX, "%.*s%.*s/%s", slash ? (int)(slash - user) : 0, user,
			             (int)(length - skip), item + skip, name);
	}
	if (n < 0)
		n = snprintf(path, ZVM_PATH_MAX, "%.*s/%s", (int)length, item, name);
	return n < ZVM_PATH_MAX;
}

static int find_in_run_path(const char *run_path, const char *user, const char *name, char path[ZVM_PATH_MAX],
                            struct stat *st)
{
	for (const char *at = run_path; at && *at;) {
		size_t length = strcspn(at, ":");
		int fd = length < ZVM_PATH_MAX && expand(at, length, user, name, path) ? open_library(path, st) : -1;
		if (fd >= 0)
			return fd;
		at += length;
		at += *at == ':';
	}
	return -1;
}

static int find_library(const struct closure *c, const char *run_path, const char *user, const char *name,
                        char path[ZVM_PATH_MAX], struct stat *st)
{
	if (strlen(name) >= ZVM_PATH_MAX)
		return -1;
	if (strchr(name, '/')) {
		memcpy(path, name, strlen(name) + 1);
		return open_library(path, st);
	}
	int fd = find_in_run_path(run_path, user, name, path, st);
	if (fd < 0)
		fd = find_in_run_path(c->run_path, user, name, path, st);
	for (size_t i = 0; fd < 0 && i < sizeof standard_directories / sizeof standard_directories[0]; i++)
		if (snprintf(path, ZVM_PATH_MAX, "%s/%s", standard_directories[i], name) < ZVM_PATH_MAX)
			fd = open_library(path, st);
	return fd;
}

static int vet_elf(struct closure *c, int fd, const char *path, enum zvm_vetted_role role);

static int vet_library(struct closure *c, const char *run_path, const char *user, const char *name)
{
	char path[ZVM_PATH_MAX];
	struct stat st;
	zvm_autofd int fd = find_library(c, run_path, user, name, path, &st);
	if (fd >= 0)
		return already_there(c, &st) ? 0 : vet_elf(c, fd, path, ZVM_VETTED_LIBRARY);
	if (!already_missing(c, name) && !add_file(c, name, ZVM_VETTED_LIBRARY, NULL))
		return -ENOMEM;
	return 0;
}

static int vet_needed(struct closure *c, const struct zvm_elf_bytes *elf, const char *path, enum zvm_vetted_role role)
{
	struct dynamic d;
	uint64_t entries;
	Elf64_Dyn entry;
	const unsigned char *at = read_dynamic(elf, &d, &entries);
	const char *run_path = d.has_run_path ? dynamic_string(elf, &d, d.run_path) : NULL;
	if (role == ZVM_VETTED_PROGRAM && run_path && d.inherited && !(c->run_path = strdup(run_path)))
		return -ENOMEM;
	for (uint64_t i = 0; at && i < entries; i++) {
		memcpy(&entry, at + i * sizeof entry, sizeof entry);
		const char *name = entry.d_tag == DT_NEEDED ? dynamic_string(elf, &d, entry.d_un.d_val) : NULL;
		int r = name && *name ? vet_library(c, run_path, path, name) : 0;
		if (r)
			return r;
	}
	return 0;
}

static int vet_elf(struct closure *c, int fd, const char *path, enum zvm_vetted_role role)
{
	struct zvm_image image;
	struct stat st;
	char interpreter[ZVM_PATH_MAX];
	const char *reason;
	zvm_autofree unsigned char *data = NULL;
	size_t size;
	int r = fstat(fd, &st) < 0 ? -errno : zvm_elf_read(fd, &data, &size);
	if (r)
		return r;
	struct zvm_vetted_file *file = add_file(c, path, role, &st);
	if (!file)
		return c->vetting->count < FILES_MAX ? -ENOMEM : 0;
	r = zvm_plan_library(fd, &image, interpreter, &reason);
	if (r == -ENOEXEC) { /* not a library after all: a linker script, another machine's */
		file->missing = true;
		return 0;
	}
	if (r)
		return r;
	struct zvm_elf_bytes elf = {.data = data, .size = size, .image = &image};
	r = zvm_vet_code(&elf, file);
	return r ? r : vet_needed(c, &elf, path, role);
}

/* --- from the path to the program --- */

/* The host itself, for zvm_program_resolve: every file is what it is. Opened files are kept in order. */
struct host {
	char *opened[16];
	unsigned count;
};

static int ask_host(void *context, const struct zvm_question *question, bool want_fd, struct zvm_answer *ret)
{
	struct host *host = context;
	struct stat st;
	*ret = (struct zvm_answer){.fd = -1, .inode = zvm_canonical_inode(question->path)};
	if (stat(question->path, &st) < 0) {
		ret->error = -errno;
		return 0;
	}
	ret->mode = st.st_mode;
	if (question->kind != ZVM_ASK_OPEN || !want_fd || !S_ISREG(st.st_mode))
		return 0;
	ret->fd = open_library(question->path, &st);
	if (ret->fd < 0)
		ret->error = -EACCES;
	else if ((st.st_mode & 0111) && host->count < sizeof host->opened / sizeof host->opened[0] &&
	         (host->opened[host->count] = strdup(question->path)))
		host->count++;
	return 0;
}

/* The scripts that led to the program, the program, its ELF interpreter; then libraries of both. */
static int vet_chain(struct closure *c, const struct zvm_program *program, const struct host *host)
{
	unsigned least = program->has_interpreter ? 2 : 1, last = host->count - least;
	int r = 0;
	if (host->count < least)
		return -ENOMEM;
	for (unsigned i = 0; i < last && r == 0; i++) {
		struct stat st;
		zvm_autofd int fd = open_library(host->opened[i], &st);
		if (fd >= 0 && !already_there(c, &st) && !add_file(c, host->opened[i], ZVM_VETTED_SCRIPT, &st))
			r = -ENOMEM;
	}
	r = r ? r : vet_elf(c, program->fd, host->opened[last], ZVM_VETTED_PROGRAM);
	if (r || !program->has_interpreter)
		return r;
	struct stat st;
	if (fstat(program->interpreter_fd, &st) < 0)
		return -errno;
	for (unsigned i = 0; i < c->vetting->count; i++)
		if (c->seen[i].device == st.st_dev && c->seen[i].inode == st.st_ino) {
			c->vetting->files[i].role = ZVM_VETTED_INTERPRETER; /* libc names it as a library, too */
			return 0;
		}
	return vet_elf(c, program->interpreter_fd, host->opened[last + 1], ZVM_VETTED_INTERPRETER);
}

/* As given, or along the path that specs use. */
static int locate(const char *name, char path[ZVM_PATH_MAX])
{
	zvm_autofree char *real = realpath(name, NULL);
	if (real)
		return snprintf(path, ZVM_PATH_MAX, "%s", real) < ZVM_PATH_MAX ? 0 : -ENAMETOOLONG;
	int r = -errno;
	for (size_t i = 0; !strchr(name, '/') && i < sizeof program_directories / sizeof program_directories[0]; i++)
		if (snprintf(path, ZVM_PATH_MAX, "%s/%s", program_directories[i], name) < ZVM_PATH_MAX &&
		    !access(path, F_OK))
			return 0;
	return r;
}

int zvm_vet(const char *name, struct zvm_vetting *ret)
{
	static const char *const none[] = {NULL};
	char path[ZVM_PATH_MAX];
	struct host host = {.count = 0};
	struct zvm_program program = {.fd = -1, .interpreter_fd = -1};
	*ret = (struct zvm_vetting){0};
	struct closure closure = {.vetting = ret};
	int r = locate(name, path);
	if (r == 0)
		r = zvm_program_resolve(ask_host, &host, path, -1, NULL, none, NULL, &program);
	if (r == 0)
		r = vet_chain(&closure, &program, &host);
	if (r && program.message)
		ret->message = zvm_steal_pointer(&program.message);
	else if (r && asprintf(&ret->message, "%s: %s", name, errno_text(r)) < 0)
		ret->message = NULL;
	zvm_program_free(&program);
	free(closure.seen);
	free(closure.run_path);
	for (unsigned i = 0; i < host.count; i++)
		free(host.opened[i]);
	return r;
}

void zvm_vetting_free(struct zvm_vetting *vetting)
{
	for (unsigned i = 0; i < vetting->count; i++)
		free(vetting->files[i].path);
	free(vetting->files);
	free(vetting->message);
	*vetting = (struct zvm_vetting){0};
}
