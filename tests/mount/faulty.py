"""A mount of which calls below the store can be made to fail while it runs: the library that does it (faults.c) is preloaded, and told through a file."""

import mmap
import os
import struct
from pathlib import Path

from harness import ZVM, Mount, Skip, zvm

LIBRARY = Path(os.environ.get("ZVM_BUILD", Path(ZVM).parent)) / "faults.so"

# As in faults.c.
OPEN, CREATE, READ, WRITE, LINK, RENAME, MKDIR, SYNC, CHMOD, TRUNCATE, COPY, CLONE, STAT, UNLINK, UNNAMED = (1 << n for n in range(15))
OBJECTS, RECORDS, TABLES, TEMPORARY, ELSEWHERE = (1 << n for n in range(5))
NOTHING, FAIL, SHORT, KILL_BEFORE, KILL_AFTER, STALL = range(6)
ANY_PLACE = OBJECTS | RECORDS | TABLES | TEMPORARY
ALWAYS = 1 << 30

SCRIPT = "#!/usr/bin/gawk -f\n{ n += length($0) } END { print n, NR }\n"
LINES = b"the quick brown fox\n"


class Faults:
    """The control file, mapped."""

    LAYOUT = "IIIiiiI"

    def __init__(self, path):
        path.write_bytes(bytes(4096))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 4096)

    def arm(self, action, operations, places=ANY_PLACE, error=0, skip=0, count=ALWAYS):
        struct.pack_into(self.LAYOUT, self.map, 0, NOTHING, operations, places, error, skip, count, 0)
        struct.pack_into("I", self.map, 0, action)

    def met(self):
        """How many calls have met it."""
        return struct.unpack_from(self.LAYOUT, self.map)[-1]

    def disarm(self):
        struct.pack_into("I", self.map, 0, NOTHING)
        return self.met()

    def counted(self):
        """How many calls counted while `skip` ran down from what it was: with ALWAYS to skip nothing fails."""
        return ALWAYS - struct.unpack_from(self.LAYOUT, self.map)[4]


class FaultyMount(Mount):
    def __init__(self, *options):
        super().__init__(*options)
        if not LIBRARY.exists():
            raise Skip(f"{LIBRARY} is not built: make {LIBRARY.name}")
        self.faults = Faults(self.root / "control")
        self.number = 0
        self.script("count.awk", SCRIPT)

    def environment(self):
        return dict(os.environ, LD_PRELOAD=str(LIBRARY), ZVM_FAULTS=str(self.root / "control"), ZVM_FAULTS_BELOW=str(self.store))

    def mount(self):
        result = zvm("mount", *self.options, "--store", str(self.store), "--inputs", str(self.inputs), "--scripts", str(self.scripts),
                     str(self.at), env=self.environment())
        assert result.returncode == 0, result
        return self

    def remount(self):
        self.unmount()
        self.mount()

    def fresh(self, lines=7):
        """The name of a new input, different from all before, and what count.awk says of it."""
        self.number += 1
        data = LINES * lines + b"%d\n" % self.number
        self.put(f"x{self.number}", data)
        return f"x{self.number}", b"%d %d\n" % (len(data) - lines - 1, lines + 1)
