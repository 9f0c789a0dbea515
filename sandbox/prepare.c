/*
 * Making and keeping prepared images: see prepare.h.
 *
 * An image is the file with two lists of changes applied: hazards lose a byte, here, and system calls become jumps, in
 * jumps.c, whose trampolines are a further part of the image. Making one takes some 10 ms a megabyte of code, so it is
 * done once for each content.
 */
#include "prepare.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zvm/bytes.h>
#include <zvm/cleanup.h>
#include "jumps.h"
#include "plan.h"

#define PAGE 4096ull
#define HLT 0xf4
#define CLI 0xfa

static unsigned char replacement(enum zvm_site_kind kind)
{
	return kind == ZVM_SITE_HALT ? CLI : HLT;
}

static void apply(const struct zvm_sites *sites, unsigned char *data)
{
	for (size_t i = 0; i < sites->count; i++)
		if (sites->list[i].proven && sites->list[i].kind != ZVM_SITE_SYSCALL)
			data[sites->list[i].offset] = replacement(sites->list[i].kind);
}

static int write_at(int fd, const unsigned char *data, size_t size, uint64_t offset)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(fd, data + done, size - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

int zvm_image_seal(int fd, int *ret)
{
	char path[48];
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return -errno;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	*ret = open(path, O_RDONLY | O_CLOEXEC);
	return *ret < 0 ? -errno : 0;
}

/* In place: the descriptor's file is a copy already. */
static int rewrite_copy(const struct zvm_elf_bytes *elf, const struct zvm_sites *sites, int fd,
                        struct zvm_jump_area *area)
{
	unsigned char *copy = mmap(NULL, elf->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (copy == MAP_FAILED)
		return -errno;
	apply(sites, copy);
	int r = zvm_jumps_make(elf, sites, copy, area);
	munmap(copy, elf->size);
	return r;
}

/* There is something to rewrite, or at least a system call that perhaps can be. */
static int rewrite(const struct zvm_elf_bytes *elf, const struct zvm_sites *sites, struct zvm_prepared *ret)
{
	struct zvm_jump_area area = {0};
	zvm_autofd int fd = memfd_create("zvm prepared", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = fd < 0 ? -errno : write_at(fd, elf->data, elf->size, 0);
	r = r ? r : rewrite_copy(elf, sites, fd, &area);
	struct zvm_jumps jumps = {(elf->size + PAGE - 1) / PAGE * PAGE, area.size, area.reach};
	if (r == 0 && area.size) {
		ret->jumps = jumps;
		r = write_at(fd, area.bytes, area.size, jumps.offset);
	}
	if (r == 0 && (ret->sites || area.size))
		r = zvm_image_seal(fd, &ret->fd);
	zvm_jumps_free(&area);
	return r;
}

static int prepare_code(const struct zvm_image *image, unsigned char *data, size_t size, struct zvm_prepared *ret)
{
	struct zvm_elf_bytes elf = {.data = data, .size = size, .image = image};
	struct zvm_sites sites;
	int r = zvm_sites_find(&elf, &sites);
	if (r == -E2BIG) {
		ret->unread = true;
		return 0;
	}
	if (r)
		return r;
	for (int kind = 0; kind < ZVM_SITE_HAZARDS; kind++)
		ret->sites += (uint32_t)sites.proven[kind];
	ret->unproven = (uint32_t)sites.unproven;
	if (zvm_sites_any(&sites) || sites.proven[ZVM_SITE_SYSCALL])
		r = rewrite(&elf, &sites, ret);
	zvm_sites_free(&sites);
	return r;
}

int zvm_prepare(int fd, struct zvm_prepared *ret)
{
	struct zvm_image image;
	char interpreter[ZVM_PATH_MAX];
	const char *reason;
	zvm_autofree unsigned char *data = NULL;
	size_t size;
	*ret = (struct zvm_prepared){.fd = -1};
	int r = zvm_plan_library(fd, &image, interpreter, &reason);
	r = r ? r : zvm_elf_read(fd, &data, &size);
	if (r == -ENOEXEC || r == -EFBIG || r == -ENODATA) {
		ret->unread = true;
		return 0;
	}
	return r ? r : prepare_code(&image, data, size, ret);
}

/* --- keeping --- */

static void encode(const struct zvm_prepared *p, unsigned char note[ZVM_NOTE_SIZE])
{
	const uint32_t fields[] = {p->sites,
	                           p->unproven,
	                           p->unread,
	                           (uint32_t)(p->jumps.offset / PAGE),
	                           (uint32_t)(p->jumps.size / PAGE),
	                           (uint32_t)(p->jumps.reach / (int64_t)PAGE)};
	memset(note, 0, ZVM_NOTE_SIZE);
	memcpy(note, fields, sizeof fields);
}

static void decode(const unsigned char note[ZVM_NOTE_SIZE], struct zvm_prepared *p)
{
	uint32_t fields[6];
	memcpy(fields, note, sizeof fields);
	p->sites = fields[0];
	p->unproven = fields[1];
	p->unread = fields[2] != 0;
	p->jumps = (struct zvm_jumps){fields[3] * PAGE, fields[4] * PAGE, (int32_t)fields[5] * (int64_t)PAGE};
}

int zvm_prepared_find(const struct zvm_contents *contents, const struct zvm_digest *source, struct zvm_prepared *ret)
{
	unsigned char note[ZVM_NOTE_SIZE];
	*ret = (struct zvm_prepared){.fd = -1};
	if (!contents->find_derived ||
	    contents->find_derived(contents->context, ZVM_PREPARED_NAME, source, note, &ret->fd))
		return -ENOENT;
	decode(note, ret);
	if ((ret->sites || ret->jumps.size) == (ret->fd >= 0))
		return 0;
	zvm_close_pointer(&ret->fd); /* a note that contradicts itself */
	ret->fd = -1;
	return -ENOENT;
}

int zvm_prepared_make(const struct zvm_contents *contents, const struct zvm_digest *source, int fd,
                      struct zvm_prepared *ret)
{
	unsigned char note[ZVM_NOTE_SIZE];
	int r = zvm_prepare(fd, ret);
	if (r || !contents->keep_derived)
		return r;
	/* A store that is full or read-only keeps nothing: this run has its image all the same. */
	int kept = -1;
	encode(ret, note);
	if (contents->keep_derived(contents->context, ZVM_PREPARED_NAME, source, note, ret->fd, &kept) == 0 &&
	    kept >= 0) {
		zvm_close_pointer(&ret->fd);
		ret->fd = kept;
	}
	return 0;
}
