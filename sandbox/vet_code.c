/*
 * Counting what is in the code of one file: every function is decoded from its start to its end.
 */
#include "vet_code.h"
#include <errno.h>
#include <sys/mman.h>
#include <stdlib.h>
#include <string.h>
#include <zvm/cleanup.h>
#include "jumps.h"

static int hazard_of(const ZydisDecodedInstruction *i)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_CPUID: return ZVM_HAZARD_CPUID;
	case ZYDIS_MNEMONIC_XGETBV: return ZVM_HAZARD_XGETBV;
	case ZYDIS_MNEMONIC_RDTSC: return ZVM_HAZARD_RDTSC;
	case ZYDIS_MNEMONIC_RDTSCP: return ZVM_HAZARD_RDTSCP;
	case ZYDIS_MNEMONIC_RDRAND: return ZVM_HAZARD_RDRAND;
	case ZYDIS_MNEMONIC_RDSEED: return ZVM_HAZARD_RDSEED;
	case ZYDIS_MNEMONIC_RDPID: return ZVM_HAZARD_RDPID;
	case ZYDIS_MNEMONIC_RDPMC: return ZVM_HAZARD_RDPMC;
	case ZYDIS_MNEMONIC_LSL: return ZVM_HAZARD_LSL;
	case ZYDIS_MNEMONIC_RDPRU: return ZVM_HAZARD_RDPRU;
	case ZYDIS_MNEMONIC_XBEGIN: return ZVM_HAZARD_XBEGIN;
	case ZYDIS_MNEMONIC_SGDT:
	case ZYDIS_MNEMONIC_SIDT:
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_STR:
	case ZYDIS_MNEMONIC_SMSW: return ZVM_HAZARD_TABLES;
	case ZYDIS_MNEMONIC_XSAVE:
	case ZYDIS_MNEMONIC_XSAVE64:
	case ZYDIS_MNEMONIC_XSAVEC:
	case ZYDIS_MNEMONIC_XSAVEC64:
	case ZYDIS_MNEMONIC_XSAVEOPT:
	case ZYDIS_MNEMONIC_XSAVEOPT64: return ZVM_HAZARD_XSAVE;
	case ZYDIS_MNEMONIC_RCPPS:
	case ZYDIS_MNEMONIC_RCPSS:
	case ZYDIS_MNEMONIC_RSQRTPS:
	case ZYDIS_MNEMONIC_RSQRTSS:
	case ZYDIS_MNEMONIC_VRCPPS:
	case ZYDIS_MNEMONIC_VRCPSS:
	case ZYDIS_MNEMONIC_VRSQRTPS:
	case ZYDIS_MNEMONIC_VRSQRTSS:
	case ZYDIS_MNEMONIC_FSIN:
	case ZYDIS_MNEMONIC_FCOS:
	case ZYDIS_MNEMONIC_FSINCOS:
	case ZYDIS_MNEMONIC_FPTAN:
	case ZYDIS_MNEMONIC_FPATAN:
	case ZYDIS_MNEMONIC_F2XM1:
	case ZYDIS_MNEMONIC_FYL2X:
	case ZYDIS_MNEMONIC_FYL2XP1: return ZVM_HAZARD_APPROXIMATE;
	case ZYDIS_MNEMONIC_SYSENTER: return ZVM_HAZARD_LEGACY_CALL;
	case ZYDIS_MNEMONIC_INT: return i->raw.imm[0].value.u == 0x80 ? ZVM_HAZARD_LEGACY_CALL : -1;
	default: return -1;
	}
}

static void count(const ZydisDecodedInstruction *i, struct zvm_vetted_file *ret)
{
	int hazard = hazard_of(i);
	if (hazard >= 0)
		ret->hazards[hazard]++;
	ret->syscall_sites += i->mnemonic == ZYDIS_MNEMONIC_SYSCALL;
	ret->vector_instructions +=
	        i->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX || i->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
	ret->decoded_bytes += i->length;
}

/*
 * From start to end; and on to `limit`, where the next function begins, if the last instruction runs on: clone's
 * frame description ends before its `syscall`, because there is nothing to unwind after it.
 */
