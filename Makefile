# zvm: `make demo` shows it, `make check` proves it; both install what is missing first.
#
#   make [all]        build/zvm
#   make demo         mount it in a temporary directory and use it
#   make check        every test: unit, mount, box, the sanitizer build, the fuzzers' corpora, formatting
#   make asan         the unit tests with AddressSanitizer and UBSan (all that is not the monitor)
#   make fuzz         each fuzzer for a minute
#   make bench        speed beside the same programs run natively and in bubblewrap, and build/bench.json
#   make bench-scale  what a store of many results costs (SCALE=200000)
#   make man          the manual, in build/man
#   make format       every C file as .clang-format has it; format-check looks only
#   make install      PREFIX (/usr/local), DESTDIR; make uninstall takes it away again
#   make deb          a Debian package of it, in build/deb
#
# CC=clang builds with clang; WERROR=1 makes warnings errors; V=1 shows the commands.

# As many at a time as there are processors, unless -j says otherwise.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-print-directory

# Without V=1, a word for what is done and the name of what it makes.
ifeq ($(V),1)
quietly =
else
quietly = @printf '  %-6s %s\n' '$(1)' '$@';
endif

PREFIX ?= /usr/local
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
EXAMPLES = $(PREFIX)/share/doc/zvm/examples
BUILD ?= build
PACKAGES = fuse3 libseccomp libelf libxxhash jansson

# Each warning beyond the usual two has its reason.
WARNINGS = -Wall -Wextra
# A name that means two things is read wrong once.
WARNINGS += -Wshadow
# Every function is declared where others see it, or static; `()` is not `(void)`.
WARNINGS += -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
# const is a promise, and arithmetic on void is no C.
WARNINGS += -Wcast-qual -Wwrite-strings -Wpointer-arith
# Stacks are small here, and sizes come from strangers.
WARNINGS += -Wvla
# A format that is no literal may be one that a stranger wrote.
WARNINGS += -Wformat=2
# A misspelt #if is silently false.
WARNINGS += -Wundef
# uthash's macros fall through on purpose and say so in comments, which only gcc reads.
ifeq ($(findstring clang,$(CC)),)
WARNINGS += -Wimplicit-fallthrough
endif
ifeq ($(WERROR),1)
WARNINGS += -Werror
endif

CFLAGS ?= -O2 -g
HARDENING = -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
CPPFLAGS_ALL = -D_GNU_SOURCE -I include -I sandbox $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
CFLAGS_ALL = -std=gnu11 $(CFLAGS) $(HARDENING) $(WARNINGS) $(CPPFLAGS_ALL) $(SANITIZE) -pthread -MMD -MP
LIBRARIES = $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lZydis
LINK = -pthread -pie -Wl,-z,relro,-z,now $(SANITIZE)

# The monitor stands alone: no libc, no vector registers (they are the guest's), no table that needs relocating.
MONITOR_CFLAGS = -std=gnu11 -O2 -g $(WARNINGS) -ffreestanding -fno-stack-protector -mgeneral-regs-only -fpie -fvisibility=hidden \
	-fno-asynchronous-unwind-tables -fcf-protection=none -I sandbox -I sandbox/monitor -MMD -MP
# gcc would turn memcpy's own loop into a call of memcpy.
ifeq ($(findstring clang,$(CC)),)
MONITOR_CFLAGS += -fno-tree-loop-distribute-patterns
endif

