/* What every fuzzer shares: its entry points, and a promise that ends it when broken, in every build. */
#ifndef ZVM_TEST_FUZZ_H
#define ZVM_TEST_FUZZ_H

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static inline void require(int promise)
{
	if (!promise)
		abort();
}

#endif