static void decode_function(const ZydisDecoder *decoder, const struct zvm_elf_bytes *elf, uint64_t start, uint64_t end,
                            uint64_t limit, struct zvm_vetted_file *ret)
{
	ZydisDecodedInstruction i;
	bool runs_on = true;
	uint64_t at = start, left = zvm_elf_left(elf, start);
	const unsigned char *bytes = zvm_elf_at(elf, start, left);
	ret->functions++;
	if (limit - start > left)
		limit = start + left;
	while (bytes && at < limit && (at < end || runs_on)) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(decoder, NULL, bytes + (at - start), limit - at, &i))) {
			ret->unreadable += at < end;
			return;
		}
		count(&i, ret);
		runs_on = !zvm_code_ends_function(&i);
		at += i.length;
	}
}

/* --- what boxes rewrite --- */

static enum zvm_hazard hazard_of_site(enum zvm_site_kind kind)
{
	static const enum zvm_hazard hazards[ZVM_SITE_KINDS] = {
	        [ZVM_SITE_CPUID] = ZVM_HAZARD_CPUID,   [ZVM_SITE_RDTSC] = ZVM_HAZARD_RDTSC,
	        [ZVM_SITE_RDTSCP] = ZVM_HAZARD_RDTSCP, [ZVM_SITE_RDRAND] = ZVM_HAZARD_RDRAND,
	        [ZVM_SITE_RDSEED] = ZVM_HAZARD_RDSEED, [ZVM_SITE_RDPID] = ZVM_HAZARD_RDPID,
	        [ZVM_SITE_XGETBV] = ZVM_HAZARD_XGETBV, [ZVM_SITE_RDPRU] = ZVM_HAZARD_RDPRU,
	        [ZVM_SITE_RDPMC] = ZVM_HAZARD_RDPMC,   [ZVM_SITE_LSL] = ZVM_HAZARD_LSL,
	        [ZVM_SITE_SYSCALL] = ZVM_HAZARD_COUNT, [ZVM_SITE_HALT] = ZVM_HAZARD_COUNT,
	};
	return hazards[kind];
}

static int count_jumps(const struct zvm_elf_bytes *elf, const struct zvm_sites *sites, struct zvm_vetted_file *ret)
{
	struct zvm_jump_area area;
	zvm_autofree unsigned char *copy = malloc(elf->size ? elf->size : 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, elf->data, elf->size);
	int r = zvm_jumps_make(elf, sites, copy, &area);
	ret->syscall_jumps = area.rewritten;
	zvm_jumps_free(&area);
	return r;
}

static int count_sites(const struct zvm_elf_bytes *elf, struct zvm_vetted_file *ret)
{
	struct zvm_sites sites;
	int r = zvm_sites_find(elf, &sites);
	if (r == -E2BIG) {
		ret->unread = true;
		return 0;
	}
	if (r)
		return r;
	for (size_t i = 0; i < sites.count; i++) {
		const struct zvm_site *s = &sites.list[i];
		enum zvm_hazard hazard = hazard_of_site(s->kind);
		if (hazard == ZVM_HAZARD_COUNT)
			continue;
		if (s->proven)
			ret->rewritten[hazard]++;
		else if (ret->unproven++ < ZVM_VETTED_PLACES_MAX)
			ret->places[ret->unproven - 1] = (struct zvm_vetted_place){s->offset, hazard};
	}
	r = count_jumps(elf, &sites, ret);
	zvm_sites_free(&sites);
	return r;
}

int zvm_vet_code(const struct zvm_elf_bytes *elf, struct zvm_vetted_file *ret)
{
	ZydisDecoder decoder;
	struct zvm_functions functions;
	for (uint32_t i = 0; i < elf->image->segment_count; i++)
		if (elf->image->segments[i].protection & PROT_EXEC)
			ret->code_bytes += elf->image->segments[i].file_size;
	int r = zvm_code_functions(elf, &functions);
	ret->unread = r == -E2BIG;
	if (r)
		return r == -E2BIG ? 0 : r;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (size_t i = 0; i < functions.count; i++)
		decode_function(&decoder, elf, functions.list[i].start, functions.list[i].end,
		                zvm_function_limit(&functions, i), ret);
	zvm_functions_free(&functions);
	ret->dispatches = ret->hazards[ZVM_HAZARD_CPUID] || zvm_code_is_chosen(elf);
	return count_sites(elf, ret);
}
