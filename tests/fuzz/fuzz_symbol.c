/* Any bytes as an ELF file in which a program has crashed: a name that can be shown, or none. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "fuzz.h"
#include "symbol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	uint64_t offset = 0;
	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (size < 8)
		return 0;
	memcpy(&offset, data + size - 8, 8);
	require(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	for (int i = 0; i < 2; i++, offset %= size) {
		char *text = zvm_symbol_at(fd, offset);
		for (const char *c = text; c && *c; c++)
			require(*c > ' ' && *c <= '~');
		require(!text || strstr(text, "+0x"));
		free(text);
	}
	return 0;
}
