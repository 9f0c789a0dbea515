"""What has been read often enough to be watched instead of looked at is right all the same, the moment after any change."""

import mmap
import os
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import Mount, main, test

SCRIPT = "#!/usr/bin/python3\nimport sys\nsys.path.insert(0, '/script')\nimport helper\nprint(helper.word, sys.stdin.read())\n"
READS = 12
SETTLE_S = 3.1  # a stat is believed once a file's times are more than two whole seconds old


def watched(m):
    """The inodes that the daemon has inotify watches on."""
    found = set()
    for path in Path(f"/proc/{m.daemon()}/fdinfo").iterdir():
        try:
            found |= {int(inode, 16) for inode in re.findall(r"^inotify wd:\S+ ino:(\S+)", path.read_text(), re.M)}
        except FileNotFoundError:
            pass
    return found


def warm(m, name="run/tell.py/a", is_watched=True):
    """Reads it until it is watched and nothing more is learned of it; what it was. Unwatched, what follows would prove nothing."""
    m.read(name)
    time.sleep(SETTLE_S)
    seen = {m.read(name) for _ in range(READS)}
    assert len(seen) == 1, seen
    assert m.scripts.stat().st_ino in watched(m)
    if name == "run/tell.py/a":
        assert ((m.scripts / "helper.py").stat().st_ino in watched(m)) == is_watched, "it is watched, or it is not"
    return seen.pop()


def mounted():
    m = Mount()
    m.script("tell.py", SCRIPT)
    m.script("helper.py", "word = 'one'\n", 0o644)
    m.put("a", b"input")
    return m


def assert_recomputes(m, change, expected, name="run/tell.py/a"):
    before, runs = warm(m, name), m.runs()
    change()
    now = m.read(name)
    assert now == expected, (before, now)
    assert m.runs() == runs + 1, (runs, m.runs())


def rewrite(path, text):
    path.write_text(text)


def replace(path, text):
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def store_through_mapping(path, text):
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[:len(text)] = text.encode()


@test
def a_module_that_is_changed():
    """a module of the script that is rewritten, replaced, or stored into through a mapping is seen at the next open"""
    for change in (rewrite, replace, store_through_mapping):
        with mounted() as m:
            assert_recomputes(m, lambda: change(m.scripts / "helper.py", "word = 'two'\n"), b"two input\n")


@test
def a_mapping_that_stays():
    """so is a store through a mapping that is still there, made by a file opened before or after it was watched"""
    for early in (True, False):
        with mounted() as m:
            path = m.scripts / "helper.py"
            mapped = None
            if early:
                file = open(path, "r+b")
                mapped = mmap.mmap(file.fileno(), 0)
            warm(m, is_watched=not early)  # who has it open for writing may write silently
            if not early:
                file = open(path, "r+b")
                mapped = mmap.mmap(file.fileno(), 0)
                m.read("run/tell.py/a")
            mapped[:] = b"word = 'two'\n"
            assert m.read("run/tell.py/a") == b"two input\n"
            mapped.close()
            file.close()


@test
def a_name_that_appears_earlier():
    """a module that appears where it is looked for first, and a script of that name in an earlier directory"""
    with mounted() as m:
        def appear():
            (m.scripts / "helper").mkdir()
            rewrite(m.scripts / "helper" / "__init__.py", "word = 'package'\n")
        assert_recomputes(m, appear, b"package input\n")
    with mounted() as m:
        assert_recomputes(m, lambda: m.script("cat", "#!/usr/bin/python3\nprint('mine')\n"), b"mine\n", "run/cat/a")


@test
def the_script_and_the_input():
    """the script and the input, whether they are written to or replaced"""
    for change in (rewrite, replace):
        with mounted() as m:
            assert_recomputes(m, lambda: change(m.inputs / "a", "other"), b"one other\n")
        with mounted() as m:
            def edit():
                change(m.scripts / "tell.py", "#!/usr/bin/python3\nprint('edited')\n")
                (m.scripts / "tell.py").chmod(0o755)
            assert_recomputes(m, edit, b"edited\n")


@test
def an_open_without_a_lookup():
    """an open through /proc/self/fd, which looks no name up, is told that its file is not the answer any more, and never the old bytes"""
    with mounted() as m:
        warm(m)
        held = os.open(m.path("run/tell.py/a"), os.O_PATH)
        rewrite(m.scripts / "helper.py", "word = 'two'\n")
        try:
            with open(f"/proc/self/fd/{held}", "rb") as file:
                assert file.read() == b"two input\n"
        except OSError as error:
            assert error.errno == 116, error  # ESTALE
        os.close(held)
        assert m.read("run/tell.py/a") == b"two input\n"


@test
def changed_and_changed_back():
    """what is changed and put back is not computed again, however often"""
    with mounted() as m:
        first, runs = warm(m), m.runs()
        for _ in range(5):
            rewrite(m.scripts / "helper.py", "word = 'two'\n")
            assert m.read("run/tell.py/a") == b"two input\n"
            rewrite(m.scripts / "helper.py", "word = 'one'\n")
            assert m.read("run/tell.py/a") == first
        assert m.runs() == runs + 1


@test
def hits_are_counted():
    """each warm read counts as a hit of each stage"""
    with mounted() as m:
        warm(m, "run/cat | cat/a")
        before = m.stats()["zvm_cache_hits_total"]
        for _ in range(10):
            m.read("run/cat | cat/a")
        assert m.stats()["zvm_cache_hits_total"] == before + 20


@test
def the_object_is_lost():
    """a watched result whose bytes have gone from the store is computed again"""
    with mounted() as m:
        first, runs = warm(m), m.runs()
        digest = os.getxattr(m.path("run/tell.py/a"), "user.zvm.digest").decode()
        (m.store / "objects" / digest[:2] / digest).unlink()
        assert m.read("run/tell.py/a") == first
        assert m.runs() == runs + 1


main()
