/*
 * From an ELF file to a load plan. libelf decodes the headers; every number that goes into the plan is checked here,
 * against the file's true size and the guest's address space, because the file may be made to hurt: the monitor obeys
 * the plan without another look.
 *
 * libelf is not given the file but a copy of its ELF header and program headers, a few KiB at most, without what the
 * header says of sections: so nothing is allocated, mapped or walked by what the file says, and a file that shrinks
 * meanwhile cannot fault.
 */
#include "plan.h"
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096ull
#define SPAN_MAX (16ull << 30)
#define HEADERS_MAX 64
#define LOWEST 0x10000ull

static uint64_t page_down(uint64_t x)
{
	return x & ~(PAGE - 1);
}

static uint64_t page_up(uint64_t x)
{
	return (x + PAGE - 1) & ~(PAGE - 1);
}

static int refuse(const char **ret_reason, const char *reason)
{
	*ret_reason = reason;
	return -ENOEXEC;
}

static int check_header(const Elf64_Ehdr *header, const char **reason)
{
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_machine != EM_X86_64)
		return refuse(reason, "it is an ELF file for another machine");
	if (header->e_ident[EI_VERSION] != EV_CURRENT || header->e_version != EV_CURRENT)
		return refuse(reason, "its ELF header is damaged");
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return refuse(reason, "it is an ELF file, but not a program");
	if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 || header->e_phnum > HEADERS_MAX)
		return refuse(reason, "its program headers are damaged");
	return 0;
}

static int add_segment(const GElf_Phdr *p, uint64_t file_size, struct zvm_image *image, const char **reason)
{
	if (p->p_memsz == 0)
		return 0;
	if (image->segment_count == ZVM_SEGMENTS_MAX)
		return refuse(reason, "it has too many segments");
	if (p->p_filesz > p->p_memsz || p->p_memsz > SPAN_MAX || p->p_vaddr > ZVM_GUEST_END - 2 * SPAN_MAX)
		return refuse(reason, "a segment's size is impossible");
	/* A segment of zeros needs no place in the file, and linkers write what they like there. */
	uint64_t offset = p->p_filesz ? p->p_offset : p->p_vaddr % PAGE;
	if (p->p_filesz && (offset > file_size || p->p_filesz > file_size - offset))
		return refuse(reason, "it is cut short: a segment lies beyond the end of the file");
	if ((p->p_vaddr - offset) % PAGE)
		return refuse(reason, "a segment is not aligned");
	uint64_t low = page_down(p->p_vaddr), high = page_up(p->p_vaddr + p->p_memsz);
	if (image->segment_count && low < image->high)
		return refuse(reason, "its segments overlap or are out of order");
	if (!image->segment_count)
		image->low = low;
	image->high = high;
	if (image->high - image->low > SPAN_MAX)
		return refuse(reason, "it is spread too far");
	image->segments[image->segment_count++] = (struct zvm_segment){
	        .address = p->p_vaddr,
	        .file_offset = offset,
	        .file_size = p->p_filesz,
	        .memory_size = p->p_memsz,
	        .protection = (p->p_flags & PF_R ? PROT_READ : 0u) | (p->p_flags & PF_W ? PROT_WRITE : 0u) |
	                      (p->p_flags & PF_X ? PROT_EXEC : 0u),
	};
	return 0;
}

/* All of these bytes, which the file has: -ENODATA if it does not any more. */
static int read_bytes(int fd, void *to, size_t size, uint64_t offset)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pread(fd, (char *)to + done, size - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		done += (size_t)n;
	}
	return 0;
}

static int read_interpreter(int fd, const GElf_Phdr *p, uint64_t file_size, char interpreter[ZVM_PATH_MAX],
                            const char **reason)
{
	if (*interpreter || p->p_filesz < 2 || p->p_filesz > ZVM_PATH_MAX || p->p_offset > file_size ||
	    p->p_filesz > file_size - p->p_offset)
		return refuse(reason, "its interpreter's name is damaged");
	int r = read_bytes(fd, interpreter, p->p_filesz, p->p_offset);
	if (r)
		return r;
	if (interpreter[p->p_filesz - 1])
		return refuse(reason, "its interpreter's name is damaged");
	return *interpreter == '/' ? 0 : refuse(reason, "its interpreter is not an absolute path");
}

/* Where the program headers are once mapped: in the segment whose file part contains them. */
static uint64_t headers_address(const struct zvm_image *image, uint64_t offset, uint64_t size)
{
	for (uint32_t i = 0; i < image->segment_count; i++) {
		const struct zvm_segment *s = &image->segments[i];
		if (offset >= s->file_offset && offset - s->file_offset <= s->file_size &&
		    size <= s->file_size - (offset - s->file_offset))
			return s->address + (offset - s->file_offset);
	}
	return 0;
}

