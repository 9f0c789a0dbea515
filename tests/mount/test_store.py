"""A store that is full: a tiny filesystem is mounted for it, filled, and freed again, under a mount that is in use."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import Mount, Skip, main, test  # noqa: E402

SMALL = "#!/usr/bin/gawk -f\nBEGIN { for (i = 0; i < 1000; i++) print i }\n"
LARGE = "#!/usr/bin/gawk -f\nBEGIN { for (i = 0; i < 2400000; i++) print \"0123456789\" }\n"


class SmallStore(Mount):
    """A mount whose store is on a filesystem of its own, of 20 MiB: enough for what a few programs are made of, prepared images included."""

    SIZE = 20 << 20
    INODES = 1000

    def __init__(self):
        super().__init__("-o", "store_free=0")  # it is filled on purpose: nothing is to be collected

    def __enter__(self):
        self.store.mkdir(mode=0o700)
        command = ["mount", "-t", "tmpfs", "-o", f"size={self.SIZE},nr_inodes={self.INODES},mode=700", "zvm-test", str(self.store)]
        if subprocess.run(command, capture_output=True).returncode != 0:
            raise Skip("no filesystem can be mounted here (that takes root)")
        try:
            return super().__enter__()
        except BaseException:
            self.unmount_store()
            raise

    def __exit__(self, *arguments):
        self.unmount()
        self.unmount_store()
        shutil.rmtree(self.root, ignore_errors=True)

    def unmount_store(self):
        subprocess.run(["umount", "-l", str(self.store)], check=False)

    def free(self):
        found = os.statvfs(self.store)
        return found.f_bavail * found.f_bsize

    def fill(self, leave=0):
        with open(self.store / "ballast", "wb", buffering=0) as ballast:
            while (room := self.free() - leave) > 0:
                try:
                    if ballast.write(bytes(min(room, 1 << 16))) < min(room, 1 << 16):
                        break
                except OSError as error:
                    assert error.errno == errno.ENOSPC, error
                    break

    def fill_inodes(self):
        (self.store / "many").mkdir()
        for number in range(1 << 20):
            try:
                (self.store / "many" / str(number)).touch()
            except OSError as error:
                assert error.errno == errno.ENOSPC, error
                return
        raise AssertionError("this filesystem has inodes without end")

    def empty(self):
        os.unlink(self.store / "ballast")

    def objects(self):
        return sorted(path.name for path in (self.store / "objects").glob("*/*"))

    def leftovers(self):
        return sorted(path.name for path in (self.store / "tmp").glob("*"))


def assert_objects_are_whole(m):
    for path in (m.store / "objects").glob("*/*"):
        printed = subprocess.run(["xxh128sum", str(path)], capture_output=True, text=True, check=True).stdout
        assert printed.split()[0].lstrip("\\") == path.name.split(".")[0], path


@test
def an_output_that_does_not_fit():
    """an output that the store has no room for is ENOSPC at open; nothing half-written stays, nothing is remembered, and smaller ones go on"""
    with SmallStore() as m:
        m.script("large.awk", LARGE)
        m.script("small.awk", SMALL)
        m.put("x")
        assert m.error("run/large.awk/x") == (errno.ENOSPC, b"")
        before = m.free()
        assert m.error("run/large.awk/x") == (errno.ENOSPC, b"")
        assert b"store" in m.read("err/large.awk/x")
        assert m.leftovers() == [] and m.free() == before, (m.leftovers(), before - m.free())
        assert os.getxattr(m.path("run/large.awk/x"), "user.zvm.state") == b"absent"
        assert m.read("run/small.awk/x").count(b"\n") == 1000
        assert_objects_are_whole(m)


@test
def an_input_that_does_not_fit():
    """an input, or a module beside the script, of which no copy can be kept is ENOSPC at open, also if the script would catch the error; with room it is the true result"""
    with SmallStore() as m:
        m.script("reads.sh", "#!/bin/sh\nif read line 2>/dev/null </script/data; then echo ${#line}; else echo caught; fi\n")
        m.put("x")
        (m.scripts / "data").write_bytes(b"a" * 1000 + b"\n" + bytes(1 << 20))
        m.put("large", os.urandom(21 << 20))
        assert m.error("run/cat/large")[0] == errno.ENOSPC
        m.script("shell.sh", "#!/bin/sh\necho the shell is stored\n")
        assert m.read("run/shell.sh/x") == b"the shell is stored\n"
        m.fill(leave=600 << 10)
        assert m.error("run/reads.sh/x") == (errno.ENOSPC, b"")
        m.empty()
        assert m.read("run/reads.sh/x") == b"1000\n"
        assert_objects_are_whole(m)


@test
def the_daemon_goes_on():
    """with the store full to the last byte what is stored is still read and what is not is ENOSPC; once there is room again everything works, without a remount"""
    with SmallStore() as m:
        m.script("small.awk", SMALL)
        for name in ("known", "new", "newer"):
            m.put(name, name.encode())
        assert m.read("run/cat/known") == b"known"
        kept = m.objects()
        m.fill()
        assert m.read("run/cat/known") == b"known"
        for name in ("new", "newer"):
            for _ in range(3):
                assert m.error(f"run/cat/{name}") == (errno.ENOSPC, b""), name
                assert m.error(f"run/small.awk/{name}") == (errno.ENOSPC, b""), name
        assert sorted(os.listdir(m.path("run/cat"))) == ["known", "new", "newer"]
        assert m.stats()["zvm_runs_in_flight"] == 0 and m.leftovers() == []
        assert set(kept) <= set(m.objects())
        m.empty()
        assert m.read("run/cat/new") == b"new" and m.read("run/cat/newer") == b"newer"
        assert m.read("run/small.awk/new").count(b"\n") == 1000
        runs = m.runs()
        assert m.read("run/cat/new") == b"new" and m.runs() == runs
        assert_objects_are_whole(m)


@test
def a_store_without_inodes():
    """with no inode left a read is whole or ENOSPC, never something else; once there are some again everything works"""
    with SmallStore() as m:
        m.script("small.awk", SMALL)
        for number in range(30):
            m.put(f"x{number}", b"%d" % number)
        assert m.read("run/cat/x0") == b"0"
        m.fill_inodes()
        assert m.read("run/cat/x0") == b"0"
        results = [m.error(f"run/cat/x{number}") for number in range(1, 30)]
        assert (errno.ENOSPC, b"") in results, results
        for number, result in enumerate(results, 1):
            assert result in ((errno.ENOSPC, b""), (0, b"%d" % number)), (number, result)
        assert m.error("run/small.awk/x1") == (errno.ENOSPC, b"")
        shutil.rmtree(m.store / "many")
        for number in range(30):
            assert m.read(f"run/cat/x{number}") == b"%d" % number
        assert m.read("run/small.awk/x1").count(b"\n") == 1000
        assert m.leftovers() == []
        assert_objects_are_whole(m)


@test
def the_store_is_sound_afterwards():
    """after all that the next mount finds every result that was given, and computes nothing again"""
    with SmallStore() as m:
        m.script("large.awk", LARGE)
        m.put("x", b"x\n")
        assert m.error("run/large.awk/x")[0] == errno.ENOSPC
        assert m.read("run/cat/x") == b"x\n"
        m.unmount()
        m.mount()
        assert m.read("run/cat/x") == b"x\n" and m.runs() == 0
        assert m.error("run/large.awk/x")[0] == errno.ENOSPC


if __name__ == "__main__":
    main()
