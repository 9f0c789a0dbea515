"""gc, by the daemon and by hand, beside readers: nobody is given an error or a wrong byte, and what stays are hits."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import ZVM, Mount, Skip, main, test, zvm  # noqa: E402
from processes import wait_until  # noqa: E402

# 1 MiB that depends on the input, made quickly.
LARGE = "#!/usr/bin/gawk -f\n{ line = sprintf(\"%1023s\", $0); for (i = 0; i < 1024; i++) print line }\n"
SMALL = "#!/usr/bin/gawk -f\n{ for (i = 0; i < 1000; i++) print $0, i }\n"


def large(text):
    return (text.rjust(1023) + "\n").encode() * 1024


def small(text):
    return "".join(f"{text} {i}\n" for i in range(1000)).encode()


def disk_bytes(directory):
    """What is removed meanwhile, directories too, counts or does not."""
    total = 0
    for top, directories, files in os.walk(directory):
        for name in [".", *files]:
            try:
                total += os.lstat(os.path.join(top, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def gc(store, *options):
    result = zvm("gc", "--store", str(store), "--min-free", "0", *options)
    assert result.returncode == 0 and result.stdout.count(b"\n") == 1 and not result.stderr, result
    return result.stdout.decode()


class Reader(threading.Thread):
    """Reads results and compares them, until it is told to end; nor does it outlive a test that fails."""

    def __init__(self, mount, names, expected, script):
        super().__init__(daemon=True)
        self.mount, self.names, self.expected, self.script = mount, names, expected, script
        self.ended, self.wrong, self.count = False, [], 0
        self.start()

    def run(self):
        while not self.ended:
            for name in self.names:
                try:
                    if self.mount.read(f"run/{self.script}/{name}") != self.expected(name):
                        self.wrong.append(name)
                except OSError as error:
                    self.wrong.append((name, error))
                self.count += 1
                if self.ended:
                    return

    def end(self):
        self.ended = True
        self.join()
        assert self.wrong == [] and self.count, (self.wrong[:5], self.count)


@test
def a_store_stays_below_its_limit():
    """a mount with store_size that is written far beyond it stays below it; every reader gets every byte, and what was read last is a hit"""
    limit = 100 << 20
    with Mount("-o", "store_size=100M,store_free=0") as m:
        m.script("large.awk", LARGE)
        for number in range(200):
            m.put(str(number), f"{number}\n".encode())
        readers = [Reader(m, [str(n) for n in range(k, 200, 40)], large, "large.awk") for k in (3, 7)]
        most = 0
        for number in range(200):
            assert m.read(f"run/large.awk/{number}") == large(str(number))
            if number % 10 == 0:
                most = max(most, disk_bytes(m.store))
        for reader in readers:
            reader.end()
        assert most < limit, (most, m.stats())
        wait_until(lambda: m.stats()["zvm_store_bytes"] < limit * 9 // 10, "it is not collected")
        stats = m.stats()
        assert stats["zvm_gc_runs_total"] > 1 and stats["zvm_gc_removed_records_total"] > 50, stats
        assert stats["zvm_gc_removed_bytes_total"] > limit and stats["zvm_gc_removed_objects_total"] > 50, stats
        assert stats["zvm_objects_condemned_total"] == 0 and stats["zvm_object_twins_total"] == 0, stats
        runs = m.runs()
        for number in range(190, 200):
            assert m.read(f"run/large.awk/{number}") == large(str(number))
        assert m.runs() == runs


@test
def what_stays_is_a_hit_and_what_went_is_computed_again():
    """when scripts, inputs and dependencies are collected, results stay hits, also after a remount; a result that went is computed again and is the same"""
    with Mount("-o", "store_free=0") as m:
        m.script("small.awk", SMALL)
        for name in "abc":
            m.put(name, name.encode() + b"\n")
            os.utime(m.inputs / name, (1, 1))
            assert m.read(f"run/small.awk/{name}") == small(name)
            time.sleep(0.05)
        digest = os.getxattr(m.path("run/small.awk/a"), "user.zvm.digest")
        before = len(list((m.store / "objects").glob("*/*")))
        assert "removed 0 results" in gc(m.store, "--max-size", str(disk_bytes(m.store) * 19 // 20))
        assert len(list((m.store / "objects").glob("*/*"))) < before, "nothing was collected"
        runs = m.runs()
        for _ in range(2):
            for name in "abc":
                assert m.read(f"run/small.awk/{name}") == small(name)
            assert m.runs() == runs
            m.unmount()
            m.mount()
            runs = 0
        assert "removed 3 results" in gc(m.store, "--max-size", "0")
        assert [path for path in (m.store / "objects").rglob("*") if not path.is_dir()] == []
        for name in "abc":
            assert os.getxattr(m.path(f"run/small.awk/{name}"), "user.zvm.state") == b"absent"
            assert m.read(f"run/small.awk/{name}") == small(name)
        assert m.runs() == 3
        assert os.getxattr(m.path("run/small.awk/a"), "user.zvm.digest") == digest


@test
def by_hand_beside_everything():
    """with `zvm gc` in a loop, half of them killed, every reader of a mount and every `zvm run` on the same store gets the right bytes"""
    with Mount("-o", "store_free=0") as m:
        m.script("small.awk", SMALL)
        names = [str(n) for n in range(12)]
        for name in names:
            m.put(name, name.encode() + b"\n")
        readers = [Reader(m, order, small, "small.awk") for order in (names, names[::-1])]
        wrong, ended = [], threading.Event()

        def run_in_a_loop():
            while not ended.is_set():
                got = zvm("run", "--store", str(m.store), "--scripts", str(m.scripts), "small.awk", input=b"5\n")
                if got.returncode or got.stdout != small("5"):
                    wrong.append(got)

        runner = threading.Thread(target=run_in_a_loop, daemon=True)
        runner.start()
        end = time.monotonic() + 12
        turn = 0
        while time.monotonic() < end:
            turn += 1
            command = [ZVM, "gc", "--store", str(m.store), "--min-free", "0", "--max-size", "0" if turn % 3 else "3M"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE)
            if turn % 2:
                time.sleep(turn % 17 / 200)
                process.send_signal(signal.SIGKILL)
            process.communicate(timeout=60)
            assert process.returncode in (0, -signal.SIGKILL), process.returncode
        ended.set()
        runner.join()
        for reader in readers:
            reader.end()
        assert wrong == [], wrong[:1]
        stats = m.stats()
        assert stats["zvm_objects_condemned_total"] == 0 and stats["zvm_object_twins_total"] == 0, stats
        gc(m.store, "--max-size", "0")
        for name in names:
            assert m.read(f"run/small.awk/{name}") == small(name)
        runs = m.runs()
        for name in names:
            assert m.read(f"run/small.awk/{name}") == small(name)
        assert m.runs() == runs


def fill(limit, script, expected, count):
    """Reads so many results into a store of its own tmpfs; how many did not fit, and how many runs gc removed."""
    with Mount("-o", "store_free=12M") as m:
        m.unmount()
        shutil.rmtree(m.store)
        m.store.mkdir(mode=0o700)
        command = ["mount", "-t", "tmpfs", "-o", f"{limit},mode=700", "zvm-test", str(m.store)]
        if subprocess.run(command, capture_output=True).returncode != 0:
            raise Skip("no filesystem can be mounted here (that takes root)")
        try:
            m.mount()
            m.script("script.awk", script)
            full = 0
            for number in range(count):
                m.put(str(number), f"{number}\n".encode())
                failed, got = m.error(f"run/script.awk/{number}")
                assert failed in (0, errno.ENOSPC), failed
                full += failed == errno.ENOSPC
                assert failed or got == expected(str(number))
            removed = m.stats()["zvm_gc_removed_records_total"]
            m.unmount()
        finally:
            subprocess.run(["umount", "-l", str(m.store)], check=False)
        m.mount()
        return full, removed


@test
def a_disk_that_fills():
    """a filesystem that fills is freed to the floor, so that runs go on where the store alone would have filled it"""
    full, removed = fill("size=48M", LARGE, large, 100)
    assert full <= 2 and removed > 40, (full, removed)


@test
def a_disk_without_inodes():
    """a filesystem that has room, but no inode for another file, is freed as well"""
    full, removed = fill("size=400M,nr_inodes=4000", SMALL, small, 1500)
    assert full <= 20 and removed > 40, (full, removed)


@test
def the_command():
    """zvm gc says in one line what it did; a dry run changes nothing; a second one leaves; wrong options are 2, what is no store is 125"""
    with Mount("-o", "store_free=0") as m:
        m.script("small.awk", SMALL)
        m.put("a", b"a\n")
        assert m.read("run/small.awk/a") == small("a")
        m.settle()
        before = sorted(map(str, m.store.rglob("*")))
        assert "would remove 1 results" in gc(m.store, "--max-size", "0", "--dry-run")
        assert sorted(map(str, m.store.rglob("*"))) == before
        for wrong in (["--max-size", "x"], ["--max-size"], ["--min-free", "-1"], ["--unknown"], ["extra"], ["--max-size", "1Q"]):
            assert zvm("gc", *wrong, "--store", str(m.store)).returncode == 2, wrong
        assert sorted(map(str, m.store.rglob("*"))) == before
        assert zvm("gc", "--store", str(m.inputs)).returncode == 125
        assert zvm("gc", "--store", str(m.root / "nowhere")).returncode == 125
        assert not (m.root / "nowhere").exists()
        assert zvm("gc", "--help").returncode == 0
        for wrong in ("store_size=x", "store_size=0", "store_free=", "store_size"):
            assert zvm("mount", "-o", wrong, str(m.at)).returncode == 2, wrong


if __name__ == "__main__":
    main()