static bool entry_executable(const struct zvm_image *image)
{
	for (uint32_t i = 0; i < image->segment_count; i++) {
		const struct zvm_segment *s = &image->segments[i];
		if ((s->protection & PROT_EXEC) && image->entry >= s->address &&
		    image->entry - s->address < s->memory_size)
			return true;
	}
	return false;
}

static int read_headers(Elf *elf, int fd, int count, uint64_t file_size, struct zvm_image *image,
                        char interpreter[ZVM_PATH_MAX], const char **reason)
{
	int r = 0;
	/* Without PT_GNU_STACK the stack of a 64-bit program is not executable, on Linux 5.8 and newer. */
	for (int i = 0; i < count && r == 0; i++) {
		GElf_Phdr p;
		if (!gelf_getphdr(elf, i, &p))
			return refuse(reason, "its program headers are damaged");
		if (p.p_type == PT_LOAD)
			r = add_segment(&p, file_size, image, reason);
		else if (p.p_type == PT_INTERP)
			r = read_interpreter(fd, &p, file_size, interpreter, reason);
		else if (p.p_type == PT_GNU_STACK)
			image->executable_stack = (p.p_flags & PF_X) != 0;
	}
	if (r)
		return r;
	if (!image->segment_count)
		return refuse(reason, "it has nothing to load");
	if (!image->relocatable && image->low < LOWEST)
		return refuse(reason, "it wants the lowest addresses");
	return 0;
}

static int plan(Elf *elf, int fd, const Elf64_Ehdr *header, uint64_t file_size, struct zvm_image *image,
                char interpreter[ZVM_PATH_MAX], const char **reason)
{
	if (elf_kind(elf) != ELF_K_ELF)
		return refuse(reason, "its ELF header is damaged");
	image->relocatable = header->e_type == ET_DYN;
	image->entry = header->e_entry;
	int r = read_headers(elf, fd, header->e_phnum, file_size, image, interpreter, reason);
	if (r)
		return r;
	image->program_header_count = header->e_phnum;
	image->program_headers =
	        headers_address(image, header->e_phoff, (uint64_t)header->e_phnum * sizeof(Elf64_Phdr));
	return 0;
}

/* The headers alone, one behind the other, as a complete ELF file without sections. */
struct headers {
	Elf64_Ehdr file;
	Elf64_Phdr program[HEADERS_MAX];
};

static int copy_headers(int fd, const Elf64_Ehdr *header, uint64_t file_size, struct headers *ret, const char **reason)
{
	size_t size = header->e_phnum * sizeof(Elf64_Phdr);
	if (header->e_phoff > file_size || size > file_size - header->e_phoff)
		return refuse(reason, "it is cut short: its program headers lie beyond the end of the file");
	int r = read_bytes(fd, ret->program, size, header->e_phoff);
	if (r)
		return r;
	ret->file = *header;
	ret->file.e_phoff = sizeof ret->file;
	ret->file.e_shoff = 0;
	ret->file.e_shnum = ret->file.e_shentsize = ret->file.e_shstrndx = 0;
	return 0;
}

static int check_magic(int fd, Elf64_Ehdr *header, struct stat *st, const char **reason)
{
	if (fstat(fd, st) < 0)
		return -errno;
	if (!S_ISREG(st->st_mode))
		return refuse(reason, "it is not a regular file");
	size_t size = st->st_size < (off_t)sizeof *header ? (size_t)st->st_size : sizeof *header;
	int r = read_bytes(fd, header, size, 0);
	if (r)
		return r;
	if (size < SELFMAG || memcmp(header, ELFMAG, SELFMAG))
		return refuse(reason, "it is neither an ELF program nor a script that begins with #!");
	return size == sizeof *header ? 0 : refuse(reason, "it is cut short within its ELF header");
}

int zvm_plan_library(int fd, struct zvm_image *ret, char interpreter[ZVM_PATH_MAX], const char **ret_reason)
{
	struct headers headers;
	Elf64_Ehdr header;
	struct stat st;
	*ret = (struct zvm_image){0};
	*interpreter = 0;
	*ret_reason = NULL;
	int r = check_magic(fd, &header, &st, ret_reason);
	r = r ? r : check_header(&header, ret_reason);
	r = r ? r : copy_headers(fd, &header, (uint64_t)st.st_size, &headers, ret_reason);
	if (r)
		return r;
	elf_version(EV_CURRENT);
	Elf *elf = elf_memory((char *)&headers, sizeof headers.file + header.e_phnum * sizeof headers.program[0]);
	if (!elf)
		return -ENOMEM;
	r = plan(elf, fd, &header, (uint64_t)st.st_size, ret, interpreter, ret_reason);
	elf_end(elf);
	return r;
}

int zvm_plan_image(int fd, struct zvm_image *ret, char interpreter[ZVM_PATH_MAX], const char **ret_reason)
{
	int r = zvm_plan_library(fd, ret, interpreter, ret_reason);
	return r == 0 && !entry_executable(ret) ? refuse(ret_reason, "its entry point is not code") : r;
}
