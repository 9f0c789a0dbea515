"""Many at once: daemons and `zvm run` that share a store compute each result once, and none waits for the dead."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import ZVM, Mount, Skip, main, need_fuse, test, zvm  # noqa: E402

# A loop that takes a second or two of processor time, whatever else happens: only real time is of use here.
SLOW = "#!/usr/bin/gawk -f\n{ for (i = 0; i < %d; i++) x += i %% 7; print x, $0 }\n"
ROUNDS = 9000000


def slow(rounds=ROUNDS):
    return SLOW % rounds


class Shared(Mount):
    """Another mount of the same scripts, inputs and store."""

    def __init__(self, first, *options):
        super().__init__(*options)
        self.inputs, self.scripts, self.store = first.inputs, first.scripts, first.store

    def __exit__(self, *arguments):
        try:
            self.unmount()
        finally:
            shutil.rmtree(self.root, ignore_errors=True)

    def daemon(self):
        raise AssertionError("two have this store: ask for daemons()")


def run_alone(m, spec, data, **options):
    """`zvm run` in the background; its counters come on stderr."""
    process = subprocess.Popen([ZVM, "run", "--stats", "--store", str(m.store), "--scripts", str(m.scripts), spec], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    process.stdin.write(data)
    process.stdin.close()
    process.stdin = None
    return process


def runs_of(stats):
    return int(re.search(rb"^zvm_box_runs_total (\d+)$", stats, re.M)[1])


class Reader(threading.Thread):
    """Reads a file in a thread of its own; .got is its bytes or its errno, .took the seconds."""

    def __init__(self, m, name):
        super().__init__()
        self.m, self.name, self.got, self.took = m, name, None, None
        self.start()

    def run(self):
        begin = time.monotonic()
        error, data = self.m.error(self.name)
        self.got, self.took = error or data, time.monotonic() - begin


def wait_until(true, seconds=30):
    for _ in range(int(seconds * 200)):
        if true():
            return
        time.sleep(0.005)
    raise AssertionError("it did not happen")


def daemon_of(m):
    """The process that serves this mount: of those with its mount point in the command line the one no other has started."""
    found = subprocess.run(["pgrep", "-f", f" {re.escape(str(m.at))}$"], capture_output=True, text=True, check=True)
    pids = set(map(int, found.stdout.split()))
    parent = {pid: int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]) for pid in pids}
    return next(pid for pid in pids if parent[pid] not in pids)


def is_running(m):
    return m.stats()["zvm_runs_in_flight"] == 1


def first_of(m, text, name="x", data=b"hello\n"):
    """A reader for whom this daemon is computing right now."""
    m.script("slow.awk", text)
    m.put(name, data)
    reader = Reader(m, f"run/slow.awk/{name}")
    wait_until(lambda: is_running(m))
    return reader


def forget_mount(m):
    """After its daemon was killed."""
    subprocess.run(["umount", "-l", str(m.at)], check=False, capture_output=True)


@test
def one_run_in_all():
    """two daemons and four `zvm run` asked for one slow result at the same time are one run in the sum of all counters, and all have the same bytes"""
    with Mount() as a, Shared(a) as b:
        a.script("slow.awk", slow())
        data = b"the same input\n"
        a.put("x", data)
        a.put("copy", data)
        readers = [Reader(m, f"run/slow.awk/{name}") for name in ("x", "copy") for m in (a, b) for _ in range(3)]
        alone = [run_alone(a, "slow.awk", data) for _ in range(4)]
        ends = [process.communicate(timeout=60) for process in alone]
        for reader in readers:
            reader.join(60)
        results = {reader.got for reader in readers} | {out for out, _ in ends}
        assert len(results) == 1 and b"the same input" in next(iter(results)), results
        assert all(process.returncode == 0 for process in alone), ends
        runs = [a.runs(), b.runs(), *(runs_of(err) for _, err in ends)]
        assert sum(runs) == 1, runs


@test
def one_run_of_each_stage():
    """the stages of pipelines are shared as well: two daemons with three pipelines that begin alike run the common stage once"""
    with Mount() as a, Shared(a) as b:
        a.script("slow.awk", slow(ROUNDS // 2))
        a.put("x", b"1\n2\n")
        specs = ["slow.awk | cat", "slow.awk | rev", "slow.awk | wc -c"]
        readers = [Reader(m, f"run/{spec}/x") for spec in specs for m in (a, b)]
        for reader in readers:
            reader.join(60)
        assert all(isinstance(reader.got, bytes) and reader.got for reader in readers), [reader.got for reader in readers]
        assert a.runs() + b.runs() == 4, (a.runs(), b.runs())


@test
def a_run_that_fails_is_shared():
    """a run that fails is one result like any other: the bytes, then EIO, once computed"""
    with Mount() as a, Shared(a) as b:
        a.script("fails.awk", slow(ROUNDS // 3).replace("print x, $0", "print x; exit 3"))
        a.put("x")
        readers = [Reader(m, "run/fails.awk/x") for m in (a, b)]
        for reader in readers:
            reader.join(60)
        assert [reader.got for reader in readers] == [errno.EIO] * 2 and a.runs() + b.runs() == 1


@test
def death_of_the_computing_daemon():
    """the computing daemon killed -9 midway: another takes over, and no reader of the other daemon or of `zvm run` sees an error"""
    with Mount() as a, Shared(a) as b:
        first = first_of(a, slow())
        others = [Reader(b, "run/slow.awk/x") for _ in range(3)]
        alone = run_alone(a, "slow.awk", b"hello\n")
        time.sleep(0.3)
        assert b.stats()["zvm_runs_in_flight"] == 0
        os.kill(daemon_of(a), signal.SIGKILL)
        out, err = alone.communicate(timeout=60)
        for reader in (first, *others):
            reader.join(60)
        forget_mount(a)
        assert not isinstance(first.got, bytes)
        assert all(reader.got == out for reader in others) and out, [reader.got for reader in others]
        assert alone.returncode == 0 and b.runs() + runs_of(err) == 1, (b.runs(), err)


def children_of(pid):
    return [int(child) for child in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()]


def stop(pid):
    """A child of a daemon may be a gc that has ended, or the launcher that was killed and is buried by now."""
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return False
    return True


def seconds_until_taken_over():
    """Of a claim whose daemon is killed, while the launcher lives on. It was started again in between, when the daemon had the store open."""
    with Mount() as a, Shared(a) as b:
        daemon = daemon_of(a)
        before = children_of(daemon)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        first = first_of(a, slow(ROUNDS // 3))
        # The run counts as one in flight also while the launcher that it needs is made.
        wait_until(lambda: set(children_of(daemon)) - set(before))
        time.sleep(0.1)
        family = [pid for pid in children_of(daemon) if stop(pid)]
        other = Reader(b, "run/slow.awk/x")
        time.sleep(0.2)
        assert b.stats()["zvm_runs_in_flight"] == 0
        try:
            os.kill(daemon, signal.SIGKILL)
            killed = time.monotonic()
            wait_until(lambda: is_running(b), 2)
            took = time.monotonic() - killed
            other.join(60)
        finally:
            for pid in family:
                os.kill(pid, signal.SIGCONT)
        first.join(60)
        forget_mount(a)
        assert isinstance(other.got, bytes) and b.runs() == 1
        return took


@test
def the_claim_ends_with_the_daemon():
    """a launcher that is stopped, and so outlives its killed daemon, keeps nothing claimed: the other daemon begins within a tenth of a second"""
    took = []
    while not took or took[-1] >= 0.1:
        assert len(took) < 3, took  # a machine that has much else to do may be late, but not always
        took.append(seconds_until_taken_over())


@test
def a_stopped_holder_does_not_stop_all():
    """a daemon that is stopped with a claim holds others up for no longer than its run may take"""
    with Mount() as a, Shared(a) as b:
        first = first_of(a, slow(ROUNDS // 6).replace("\n", "\n# zvm: timeout=3\n", 1))
        daemon = daemon_of(a)
        os.kill(daemon, signal.SIGSTOP)
        try:
            other = Reader(b, "run/slow.awk/x")
            other.join(30)
        finally:
            os.kill(daemon, signal.SIGCONT)
        assert isinstance(other.got, bytes) and 4 < other.took < 15, (other.got, other.took)
        first.join(60)
        assert first.got in (other.got, errno.ETIMEDOUT), first.got


@test
def a_waiter_that_is_interrupted():
    """a reader that waits for another daemon's run and is interrupted has EINTR at once; the run goes on, and its result is there afterwards"""
    with Mount() as a, Shared(a) as b:
        first = first_of(a, slow())
        waiter = subprocess.Popen(["cat", b.path("run/slow.awk/x")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(0.3)
        assert waiter.poll() is None
        waiter.terminate()
        waiter.communicate(timeout=10)
        assert waiter.returncode == -signal.SIGTERM and first.is_alive(), f"it came back with the end of the run: {waiter.returncode}"
        first.join(60)
        assert isinstance(first.got, bytes)
        assert b.read("run/slow.awk/x") == first.got and a.runs() + b.runs() == 1


@test
def unmounting_while_it_waits():
    """a daemon whose readers all wait for another's run can be stopped at once: they get an error, and the run goes on"""
    with Mount() as a:
        first = first_of(a, slow(2 * ROUNDS))
        b = Shared(a).mount()
        try:
            waiting = Reader(b, "run/slow.awk/x")
            time.sleep(0.3)
            begin = time.monotonic()
            os.kill(daemon_of(b), signal.SIGTERM)
            waiting.join(20)
            assert not isinstance(waiting.got, bytes)
            assert first.is_alive() and time.monotonic() - begin < 3
        finally:
            b.__exit__()
        first.join(60)
        assert isinstance(first.got, bytes) and a.runs() == 1


@test
def waiting_takes_no_workers():
    """with sixty readers waiting for another daemon's runs, unrelated results of the same daemon come as fast as ever, also where a user may have but one under way"""
    with Mount("-o", "max_jobs=1") as a, Shared(a, "-o", "max_jobs=1,user_jobs=1") as b:
        a.script("slow.awk", slow(2 * ROUNDS))
        for number in range(60):
            a.put(f"same/{number}", b"equal content\n")
            a.put(f"other/{number}", b"%d\n" % number)
        first = Reader(a, "run/slow.awk/same/0")
        wait_until(lambda: is_running(a))
        waiting = [Reader(b, f"run/slow.awk/same/{number}") for number in range(60)]
        time.sleep(0.3)
        assert b.stats()["zvm_runs_in_flight"] == 0
        begin = time.monotonic()
        for number in range(20):
            assert b.read(f"run/cat/other/{number}") == b"%d\n" % number
        took = time.monotonic() - begin
        assert first.is_alive(), "too slow a test: the run is over"
        assert took < 3, took
        for reader in (first, *waiting):
            reader.join(60)
        assert {reader.got for reader in waiting} == {first.got} and isinstance(first.got, bytes)
        assert a.runs() == 1 and b.runs() == 20


@test
def waiting_within_one_daemon():
    """the same within one daemon: sixty names of one action wait for one run, and unrelated ones do not wait for them"""
    with Mount("-o", "max_jobs=2") as m:
        m.script("slow.awk", slow(2 * ROUNDS))
        for number in range(60):
            m.put(f"same/{number}", b"equal content\n")
            m.put(f"other/{number}", b"%d\n" % number)
        waiting = [Reader(m, f"run/slow.awk/same/{number}") for number in range(60)]
        wait_until(lambda: is_running(m))
        time.sleep(0.3)
        for number in range(10):
            assert m.read(f"run/cat/other/{number}") == b"%d\n" % number
        assert all(reader.is_alive() for reader in waiting)
        for reader in waiting:
            reader.join(60)
        assert len({reader.got for reader in waiting}) == 1 and m.runs() == 11


@test
def different_actions_at_once():
    """different actions run at the same time in two daemons: neither waits for the other"""
    with Mount("-o", "max_jobs=1") as a, Shared(a, "-o", "max_jobs=1") as b:
        a.script("slow.awk", slow())
        a.put("x", b"one\n")
        a.put("y", b"two\n")
        readers = [Reader(a, "run/slow.awk/x"), Reader(b, "run/slow.awk/y")]
        wait_until(lambda: is_running(a) and is_running(b))
        for reader in readers:
            reader.join(60)
        assert [reader.got.split()[-1] for reader in readers] == [b"one", b"two"]
        assert a.runs() == 1 and b.runs() == 1


@test
def what_is_not_remembered_is_not_waited_for():
    """`zvm run --no-cache` waits for nobody and makes nobody wait"""
    with Mount() as a:
        first = first_of(a, slow(), data=b"one\n")
        other = zvm("run", "--no-cache", "--stats", "--store", str(a.store), "--scripts", str(a.scripts), "slow.awk", input=b"one\n")
        assert other.returncode == 0 and runs_of(other.stderr) == 1
        first.join(60)
        assert first.got == other.stdout and a.runs() == 1


@test
def random_deaths():
    """ten rounds of three daemons on one store, one killed -9 at some moment of a run: the others' readers have the right bytes, in two runs at most"""
    with Mount() as a:
        a.script("slow.awk", slow(ROUNDS // 10))
        with ExitStack() as stack:
            b = stack.enter_context(Shared(a))
            for number in range(10):
                a.put(f"in/{number}", b"%d\n" % number)
                before = b.runs()
                c = Shared(a).mount()
                try:
                    doomed = Reader(c, f"run/slow.awk/in/{number}")
                    others = [Reader(m, f"run/slow.awk/in/{number}") for m in (a, b)]
                    time.sleep(0.02 * number)
                    os.kill(daemon_of(c), signal.SIGKILL)
                    doomed.join(60)
                    for reader in others:
                        reader.join(60)
                    assert others[0].got == others[1].got and others[0].got.split()[1] == b"%d" % number, [r.got for r in others]
                finally:
                    forget_mount(c)
                    shutil.rmtree(c.root, ignore_errors=True)
                assert b.runs() - before <= 1
            assert a.runs() + b.runs() <= 10, (a.runs(), b.runs())


# --- filesystems that a store may be on ---


@contextmanager
def filesystem(kind, *options):
    """A fresh one in a file, or in memory, mounted on a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="zvm-test-") as directory:
        image, at = Path(directory) / "image", Path(directory) / "at"
        at.mkdir()
        if kind in ("tmpfs", "ramfs"):
            command = ["mount", "-t", kind, *options, "zvm-test", str(at)]
        elif kind == "overlay":
            for name in ("lower", "memory"):
                (Path(directory) / name).mkdir()
            upper = Path(directory) / "memory"
            if subprocess.run(["mount", "-t", "tmpfs", "zvm-test", str(upper)], capture_output=True).returncode:
                raise Skip("no filesystem can be mounted here (that takes root)")
            (upper / "upper").mkdir()
            (upper / "work").mkdir()
            layers = f"lowerdir={directory}/lower,upperdir={upper}/upper,workdir={upper}/work"
            command = ["mount", "-t", "overlay", "-o", layers, "zvm-test", str(at)]
        else:
            with open(image, "wb") as file:
                file.truncate(64 << 20)
            if subprocess.run([f"mkfs.{kind}", str(image)], capture_output=True, stdin=subprocess.DEVNULL).returncode:
                raise Skip(f"no {kind} can be made here")
            command = ["mount", "-t", kind, "-o", "loop", *options, str(image), str(at)]
        try:
            if subprocess.run(command, capture_output=True).returncode:
                raise Skip(f"no {kind} can be mounted here")
            yield at
        finally:
            subprocess.run(["umount", "-l", str(at)], capture_output=True)
            subprocess.run(["umount", "-l", str(Path(directory) / "memory")], capture_output=True)


def works_on(kind):
    need_fuse()
    with filesystem(kind) as at:
        a = Mount()
        a.store = at / "store"
        with a, Shared(a) as b:
            a.script("slow.awk", slow(ROUNDS // 6))
            a.put("x", b"one\n")
            readers = [Reader(m, "run/slow.awk/x") for m in (a, b, b)]
            for reader in readers:
                reader.join(60)
            assert len({reader.got for reader in readers}) == 1 and readers[0].got.endswith(b"one\n")
            assert a.runs() + b.runs() == 1, (a.runs(), b.runs())
            assert list((a.store / "tmp").iterdir()) == []
            b.unmount()
            b.mount()
            assert b.read("run/slow.awk/x") == readers[0].got and b.runs() == 0


@test
def a_store_in_memory():
    """a store on tmpfs works, and is shared"""
    works_on("tmpfs")


@test
def a_store_on_ext4():
    """a store on an ext4 of its own works, and is shared"""
    works_on("ext4")


@test
def a_store_on_overlay():
    """a store on an overlay works, and is shared"""
    works_on("overlay")


if __name__ == "__main__":
    main()