SOURCES = $(filter-out fs/main.c,$(wildcard fs/*.c)) $(wildcard sandbox/*.c)
OBJECTS = $(SOURCES:%.c=$(BUILD)/%.o) $(BUILD)/sandbox/monitor_image.o
MONITOR_OBJECTS = $(patsubst %.c,$(BUILD)/%.o,$(wildcard sandbox/monitor/*.c)) \
	$(patsubst %.S,$(BUILD)/%_S.o,$(wildcard sandbox/monitor/*.S))
UNIT_TESTS = $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
GUESTS = $(patsubst tests/box/%.c,$(BUILD)/box/%,$(wildcard tests/box/*.c tests/box/escape/*.c))
FUZZERS = $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FORMATTED = $(wildcard fs/*.[ch] sandbox/*.[ch] sandbox/monitor/*.[ch] include/zvm/*.h tests/unit/*.[ch] tests/box/*.[ch] tests/box/escape/*.[ch] tests/fuzz/*.[ch] contrib/bench/*.[ch] contrib/bench/workloads/*.c tests/mount/*.c)

# --- what has to be there first ---

# The demo and the checks compare with programs which a small machine may lack; building does not need them.
DEMO_PROGRAMS = fusermount3 python3 gawk jq
BENCH_PROGRAMS = $(DEMO_PROGRAMS) perl lua5.4 sqlite3 busybox bwrap
CHECK_PROGRAMS = $(DEMO_PROGRAMS) clang clang-format getfattr xxhsum mawk perl lua5.4 sqlite3 bc openssl busybox xz ps lscpu hostname setpriv prlimit \
	ascii2uni brotli bzip2 cjpeg cmark colordiff compress cpio cwebp datamash dc diffstat dos2unix figlet file g++ gifsicle html2text indent \
	lz4 lzip m4 markdown nasm patch pdftotext pnmtopng qrencode recode rhash tclsh8.6 tidy troff w3m xmllint xmlstarlet xsltproc xxd zstd \
	curl ed flex git less parallel rsync unzip vim.tiny zip dpkg-shlibdeps fish lintian zsh col column hexdump /usr/games/cowsay
NEEDS = $(filter demo bench deb,$(MAKECMDGOALS)) $(if $(filter check asan asan-build fuzz fuzzers unit-tests guests,$(MAKECMDGOALS))$(findstring clang,$(CC)),check)
PROGRAMS = $(if $(filter deb,$(MAKECMDGOALS)),dpkg-shlibdeps) $(if $(filter demo,$(MAKECMDGOALS)),$(DEMO_PROGRAMS)) $(if $(filter bench,$(MAKECMDGOALS)),$(BENCH_PROGRAMS)) $(if $(filter check asan fuzz fuzzers,$(MAKECMDGOALS)),$(CHECK_PROGRAMS))

# Debian's Zydis has no .pc file: ask the compiler.
READY := $(shell pkg-config --exists $(PACKAGES) cmocka 2>/dev/null && \
	printf '\043include <Zydis/Zydis.h>\n\043include <uthash.h>\n' | $(CC) -E -x c - >/dev/null 2>&1 && \
	{ for p in $(PROGRAMS); do command -v $$p >/dev/null || exit 1; done; } && echo yes)

# With -n nothing has been installed, and what comes behind it is shown all the same.
ifeq ($(INSTALLED)$(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS)))),1n)
READY := yes
endif

all: $(BUILD)/zvm

ifneq ($(READY),yes)
ifdef INSTALLED
$(error contrib/install-deps has run, and still one of these is missing: $(PACKAGES) cmocka zydis uthash $(PROGRAMS))
endif
# pkg-config could not answer while this file was read: install, then let another make read it.
$(BUILD)/zvm demo check asan asan-build unit-tests guests fuzzers fuzz bench bench-scale bench-programs man install deb: dependencies
	$(MAKE) INSTALLED=1 $@

dependencies:
	contrib/install-deps $(NEEDS)
.PHONY: dependencies
else

# --- building ---

$(BUILD)/zvm: $(BUILD)/fs/main.o $(BUILD)/libzvm.a
	$(call quietly,LINK) $(CC) $(LINK) -o $@ $^ $(LIBRARIES)

# Made anew each time: ar would keep the object of a file that is gone.
$(BUILD)/libzvm.a: $(OBJECTS)
	$(call quietly,AR) rm -f $@ && ar rcs $@ $^

unit-tests: $(UNIT_TESTS)
guests: $(GUESTS)
fuzzers: $(FUZZERS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call quietly,CC) $(CC) $(CFLAGS_ALL) -c -o $@ $<

$(BUILD)/sandbox/monitor/%.o: sandbox/monitor/%.c
	@mkdir -p $(@D)
	$(call quietly,CC) $(CC) $(MONITOR_CFLAGS) -c -o $@ $<

$(BUILD)/sandbox/monitor/%_S.o: sandbox/monitor/%.S
	@mkdir -p $(@D)
	$(call quietly,CC) $(CC) -I sandbox -I sandbox/monitor -MMD -MP -c -o $@ $<

$(BUILD)/monitor.elf: $(MONITOR_OBJECTS) sandbox/monitor/monitor.lds
	$(call quietly,LD) ld -static -no-pie -nostdlib -z noexecstack -z max-page-size=4096 --build-id=none -T sandbox/monitor/monitor.lds -o $@ $(MONITOR_OBJECTS)

$(BUILD)/sandbox/monitor_image.o: sandbox/monitor_image.S $(BUILD)/monitor.elf
	@mkdir -p $(@D)
	$(call quietly,CC) $(CC) -DMONITOR_FILE='"$(BUILD)/monitor.elf"' -c -o $@ $<

$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libzvm.a
	@mkdir -p $(@D)
	$(call quietly,TEST) $(CC) $(CFLAGS_ALL) $(LINK) -I sandbox/monitor -o $@ $< $(BUILD)/libzvm.a $(LIBRARIES) -lcmocka

# Guest programs are ordinary ones; those that say so on their first line are static.
$(BUILD)/box/%: tests/box/%.c $(wildcard tests/box/*.h tests/box/escape/*.h) sandbox/protocol.h
	@mkdir -p $(@D)
	$(call quietly,GUEST) $(CC) -std=gnu11 -D_GNU_SOURCE -O1 -w -pthread -MMD -MP -I sandbox $$(head -n 1 $< | grep -q static && echo -static) \
		$$(head -n 1 $< | grep -q 'without libc' && echo -nostdlib -fno-stack-protector) -o $@ $< -lm

# Preloaded into zvm by the tests of what goes wrong below a store.
$(BUILD)/faults.so: tests/mount/faults.c
	@mkdir -p $(@D)
	$(call quietly,LINK) $(CC) $(CFLAGS_ALL) -fPIC -U_FORTIFY_SOURCE -shared -o $@ $< -ldl

# What is fuzzed is built once, with clang and its sanitizers, and linked to each fuzzer.
FUZZ_CFLAGS = -std=gnu11 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined $(CPPFLAGS_ALL) -w -MMD -MP
FUZZED = $(patsubst %,$(BUILD)/fuzzed/%.o,$(basename $(wildcard sandbox/plan.c sandbox/symbol.c sandbox/program.c sandbox/view.c sandbox/walk.c sandbox/roots.c \
	sandbox/broker.c sandbox/written.c sandbox/packet.c sandbox/prepare.c sandbox/jumps.c sandbox/code.c sandbox/sites.c sandbox/vet_code.c fs/name.c fs/directive.c fs/size.c fs/action.c)))

$(BUILD)/fuzzed/%.o: %.c
	@mkdir -p $(@D)
	$(call quietly,CC) clang $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -c -o $@ $<

$(BUILD)/fuzz/%: tests/fuzz/%.c $(FUZZED)
	@mkdir -p $(@D)
	$(call quietly,FUZZER) clang $(FUZZ_CFLAGS) -fsanitize=fuzzer -o $@ $< $(FUZZED) $(LIBRARIES)

demo: $(BUILD)/zvm
	contrib/demo $(BUILD)/zvm

check: $(BUILD)/zvm $(BUILD)/faults.so unit-tests guests asan-build fuzzers format-check
	tests/run --build $(BUILD)

# A second build directory, so that the two never mix.
asan-build:
	$(MAKE) BUILD=$(BUILD)/asan SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=undefined" HARDENING=-fPIE CFLAGS="-O1 -g -fno-omit-frame-pointer" unit-tests

asan: asan-build guests
	tests/run --build $(BUILD) --only asan

fuzz: fuzzers
	@for f in $(FUZZERS); do n=$$(basename $$f); mkdir -p $(BUILD)/corpus/$$n; \
		echo "== $$n"; $$f -max_total_time=$${FUZZ_SECONDS:-60} -rss_limit_mb=1024 -timeout=30 -artifact_prefix=$(BUILD)/corpus/ \
			$(BUILD)/corpus/$$n tests/fuzz/corpus/$$n || exit 1; done

# The benchmark, what it compares with, and the programs of ours that it runs.
BENCH_DIRECTORY = $(BUILD)/contrib/bench
BENCH_OBJECTS = $(patsubst %.c,$(BUILD)/%.o,$(filter-out contrib/bench/passthrough.c contrib/bench/scale.c,$(wildcard contrib/bench/*.c)))
BENCH_BUILT = $(addprefix $(BENCH_DIRECTORY)/,bench passthrough $(addprefix workloads/,compute files memory report.py))

$(BENCH_DIRECTORY)/bench: $(BENCH_OBJECTS)
	$(call quietly,LINK) $(CC) $(LINK) -o $@ $^ $(LIBRARIES)

$(BENCH_DIRECTORY)/passthrough: $(BENCH_DIRECTORY)/passthrough.o
	$(call quietly,LINK) $(CC) $(LINK) -o $@ $^ $(LIBRARIES)

$(BENCH_DIRECTORY)/workloads/%: contrib/bench/workloads/%.c
	@mkdir -p $(@D)
	$(call quietly,CC) $(CC) -std=gnu11 -D_GNU_SOURCE -O2 $(WARNINGS) -o $@ $<

$(BENCH_DIRECTORY)/workloads/%.py: contrib/bench/workloads/%.py
	@mkdir -p $(@D)
	cp $< $@

bench-programs: $(BENCH_BUILT)

# BENCH="-n 500" for more rounds, BENCH="-w python3 -w 'open*'" for some rows.
bench: $(BUILD)/zvm $(BENCH_BUILT)
	$(BENCH_DIRECTORY)/bench $(BENCH) -j $(BUILD)/bench.json $(BUILD)/zvm $(BENCH_DIRECTORY)

$(BUILD)/scale: contrib/bench/scale.c $(BUILD)/libzvm.a
	@mkdir -p $(@D)
	$(call quietly,LINK) $(CC) $(CFLAGS_ALL) $(LINK) -o $@ $< $(BUILD)/libzvm.a $(LIBRARIES)

# Takes 12 KiB of disk for each result. SCALE=1000000 is what a large store is.
SCALE ?= 200000
bench-scale: $(BUILD)/zvm $(BUILD)/scale
	directory=$$(mktemp -d $(BUILD)/scale.XXXXXX) && $(BUILD)/scale $(BUILD)/zvm "$$directory" $(SCALE); rm -rf "$$directory"

man: $(BUILD)/man/zvm.1 $(BUILD)/man/zvm.5 $(BUILD)/man/zvm-box.7

$(BUILD)/man/%: contrib/man/%
	@mkdir -p $(@D)
	cp $< $@

# Its table of system calls is the monitor's own.
$(BUILD)/man/zvm-box.7: contrib/man/zvm-box.7 contrib/man/calls.awk sandbox/monitor/calls.def
	@mkdir -p $(@D)
	awk -f contrib/man/calls.awk sandbox/monitor/calls.def $< >$@

install: $(BUILD)/zvm man
	install -D -m 755 $(BUILD)/zvm $(DESTDIR)$(PREFIX)/bin/zvm
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(EXAMPLES) $(DESTDIR)$(PREFIX)/lib/systemd/system \
		$(DESTDIR)$(PREFIX)/lib/systemd/user
	ln -sf ../bin/zvm $(DESTDIR)$(PREFIX)/sbin/mount.fuse.zvm
	install -D -m 644 $(BUILD)/man/zvm.1 $(DESTDIR)$(PREFIX)/share/man/man1/zvm.1
	install -D -m 644 $(BUILD)/man/zvm.5 $(DESTDIR)$(PREFIX)/share/man/man5/zvm.5
	install -D -m 644 $(BUILD)/man/zvm-box.7 $(DESTDIR)$(PREFIX)/share/man/man7/zvm-box.7
	ln -sf ../man1/zvm.1 $(DESTDIR)$(PREFIX)/share/man/man8/mount.fuse.zvm.8
	install -D -m 644 contrib/completion/zvm.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/zvm
	install -D -m 644 contrib/completion/_zvm $(DESTDIR)$(ZSH_COMPLETIONS)/_zvm
	install -D -m 644 contrib/completion/zvm.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/zvm.fish
	sed 's|@bin@|$(PREFIX)/bin|' contrib/systemd/zvm@.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/zvm@.service
	sed 's|@bin@|$(PREFIX)/bin|' contrib/systemd/user/zvm@.service >$(DESTDIR)$(PREFIX)/lib/systemd/user/zvm@.service
	install -D -m 644 contrib/systemd/tmpfiles.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/zvm.conf
	install -m 644 contrib/systemd/fstab $(DESTDIR)$(EXAMPLES)/fstab
	install -m 755 $(wildcard contrib/scripts/*) $(DESTDIR)$(EXAMPLES)

deb: $(BUILD)/zvm man
	MAKEFLAGS= BUILD=$(BUILD) contrib/debian/build

endif

format:
	clang-format -i $(FORMATTED)

format-check:
	clang-format --dry-run --Werror $(FORMATTED)

clean:
	rm -rf $(BUILD)

# All that `make install` with the same words has put there, and the one directory that is ours alone.
uninstall:
	cd $(DESTDIR)$(PREFIX) && rm -f bin/zvm sbin/mount.fuse.zvm share/man/man1/zvm.1 share/man/man5/zvm.5 share/man/man7/zvm-box.7 \
		share/man/man8/mount.fuse.zvm.8 share/bash-completion/completions/zvm share/fish/vendor_completions.d/zvm.fish \
		lib/systemd/system/zvm@.service lib/systemd/user/zvm@.service lib/tmpfiles.d/zvm.conf
	rm -f $(DESTDIR)$(ZSH_COMPLETIONS)/_zvm
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/zvm

.PHONY: all demo check asan asan-build unit-tests guests fuzzers fuzz bench bench-scale bench-programs man format format-check install uninstall deb clean
.SECONDARY:

-include $(BENCH_OBJECTS:.o=.d) $(BUILD)/scale.d $(BENCH_DIRECTORY)/passthrough.d $(BUILD)/faults.d $(FUZZED:.o=.d) $(FUZZERS:=.d) $(OBJECTS:.o=.d) $(MONITOR_OBJECTS:.o=.d) $(BUILD)/fs/main.d $(UNIT_TESTS:=.d) $(GUESTS:=.d)
