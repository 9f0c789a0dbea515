/*
 * Making and keeping prepared images: see prepare.h.
 *
 * What is done to a site is one line of a table, by its kind, and an image is the file with a list of such changes
 * applied. Changes that need room for new code (calls that jump to the monitor instead of trapping) would be further
 * kinds, and their code a further part of the image.
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
#include "plan.h"
#include "sites.h"

#define HLT 0xf4
#define CLI 0xfa

static unsigned char replacement(enum zvm_site_kind kind)
{
	return kind == ZVM_SITE_HALT ? CLI : HLT;
}

static void apply(const struct zvm_sites *sites, unsigned char *data)
{
	for (size_t i = 0; i < sites->count; i++)
		if (sites->list[i].proven)
			data[sites->list[i].offset] = replacement(sites->list[i].kind);
}

static int write_image(const unsigned char *data, size_t size, int *ret)
{
	zvm_autofd int fd = memfd_create("zvm prepared", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, data + done, size - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	/* It goes to a box, perhaps to many: it must not change, whoever owns the monitor there. */
	char path[48];
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return -errno;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	*ret = open(path, O_RDONLY | O_CLOEXEC);
	return *ret < 0 ? -errno : 0;
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
	for (int kind = 0; kind < ZVM_SITE_HALT; kind++)
		ret->sites += (uint32_t)sites.proven[kind];
	ret->unproven = (uint32_t)sites.unproven;
	if (zvm_sites_any(&sites)) {
		apply(&sites, data);
		r = write_image(data, size, &ret->fd);
	}
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
	const uint32_t fields[] = {p->sites, p->unproven, p->unread};
	memset(note, 0, ZVM_NOTE_SIZE);
	memcpy(note, fields, sizeof fields);
}

static void decode(const unsigned char note[ZVM_NOTE_SIZE], struct zvm_prepared *p)
{
	uint32_t fields[3];
	memcpy(fields, note, sizeof fields);
	p->sites = fields[0];
	p->unproven = fields[1];
	p->unread = fields[2] != 0;
}

int zvm_prepared_find(const struct zvm_contents *contents, const struct zvm_digest *source, struct zvm_prepared *ret)
{
	unsigned char note[ZVM_NOTE_SIZE];
	*ret = (struct zvm_prepared){.fd = -1};
	if (!contents->find_derived ||
	    contents->find_derived(contents->context, ZVM_PREPARED_NAME, source, note, &ret->fd))
		return -ENOENT;
	decode(note, ret);
	if ((ret->sites > 0) == (ret->fd >= 0))
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
