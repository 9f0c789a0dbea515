/* Any bytes as an ELF file: either a refusal with a reason, or a plan in which every number keeps its promise. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "fuzz.h"
#include "plan.h"

static void check_segments(const struct zvm_image *image, size_t size)
{
	uint64_t end = image->low;
	for (uint32_t i = 0; i < image->segment_count; i++) {
		const struct zvm_segment *s = &image->segments[i];
		require(s->memory_size && s->file_size <= s->memory_size);
		require(!s->file_size || (s->file_offset <= size && s->file_size <= size - s->file_offset));
		require(s->address % 4096 == s->file_offset % 4096);
		require(s->address / 4096 * 4096 >= end && s->memory_size <= ZVM_GUEST_END);
		end = (s->address + s->memory_size + 4095) / 4096 * 4096;
	}
	require(end == image->high && image->high <= ZVM_GUEST_END && image->high - image->low <= 16ull << 30);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct zvm_image image;
	char interpreter[ZVM_PATH_MAX];
	const char *reason;
	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	require(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	int r = zvm_plan_image(fd, &image, interpreter, &reason);
	if (r) {
		require(r == -ENOEXEC && reason && *reason);
		return 0;
	}
	require(image.segment_count && image.segment_count <= ZVM_SEGMENTS_MAX && image.program_header_count);
	require(memchr(interpreter, 0, sizeof interpreter) && (!*interpreter || *interpreter == '/'));
	require(image.relocatable || image.low >= 0x10000);
	check_segments(&image, size);
	return 0;
}
