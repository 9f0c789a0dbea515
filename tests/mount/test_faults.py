"""A table of fault x operation: whatever call below the store fails, whenever, nothing wrong is read, the daemon lives on, and afterwards all is well.

The faults come from a library that is preloaded into zvm (faults.c) and is told what to do through a file, so it can be switched while a daemon runs.
"""

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from faulty import (ALWAYS, ANY_PLACE, CHMOD, CLONE, COPY, CREATE, ELSEWHERE, FAIL, KILL_AFTER, KILL_BEFORE, LINK, MKDIR, NOTHING, OBJECTS,  # noqa: E402
                    OPEN, READ, RECORDS, RENAME, SHORT, STAT, SYNC, TABLES, TEMPORARY, TRUNCATE, UNLINK, UNNAMED, WRITE, FaultyMount)
from harness import ZVM, main, need_fuse, test, zvm  # noqa: E402

# --- the operations: each does what comes before, and returns the name to read then and what is right. Results are new ones, each different: that a stored one
# cannot be read once it is open is another matter (damage_behind_an_open_file) ---

def cold(m):
    name, right = m.fresh()
    return f"run/count.awk/{name}", right


def warm(m):
    name, right = m.fresh()
    assert m.read(f"run/count.awk/{name}") == right
    return f"run/count.awk/{name}", right


def first_use(m):
    """The first after a restart, when nothing is known to be whole."""
    name, right = m.fresh()
    assert m.read(f"run/count.awk/{name}") == right
    m.remount()
    return f"run/count.awk/{name}", right


def pipeline(m):
    name, right = m.fresh()
    return f"run/cat | count.awk | cat/{name}", right


def half_known_pipeline(m):
    name, right = m.fresh()
    assert m.read(f"run/cat/{name}") and m.read(f"run/cat | count.awk/{name}") == right
    m.remount()
    return f"run/cat | count.awk | tr a b/{name}", right


def snapshot(m):
    """An input too large for one read."""
    name, right = m.fresh(20000)
    return f"run/count.awk/{name}", right


def new_program(m):
    """A program that nobody has run yet, so that its image is prepared and kept first."""
    name, _ = m.fresh()
    m.script(f"cat{m.number}", Path("/bin/cat").read_bytes() + b"%d" % m.number)
    return f"run/cat{m.number}/{name}", (m.inputs / name).read_bytes()


def new_library(m):
    """A library that a program opens while it runs: its image is prepared then."""
    name, _ = m.fresh()
    library = next(Path("/lib/x86_64-linux-gnu").glob("libz.so.1*"))
    m.script(f"lib{m.number}.so", library.read_bytes() + b"%d" % m.number)
    m.script(f"load{m.number}.py", f"#!/usr/bin/python3\nimport ctypes\nprint({m.number}, ctypes.CDLL('/script/lib{m.number}.so').zlibCompileFlags() > 0)\n")
    return f"run/load{m.number}.py/{name}", b"%d True\n" % m.number


OPERATIONS = (cold, warm, first_use, pipeline, half_known_pipeline, snapshot, new_program)

# What a reader may be told where a fault is one that nothing can avoid: no room, no descriptors, no memory, a disk that takes nothing.
TOLD = {errno.ENOSPC: errno.ENOSPC, errno.EDQUOT: errno.ENOSPC, errno.EIO: errno.EIO, errno.EROFS: errno.EROFS, errno.EACCES: errno.EIO,
        errno.EPERM: errno.EIO, errno.EMFILE: errno.EMFILE, errno.ENFILE: errno.ENFILE, errno.ENOMEM: errno.ENOMEM}
WRITING = CREATE | WRITE | LINK | RENAME | MKDIR | CHMOD | TRUNCATE | COPY | CLONE | UNLINK


def read_when_open(m, path):
    """As m.error, but the faults end with the open."""
    try:
        fd = os.open(m.path(path), os.O_RDONLY)
    except OSError as error:
        return error.errno, b""
    m.faults.disarm()
    try:
        return read_rest(fd)
    finally:
        os.close(fd)


def attempt(m, path, until_open):
    try:
        return read_when_open(m, path) if until_open else m.error(path)
    except OSError as error:
        raise AssertionError(f"{path}: {error}") from error


