/*
 * Any bytes as a file that a guest maps executable: nothing is known of it, or its image is the file but for single
 * bytes, each of which makes an instruction trap.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "prepare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int promise)
{
	if (!promise)
		abort();
}

static void check_image(const struct zvm_prepared *prepared, const uint8_t *data, size_t size)
{
	struct stat st;
	uint32_t changed = 0;
	uint8_t *image = malloc(size);
	require(image && fstat(prepared->fd, &st) == 0 && (size_t)st.st_size == size);
	require(pread(prepared->fd, image, size, 0) == (ssize_t)size);
	for (size_t i = 0; i < size; i++) {
		changed += data[i] == 0x0f && image[i] == 0xf4;
		require(image[i] == data[i] || (data[i] == 0x0f && image[i] == 0xf4) ||
		        (data[i] == 0xf4 && image[i] == 0xfa));
	}
	require(changed == prepared->sites);
	free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct zvm_prepared prepared;
	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	require(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	require(zvm_prepare(fd, &prepared) == 0);
	require(!prepared.unread || (prepared.fd < 0 && !prepared.sites && !prepared.unproven));
	require(!prepared.sites || prepared.fd >= 0);
	if (prepared.fd >= 0) {
		check_image(&prepared, data, size);
		close(prepared.fd);
	}
	return 0;
}
