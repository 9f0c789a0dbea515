/*
 * Any bytes as an ELF file that a guest maps executable: nothing is read or changed outside of it, jumps can be undone,
 * and then only escape bytes in executable pages have changed; the same file gives the same image; and counting is as
 * safe.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "fuzz.h"
#include "plan.h"
#include "prepare.h"
#include "sites.h"
#include "vet_code.h"
#include "../unit/undo.h"

static int in_executable_page(const struct zvm_image *image, uint64_t offset)
{
	for (uint32_t i = 0; i < image->segment_count; i++) {
		const struct zvm_segment *s = &image->segments[i];
		if ((s->protection & PROT_EXEC) && offset >= s->file_offset / 4096 * 4096 &&
		    offset < (s->file_offset + s->file_size + 4095) / 4096 * 4096)
			return 1;
	}
	return 0;
}

static void check(const struct zvm_image *image, const uint8_t *data, size_t size, const struct zvm_sites *sites)
{
	size_t proven = 0, unproven = 0, sum = 0;
	for (size_t i = 0; i < sites->count; i++) {
		const struct zvm_site *s = &sites->list[i];
		require(s->offset < size && in_executable_page(image, s->offset) && s->kind < ZVM_SITE_KINDS);
		require(!i || sites->list[i - 1].offset < s->offset);
		require(data[s->offset] == (s->kind == ZVM_SITE_HALT ? 0xf4 : 0x0f));
		proven += s->proven;
		unproven += !s->proven && s->kind < ZVM_SITE_HAZARDS;
	}
	for (int kind = 0; kind < ZVM_SITE_KINDS; kind++)
		sum += sites->proven[kind];
	require(sum == proven && unproven == sites->unproven);
}

static void check_image(int fd, const uint8_t *data, size_t size)
{
	struct zvm_prepared prepared;
	struct zvm_image plan;
	struct stat st;
	char interpreter[ZVM_PATH_MAX];
	const char *reason;
	uint32_t changed = 0;
	require(zvm_prepare(fd, &prepared) == 0);
	require(!prepared.unread || (prepared.fd < 0 && !prepared.sites && !prepared.unproven));
	require((prepared.sites || prepared.jumps.size) == (prepared.fd >= 0));
	if (prepared.fd < 0)
		return;
	size_t whole = prepared.jumps.size ? prepared.jumps.offset + prepared.jumps.size : size;
	uint8_t *bytes = malloc(whole);
	require(bytes && fstat(prepared.fd, &st) == 0 && (size_t)st.st_size == whole);
	require(pread(prepared.fd, bytes, whole, 0) == (ssize_t)whole);
	require(zvm_plan_library(fd, &plan, interpreter, &reason) == 0);
	struct undo undo = {.plan = &plan, .jumps = &prepared.jumps, .original = data, .image = bytes, .size = size};
	require(undo_jumps(&undo) == NULL);
	for (size_t i = 0; i < size; i++) {
		changed += data[i] == 0x0f && bytes[i] == 0xf4;
		require(bytes[i] == data[i] || (data[i] == 0x0f && bytes[i] == 0xf4) ||
		        (data[i] == 0xf4 && bytes[i] == 0xfa));
	}
	require(changed == prepared.sites);
	free(bytes);
	close(prepared.fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct zvm_image image;
	struct zvm_sites sites, again;
	char interpreter[ZVM_PATH_MAX];
	const char *reason;
	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	require(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	check_image(fd, data, size);
	if (zvm_plan_library(fd, &image, interpreter, &reason))
		return 0;
	struct zvm_elf_bytes elf = {.data = data, .size = size, .image = &image};
	int r = zvm_sites_find(&elf, &sites);
	require(r == 0 || r == -E2BIG);
	if (r)
		return 0;
	check(&image, data, size, &sites);
	require(zvm_sites_find(&elf, &again) == 0 && again.count == sites.count);
	require(!sites.count || !memcmp(again.list, sites.list, sites.count * sizeof *sites.list));
	size_t unproven = sites.unproven;
	zvm_sites_free(&sites);
	zvm_sites_free(&again);
	struct zvm_vetted_file counted = {0};
	require(zvm_vet_code(&elf, &counted) == 0 && counted.unproven == unproven);
	return 0;
}