def check_outcome(got, right, told, what):
    assert got == (0, right) or (told and got == (told, b"")), f"{what}: {got}, and right is {right}"


def fsck(m):
    first = zvm("fsck", "--store", str(m.store))
    if first.returncode:
        assert first.returncode == 1, first
        assert zvm("fsck", "--repair", "--store", str(m.store)).returncode == 0, first
        again = zvm("fsck", "--store", str(m.store))
        assert again.returncode == 0, again
    return first


def go_through(rows, operations=OPERATIONS, unnoticed=False, until_open=False):
    """Every row with every operation, on one mount; all failures are told at the end. `unnoticed`: nothing is computed again because of it, or thrown away; `until_open`: a fault meets no read behind the open."""
    wrong, met = [], 0
    with FaultyMount() as m:
        known = [cold(m) for _ in range(3)]
        for path, right in known:
            assert m.read(path) == right
        assert m.read("run/cat | count.awk | cat/x1") == known[0][1] and m.read("run/tr a b/x1")
        for action, kinds, places, error, skip, count, told in rows:
            for operation in operations:
                what = f"{operation.__name__}: action {action}, kinds {kinds}, places {places}, {errno.errorcode.get(error, error)}, {skip} pass, {count} fail"
                path, right = operation(m)
                m.faults.arm(action, kinds, places, error, skip, count)
                got = attempt(m, path, until_open)
                met += m.faults.disarm()
                try:
                    check_outcome(got, right, told, what)
                    runs = m.runs()
                    assert m.error(path) == (0, right), f"{what}: afterwards {m.error(path)}, and right is {right}"
                    assert not unnoticed or m.runs() == runs, f"{what}: it is not remembered"
                    for other, other_right in known:
                        assert m.error(other) == (0, other_right), f"{what}: another"
                except AssertionError as failure:
                    wrong.append(str(failure))
        assert m.stats()["zvm_runs_in_flight"] == 0
        assert not unnoticed or m.stats()["zvm_objects_condemned_total"] == 0
        fsck(m)
        m.remount()
        for path, right in known:
            assert m.error(path) == (0, right)
    assert met > 0, "no call met its fault"
    assert not wrong, "\n".join(wrong)


@test
def reading_fails():
    """a stored object or record that cannot be opened, read or looked at is computed again; the reader does not notice"""
    go_through([(FAIL, kinds, places, errno.EIO, skip, count, 0)
                for kinds, places in ((OPEN, OBJECTS), (READ, OBJECTS), (OPEN, RECORDS), (READ, RECORDS), (STAT, RECORDS), (OPEN | READ, TABLES))
                for skip, count in [(skip, 1) for skip in range(12)] + [(0, 2)]], until_open=True)


@test
def reading_fails_under_a_guest():
    """the same where it is a running guest that needs the object"""
    go_through([(FAIL, kinds, OBJECTS, errno.EIO, skip, 1, 0) for kinds in (OPEN, READ) for skip in range(0, 60, 2)], (new_library,))


@test
def reading_always_fails():
    """while no record can be read, or no table, every run is computed, and right; while no object can be read, it is right or EIO"""
    go_through([(FAIL, kinds, RECORDS | TABLES, errno.EIO, 0, ALWAYS, 0) for kinds in (OPEN, READ, STAT)] +
               [(FAIL, kinds, OBJECTS, errno.EIO, 0, ALWAYS, errno.EIO) for kinds in (OPEN, READ)])


@test
def short_and_interrupted():
    """transfers of one byte, and calls that a signal interrupts, change nothing"""
    go_through([(SHORT, READ | WRITE | COPY, ANY_PLACE, 0, 0, 50, 0)] + [(FAIL, READ | WRITE | COPY, ANY_PLACE, errno.EINTR, skip, 5, 0) for skip in (0, 10, 20)],
               unnoticed=True)


