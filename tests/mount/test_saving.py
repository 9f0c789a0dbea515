"""Readers are answered before their run is saved: between the two it is as if it was, for everybody, and what then becomes of it is what ever became of a save.

The save is held up where it begins, at the names of the objects or later, at the directory of the action, for as long as the test looks at what is true meanwhile.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from faulty import ALWAYS, FAIL, LINK, MKDIR, OBJECTS, RECORDS, STALL, FaultyMount  # noqa: E402
from harness import ZVM, Mount, main, test, zvm  # noqa: E402
from processes import wait_until  # noqa: E402

TELL = "#!/usr/bin/gawk -f\n{ getline word < \"/script/word\"; print word, $0; print \"seen\", $0 > \"/dev/stderr\" }\n"


def records(m):
    return [path for path in (m.store / "records").glob("*/*/*")]


class Unsaved:
    """with Unsaved(m): runs are not saved in here."""

    def __init__(self, m, places=RECORDS):
        self.m, self.places = m, places

    def __enter__(self):
        self.before = len(records(self.m))
        self.m.faults.arm(STALL, MKDIR | LINK, self.places)
        return self

    def assert_unsaved(self):
        wait_until(self.m.faults.met, "nothing is to be saved")
        assert len(records(self.m)) == self.before, "it has been saved meanwhile, and nothing was proven"

    def __exit__(self, kind, *_):
        if not kind:
            self.assert_unsaved()
        self.m.faults.disarm()


def know(m, spec):
    """All that it reads but its input is stored, and known by its stat: only what is new is stored from then on."""
    time.sleep(3.1)
    m.put("before")
    m.read(f"run/{spec}/before")
    m.settle()


def wait_for_records(m, count):
    wait_until(lambda: len(records(m)) == count, f"there are not {count} records")


class Reading(threading.Thread):
    def __init__(self, m, name):
        super().__init__(daemon=True)
        self.m, self.name, self.got = m, name, None
        self.start()

    def run(self):
        self.got = self.m.error(self.name)

    def end(self):
        self.join(60)
        return self.got


def tell(m):
    m.script("tell.awk", TELL)
    m.script("word", "one\n", 0o644)
    know(m, "tell.awk")


@test
def as_if_it_was_saved():
    """a second open at once, another name of the same action, err/, info/, cas/, stat and the attributes find a run that is not saved yet; nothing runs again"""
    for places in (RECORDS, RECORDS | OBJECTS):
        with FaultyMount() as m:
            tell(m)
            m.put("a", b"input\n")
            m.put("b", b"input\n")
            with Unsaved(m, places):
                assert m.read("run/tell.awk/a") == b"one input\n"
                hits = m.stats()["zvm_cache_hits_total"]
                assert m.read("run/tell.awk/a") == b"one input\n"
                assert m.read("run/tell.awk/b") == b"one input\n"
                assert m.stats()["zvm_cache_hits_total"] == hits + 2
                for name in "ab":
                    path = m.path(f"run/tell.awk/{name}")
                    assert os.getxattr(path, "user.zvm.state") == b"computed" and os.getxattr(path, "user.zvm.exit") == b"0"
                    digest = os.getxattr(path, "user.zvm.digest").decode()
                    assert m.read(f"cas/{digest}") == b"one input\n"
                    assert (m.store / "objects" / digest[:2] / digest).exists() == (places == RECORDS)
                    assert os.stat(path).st_size == len(b"one input\n")
                    assert m.read(f"err/tell.awk/{name}") == b"seen input\n"
                    info = json.loads(m.read(f"info/tell.awk/{name}"))
                    assert info["state"] == "done" and info["stdout"] == {"digest": digest, "size": 10}, info
                inode = os.stat(m.path("run/tell.awk/a")).st_ino
                stats = m.stats()
                assert (stats["zvm_box_runs_total"], stats["zvm_cache_misses_total"], stats["zvm_runs_in_flight"], stats["zvm_runs_unsaved"]) == (2, 2, 0, 1), stats
                held = open(m.path("run/tell.awk/a"), "rb")
            wait_for_records(m, 2)
            m.settle()
            os.posix_fadvise(held.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            assert held.read() == b"one input\n"
            held.close()
            assert (m.store / "objects" / digest[:2] / digest).read_bytes() == b"one input\n"
            assert m.read("run/tell.awk/a") == m.read("run/tell.awk/b") == b"one input\n"
            assert os.stat(m.path("run/tell.awk/a")).st_ino == inode and m.runs() == 2
            m.remount()
            assert m.read("run/tell.awk/a") == b"one input\n" and m.runs() == 0
            assert os.stat(m.path("run/tell.awk/a")).st_ino == inode
            assert zvm("fsck", "--store", str(m.store)).returncode == 0


@test
def stored_by_somebody_else_meanwhile():
    """if another process has stored the same input and output before they have their names, those are it, and who reads goes on reading"""
    with FaultyMount() as m:
        know(m, "cat")
        data = b"".join(b"%d\n" % n for n in range(100000))
        m.put("long", data)
        with Unsaved(m, RECORDS | OBJECTS) as unsaved:
            held = open(m.path("run/cat/long"), "rb", buffering=0)
            assert held.read(4096) == data[:4096]
            alone = subprocess.run([ZVM, "run", "--store", m.store, "tr x y"], input=data, capture_output=True, check=True)
            assert alone.stdout == data
            unsaved.before += 1
        m.settle()
        os.posix_fadvise(held.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert b"".join(iter(lambda: held.read(1 << 16), b"")) == data[4096:]
        held.close()
        assert m.read("run/cat/long") == data and m.stats()["zvm_objects_condemned_total"] == 0
        m.remount()
        assert m.read("run/cat/long") == data and m.runs() == 0


@test
def what_failed_as_well():
    """a failed run that is not saved yet gives its bytes and then EIO again, and its attributes say so"""
    with FaultyMount() as m:
        m.put("a", b"input\n")
        with Unsaved(m):
            for _ in range(2):
                assert m.error("run/grep -c penguin/a") == (5, b"0\n")
                assert os.getxattr(m.path("run/grep -c penguin/a"), "user.zvm.state") == b"failed"
            assert m.runs() == 1 and m.stats()["zvm_failures_total"] == 1


@test
def changes_are_seen():
    """what a run has read and is changed before the run is saved makes it no answer any more; nor is it one afterwards"""
    with FaultyMount() as m:
        tell(m)
        m.put("a", b"input\n")
        with Unsaved(m) as unsaved:
            assert m.read("run/tell.awk/a") == b"one input\n"
            m.script("word", "two\n", 0o644)
            assert os.getxattr(m.path("run/tell.awk/a"), "user.zvm.state") == b"absent"
            other = Reading(m, "run/tell.awk/a")
            m.put("next", b"changed\n").rename(m.inputs / "a")  # never empty, for the other one to see
            assert m.read("run/tell.awk/a") == b"two changed\n"
            unsaved.assert_unsaved()
        assert other.end() in ((0, b"two input\n"), (0, b"two changed\n")), other.got
        assert m.read("run/tell.awk/a") == b"two changed\n"
        m.put("a", b"input\n")
        assert m.read("run/tell.awk/a") == b"two input\n"


@test
def other_processes_wait():
    """another daemon and a `zvm run` that want the same run wait until it is saved, and do not run it; zvm explain says that it is there"""
    with FaultyMount() as m, Mount() as other:
        other.unmount()
        other.inputs, other.scripts, other.store = m.inputs, m.scripts, m.store
        Mount.mount(other)
        name, right = m.fresh()
        with Unsaved(m):
            assert m.read(f"run/count.awk/{name}") == right
            reading = Reading(other, f"run/count.awk/{name}")
            alone = subprocess.Popen([ZVM, "run", "--stats", "--store", m.store, "--scripts", m.scripts, "count.awk"], stdin=open(m.inputs / name, "rb"),
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            explaining = subprocess.Popen([ZVM, "explain", m.path(f"run/count.awk/{name}")], stdout=subprocess.PIPE)
            time.sleep(0.25)
            assert reading.got is None and alone.poll() is None
        assert explaining.communicate(timeout=60)[0] and explaining.returncode == 0
        assert reading.end() == (0, right) and other.runs() == 0
        out, err = alone.communicate(timeout=60)
        assert out == right and re.search(rb"zvm_box_runs_total 0\b", err), err


@test
def the_end_waits():
    """a daemon that is unmounted or gets SIGTERM, and `zvm run`, end when the run is saved, not before"""
    with FaultyMount() as m:
        for number, end in enumerate((lambda pid: zvm("umount", str(m.at)), lambda pid: os.kill(pid, signal.SIGTERM))):
            name, right = m.fresh()
            pid = m.daemon()
            with Unsaved(m):
                assert m.read(f"run/count.awk/{name}") == right
                end(pid)
                time.sleep(0.2)
                os.kill(pid, 0)
            wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the daemon does not end")
            assert len(records(m)) == number + 1
            m.mount()
            assert m.read(f"run/count.awk/{name}") == right and m.runs() == 0
        name, right = m.fresh()
        with Unsaved(m), open(m.inputs / name, "rb") as file:
            run = subprocess.Popen([ZVM, "run", "--store", m.store, "--scripts", m.scripts, "count.awk"], stdin=file, stdout=subprocess.PIPE, env=m.environment())
            assert run.stdout.readline() == right
            time.sleep(0.2)
            assert run.poll() is None
        assert run.wait(20) == 0 and len(records(m)) == 3


@test
def killed_in_between():
    """kill -9 between the answer and the save loses the run and nothing else: it is computed again, and fsck finds nothing"""
    with FaultyMount() as m:
        known, right_of_known = m.fresh()
        know(m, "count.awk")
        assert m.read(f"run/count.awk/{known}") == right_of_known
        wait_for_records(m, 2)
        for lines, places in ((10, RECORDS), (20, RECORDS | OBJECTS)):
            name, right = m.fresh(lines)
            pid = m.daemon()
            with Unsaved(m, places) as unsaved:
                assert m.read(f"run/count.awk/{name}") == right
                before = len(records(m))
                unsaved.assert_unsaved()
                os.kill(pid, signal.SIGKILL)
                wait_until(lambda: not Path(f"/proc/{pid}").exists(), "it does not die")
                subprocess.run(["umount", "-l", m.at], check=True)
            assert zvm("fsck", "--store", str(m.store)).returncode == 0
            m.mount()
            assert len(records(m)) == before
            assert m.read(f"run/count.awk/{name}") == right and m.runs() == 1
            assert m.read(f"run/count.awk/{known}") == right_of_known and m.runs() == 1
            wait_for_records(m, before + 1)


@test
def a_save_that_fails():
    """a save that fails is noticed by no reader: the next one computes, until one succeeds, and the log says why each did not"""
    with FaultyMount() as m:
        m.unmount()
        with open(m.root / "log", "wb") as log:
            daemon = subprocess.Popen([ZVM, "mount", "-f", "--store", m.store, "--inputs", m.inputs, "--scripts", m.scripts, m.at], stderr=log, env=m.environment())
        wait_until(m.is_mounted, "it is not mounted")
        wait_until((m.at / "stats").exists, "it does not answer")
        know(m, "count.awk")
        name, right = m.fresh()
        for number in range(1, 5):
            m.faults.arm(FAIL, MKDIR | LINK, OBJECTS if number < 3 else RECORDS, 28, 0, ALWAYS)
            assert m.read(f"run/count.awk/{name}") == right
            wait_until(lambda: (m.root / "log").read_bytes().count(b"is not remembered: No space left on device") == number, "it is not logged")
            m.settle()
            assert m.runs() == number + 1 and os.getxattr(m.path(f"run/count.awk/{name}"), "user.zvm.state") == b"absent"
        m.faults.disarm()
        assert m.read(f"run/count.awk/{name}") == right and m.runs() == 6
        assert m.read(f"run/count.awk/{name}") == right and m.runs() == 6
        m.unmount()
        assert daemon.wait(20) == 0 and len(records(m)) == 2


@test
def boxes_are_free_again():
    """with one box at a time another result is computed while the first one is not saved yet"""
    with FaultyMount("-o", "max_jobs=1") as m:
        names = [m.fresh() for _ in range(3)]
        with Unsaved(m):
            for name, right in names:
                assert m.read(f"run/count.awk/{name}") == right
            assert m.runs() == 3
        wait_for_records(m, 3)


if __name__ == "__main__":
    main()