@test
def a_full_store():
    """ENOSPC and EDQUOT, of whatever call and whenever, are the right bytes or ENOSPC; of a record or a table they are not noticed"""
    go_through([(FAIL, kind, OBJECTS | TEMPORARY, error, skip, ALWAYS, errno.ENOSPC)
                for kind in (CREATE, WRITE, LINK, MKDIR, COPY) for error, skip in ((errno.ENOSPC, 0), (errno.EDQUOT, 0), (errno.ENOSPC, 1), (errno.ENOSPC, 3))])
    go_through([(FAIL, LINK | MKDIR | CREATE | WRITE, RECORDS | TABLES, error, 0, ALWAYS, 0) for error in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)])


@test
def writing_fails():
    """a store that takes nothing gives what it has, and says so about the rest; never that a name does not exist or may not be used"""
    go_through([(FAIL, kind, OBJECTS | TEMPORARY, error, 0, ALWAYS, TOLD[error])
                for kind in (CREATE, WRITE, LINK, CHMOD, TRUNCATE, WRITING) for error in (errno.EIO, errno.EROFS, errno.EACCES)])


@test
def copying_fails():
    """where a file cannot be cloned or copied by the kernel it is copied by hand"""
    go_through([(FAIL, COPY | CLONE, ANY_PLACE, error, 0, ALWAYS, 0) for error in (errno.EIO, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)],
               (snapshot,))


@test
def no_descriptors_no_memory():
    """EMFILE, ENFILE and ENOMEM are the right bytes, or told as what they are"""
    go_through([(FAIL, OPEN | CREATE, OBJECTS | TEMPORARY, error, skip, count, error)
                for error in (errno.EMFILE, errno.ENFILE, errno.ENOMEM) for skip, count in ((0, 1), (1, 1), (2, 1), (0, ALWAYS))])


@test
def tables_are_only_hints():
    """a table in stat/ that takes a piece of a line, or none, costs time and nothing else: also for those who append after it"""
    with FaultyMount() as m:
        m.number = 100
        names = [m.fresh() for _ in range(8)]
        time.sleep(3.1)  # only what is older than that gets a line
        for number, (name, right) in enumerate(names):
            action = (SHORT, FAIL, NOTHING, SHORT)[number % 4]
            m.faults.arm(action, WRITE, TABLES, errno.ENOSPC, 0, 1)
            assert m.error(f"run/count.awk/{name}") == (0, right)
            m.faults.disarm()
            if number % 2:
                m.remount()
        assert (m.store / "stat/shortcuts").stat().st_size > 88
        for name, right in names:
            assert m.error(f"run/count.awk/{name}") == (0, right)
        assert m.runs() == 0
        fsck(m)


BIG = """#!/usr/bin/gawk -f
{
    for (i = 0; i < 4000; i++) {
        line = sprintf("%d %0500d %s", i, i, $0)
        print line
        print line >"/dev/stderr"
    }
}
"""


def overwrite(path):
    """As a disk does it that returns other bytes, but for the change time: that cannot be set."""
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(before.st_size // 2)
        file.write(bytes(before.st_size // 4))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def object_of(m, name):
    digest = os.getxattr(m.path(name), "user.zvm.digest").decode()
    return m.store / "objects" / digest[:2] / digest


def read_rest(fd):
    parts = []
    try:
        while part := os.read(fd, 1 << 16):
            parts.append(part)
        return 0, b"".join(parts)
    except OSError as error:
        return error.errno, b"".join(parts)


@test
def damage_behind_an_open_file():
    """what is damaged while somebody reads it, or cannot be read any more, gives him right bytes as far as they go, and then EIO; the next open is right, without a restart"""
    with FaultyMount() as m:
        m.script("big.awk", BIG)
        damages = {"overwritten": overwrite, "cut": lambda path: os.truncate(path, path.stat().st_size // 2), "emptied": lambda path: os.truncate(path, 0),
                   "failing": lambda path: m.faults.arm(FAIL, READ, OBJECTS, errno.EIO), "deleted": os.unlink,
                   "replaced": lambda path: (path.with_name("new").write_bytes(bytes(100)), path.with_name("new").rename(path))}
        for what, damage in damages.items():
            for tree in ("run", "err", "stream"):
                m.put(what + tree, f"{what} {tree}\n".encode())
                name = f"{tree}/big.awk/{what}{tree}"
                right = b"".join(b"%d %0500d %s %s\n" % (i, i, what.encode(), tree.encode()) for i in range(4000))
                assert m.read(f"run/big.awk/{what}{tree}") == right
                m.settle()  # who opens it before may be given a file of its own
                os.posix_fadvise(fd := os.open(m.path(name), os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED)
                got = os.read(fd, 4096)
                path = object_of(m, f"run/big.awk/{what}{tree}")
                damage(path)
                error, rest = read_rest(fd)
                os.close(fd)
                m.faults.disarm()
                assert right.startswith(got + rest), (what, tree, error, len(rest))
                assert (error == errno.EIO) if what not in ("deleted", "replaced") else (error == 0 and got + rest == right), (what, tree, error, len(rest))
                fd = os.open(m.path(name), os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                assert read_rest(fd) == (0, right), (what, tree)
                os.close(fd)
        found = zvm("fsck", "--store", str(m.store))
        assert found.returncode == 0, found


@test
def without_unnamed_files():
    """on a filesystem that knows no unnamed files all works, also in a row with other faults, and no name stays in tmp/"""
    with FaultyMount() as m:
        m.faults.arm(FAIL, UNNAMED, error=errno.EOPNOTSUPP)
        m.remount()
        for operation in OPERATIONS * 3:
            path, right = operation(m)
            assert m.error(path) == (0, right), operation
        assert m.faults.disarm() > 20
        m.unmount()
        assert os.listdir(m.store / "tmp") == [], os.listdir(m.store / "tmp")
        assert fsck(m).returncode == 0
        m.mount()


@test
def verified_in_part():
    """zvm verify, of which one open below the store fails, never calls what it could not look at verified"""
    with FaultyMount() as m:
        for _ in range(3):
            warm(m)
        m.unmount()
        for error in (errno.EIO, errno.EACCES, errno.EMFILE):
            for skip in range(1000):
                m.faults.arm(FAIL, OPEN, RECORDS, error=error, skip=skip, count=1)
                result = zvm("verify", "--store", str(m.store), env=m.environment())
                if not m.faults.disarm():
                    break
                assert result.returncode == 125 and b": " + os.strerror(error).encode() in result.stderr or b"3 verified" in result.stdout, (skip, result)
            assert skip > 5
        m.mount()


def runs_of(m, path, right):
    """`zvm run` of the same, with faults."""
    stage, name = path.removeprefix("run/").split("/")
    with open(m.inputs / name, "rb") as file:
        result = subprocess.run([ZVM, "run", "--store", str(m.store), "--scripts", str(m.scripts), stage], stdin=file, capture_output=True, timeout=60,
                                env=m.environment())
    assert result.returncode == -9 or result.stdout == right, result
    return result.returncode


@test
def killed_at_every_call():
    """`zvm run` is killed before or after its calls below the store, one after another: the next one gives the right bytes, and fsck finds nothing"""
    need_fuse()
    m = FaultyMount()
    try:
        path, right = pipeline(m)
        everything = OPEN | CREATE | READ | WRITE | LINK | RENAME | MKDIR | SYNC | CHMOD | TRUNCATE | COPY | CLONE | STAT | UNLINK
        m.faults.arm(FAIL, everything, ANY_PLACE | ELSEWHERE, 0, ALWAYS, 0)
        assert runs_of(m, path, right) == 0
        calls = m.faults.counted()
        m.faults.disarm()
        assert calls > 50, calls
        killed = 0
        chosen = range(0, calls, int(os.environ.get("EVERY", "3")))
        for turn, number in enumerate(chosen):
            if turn % 8 == 0:  # from nothing, again and again
                shutil.rmtree(m.store)
            else:
                path, right = pipeline(m)
            m.faults.arm((KILL_BEFORE, KILL_AFTER)[turn % 2], everything, ANY_PLACE | ELSEWHERE, 0, number, 1)
            killed += runs_of(m, path, right) == -9
            m.faults.disarm()
            if turn % 8 == 7:
                assert runs_of(m, path, right) == 0
                first = fsck(m)
                assert first.returncode == 0, (number, first)
        assert killed > len(chosen) // 2, (killed, calls)
        assert runs_of(m, path, right) == 0
    finally:
        shutil.rmtree(m.root, ignore_errors=True)


if __name__ == "__main__":
    main()
