"""kill -9 at random moments of everything that zvm consists of, with readers, on one store that lives through it all.

Several daemons share the store, each with readers of its own: of known results, of new ones, of pipelines, of large ones. A round kills one thing: a daemon, its
launcher, a box, or a `zvm run`. A read that a killing fell into may fail as that makes it fail; it never gives wrong bytes. A read that began afterwards does not fail.

ROUNDS (500) and SEED (0) in the environment say how many, and which.
"""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import ZVM, main, need_fuse, test, zvm  # noqa: E402
from processes import descendants, is_alive, wait_until  # noqa: E402

ROUNDS, SEED = (int(os.environ.get(name, default)) for name, default in (("ROUNDS", "500"), ("SEED", "0")))
DAEMONS = 3
READERS = 2
KNOWN = 6
# What the end of a daemon, a launcher or a box is to a reader. A box that somebody kills looks like one that the kernel killed for want of memory.
OF_A_KILLING = {errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ENOENT, errno.EINTR, errno.ENODEV, errno.ENOMEM}

COUNT = "#!/usr/bin/gawk -f\n{ n += length($0) } END { print n, NR }\n"
LARGE = "#!/usr/bin/gawk -f\n{ for (i = 0; i < 30000; i++) print i, $0 }\n"


class World:
    """The store, what is computed over it, and what is right."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="zvm-test-"))
        self.store, self.inputs, self.scripts = (self.root / name for name in ("store", "inputs", "scripts"))
        for directory in (self.inputs, self.scripts):
            directory.mkdir()
        for name, text in (("count.awk", COUNT), ("large.awk", LARGE)):
            (self.scripts / name).write_text(text)
            (self.scripts / name).chmod(0o755)
        self.numbers = iter(range(1 << 30))
        self.wrong, self.failed = [], []
        self.rounds, self.reads, self.forgiven = 0, 0, 0
        self.kinds = {}
        self.lock = threading.Lock()
        self.known = [self.new_input() for _ in range(KNOWN)]

    def options(self):
        return ["--store", str(self.store), "--scripts", str(self.scripts)]

    def new_input(self):
        """A name, and what is in it."""
        with self.lock:
            number = next(self.numbers)
        data = b"line %d\n" % number * (1 + number % 40)
        (self.inputs / f"x{number}").write_bytes(data)
        return f"x{number}", data

    def question(self, chance):
        """A spec, an input, and what is right."""
        name, data = chance.choice(self.known) if chance.random() < 0.7 else self.new_input()
        lines = data.count(b"\n")
        counts = b"%d %d\n" % (len(data) - lines, lines)
        spec = chance.choice(("count.awk", "cat | count.awk", "cat | count.awk | cat", "tr l L", "large.awk", "tr l L | sort"))
        line = data.split(b"\n")[0]
        right = {"tr l L": data.replace(b"l", b"L"), "tr l L | sort": data.replace(b"l", b"L")}.get(spec, counts)
        if spec == "large.awk":
            name, data = self.known[0]
            line = data.split(b"\n")[0]
            right = b"".join(b"%d %s\n" % (i, line) for i in range(30000)) * lines_of(data)
        return spec, name, right

    def judge(self, what, got, error, right, killed):
        with self.lock:
            self.reads += 1
            if (got != right) if not error else not right.startswith(got):
                self.wrong.append(f"{what}: {len(got)} bytes, {got[:40]}, and right are {len(right)}, {right[:40]}")
            elif error and not (killed and error in OF_A_KILLING):
                self.failed.append(f"{what}: {errno.errorcode.get(error, error)} {'in spite of' if killed else 'without'} a killing")
            elif error:
                self.forgiven += 1


def lines_of(data):
    return data.count(b"\n")


def read(path):
    got = []
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        return b"", error.errno
    try:
        while part := os.read(fd, 1 << 17):
            got.append(part)
        return b"".join(got), 0
    except OSError as error:
        return b"".join(got), error.errno
    finally:
        try:
            os.close(fd)
        except OSError as error:
            assert error.errno in OF_A_KILLING, error


class Slot:
    """One mount point: its daemon, its readers, and who kills them."""

    def __init__(self, world, number):
        self.world, self.number = world, number
        self.at = world.root / f"mnt{number}"
        self.at.mkdir()
        self.chance = random.Random(SEED * 100 + 50 + number)
        self.daemon = None
        self.killings = 0  # odd while one goes on

    def mount(self):
        self.daemon = subprocess.Popen([ZVM, "mount", "-f", *self.world.options(), "--inputs", str(self.world.inputs), str(self.at)],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(self.at / "stats") or self.daemon.poll() is not None, "it never mounted")
        assert self.daemon.poll() is None, f"zvm mount ended with {self.daemon.returncode}"

    def kill(self, kind, pid):
        """Everything that was under way until it is dead, and its heirs with it, may be hit."""
        heirs = descendants(pid) if kind == "daemon" else {}
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        if kind == "daemon":
            self.daemon.wait()
        wait_until(lambda: not is_alive(pid), f"the {kind} does not die")
        wait_until(lambda: not any(map(is_alive, heirs)), f"these outlive their daemon: {heirs}")
        return True

    def victim(self, kind):
        """The pid of one, or None if there is none right now."""
        if kind == "daemon":
            return self.daemon.pid
        below = descendants(self.daemon.pid)
        launchers = [pid for pid, parent in below.items() if parent == self.daemon.pid]
        boxes = [pid for pid, parent in below.items() if parent != self.daemon.pid]
        found = launchers if kind == "launcher" else boxes
        return self.chance.choice(found) if found else None

    def kill_a_run(self):
        spec, name, right = self.world.question(self.chance)
        with open(self.world.inputs / name, "rb") as file:
            run = subprocess.Popen([ZVM, "run", *self.world.options(), spec], stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        killer = threading.Timer(self.chance.random() * 0.06, run.kill)
        killer.start()
        got, said = run.communicate(timeout=60)
        killer.cancel()
        status = run.returncode
        self.world.judge(f"zvm run {spec}", got, 0 if status == 0 else errno.EIO, right, status == -signal.SIGKILL)
        if status not in (0, -signal.SIGKILL):
            self.world.failed.append(f"zvm run {spec}: status {status}, {said}")

    def round(self):
        kind = self.chance.choices(("daemon", "launcher", "box", "run"), (5, 2, 3, 2))[0]
        if kind == "run":
            self.kill_a_run()
        else:
            time.sleep(self.chance.random() * 0.06)
            pid = self.victim(kind)
            if pid is None:
                return
            self.killings += 1
            try:
                self.kill(kind, pid)
                if kind == "daemon":
                    self.mount()
            finally:
                self.killings += 1
        with self.world.lock:
            self.world.rounds += 1
            self.world.kinds[kind] = self.world.kinds.get(kind, 0) + 1

    def read_one(self, chance):
        spec, name, right = self.world.question(chance)
        before = self.killings
        got, error = read(self.at / "run" / spec / name)
        killed = before % 2 or self.killings != before
        self.world.judge(f"mount {self.number}: {spec} of {name}", got, error, right, killed)
        if error:
            time.sleep(0.01)

    def end(self):
        for _ in range(100):
            if zvm("umount", str(self.at)).returncode == 0:
                break
            time.sleep(0.05)
        else:
            raise AssertionError("it cannot be unmounted")
        assert self.daemon.wait(timeout=10) == 0


def guarded(world, loop):
    """A thread that gives up with the reason, and ends when there is one."""
    def run():
        try:
            while world.rounds < ROUNDS and not world.wrong and len(world.failed) < 5:
                loop()
        except BaseException as error:  # noqa: B036
            world.failed.append(f"{type(error).__name__}: {error}")
    return threading.Thread(target=run, daemon=True)


def go_through(world, slots):
    threads = []
    for slot in slots:
        slot.mount()
    for slot in slots:
        threads.append(guarded(world, slot.round))
        for number in range(READERS):
            chance = random.Random(SEED * 100 + slot.number * 10 + number)
            threads.append(guarded(world, lambda slot=slot, chance=chance: slot.read_one(chance)))
    for thread in threads:
        thread.start()
    end = time.monotonic() + 60 + ROUNDS
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
    assert not any(thread.is_alive() for thread in threads), f"somebody hangs after {world.rounds} rounds; {world.failed}"


def locks_on(path):
    """How many locks the kernel holds on any file below."""
    inodes = {str(p.stat().st_ino) for p in [path, *path.glob("*"), *path.glob("*/*")]}
    return [line for line in Path("/proc/locks").read_text().splitlines() if line.split()[-3].split(":")[-1] in inodes]


@test
def killed_at_random():
    """daemons, launchers, boxes and zvm runs are killed at random moments under concurrent readers: no wrong byte, no error afterwards, nothing left behind, and fsck is clean"""
    need_fuse()
    world = World()
    slots = [Slot(world, number) for number in range(DAEMONS)]
    try:
        started = time.monotonic()
        go_through(world, slots)
        seconds = time.monotonic() - started
        print(f"# {world.rounds} rounds in {seconds:.1f} s: {world.kinds}; {world.reads} reads, {world.forgiven} of them hit", flush=True)
        assert not world.wrong, "\n".join(world.wrong)
        assert not world.failed, "\n".join(world.failed[:20])
        assert world.forgiven < world.reads / 2, (world.forgiven, world.reads)
        # All that was ever computed is still right, everywhere.
        chance = random.Random(0)
        for slot in slots:
            for _ in range(40):
                slot.read_one(chance)
        assert not world.wrong and not world.failed, world.wrong + world.failed
        for slot in slots:
            slot.end()
        left = [pid for pid in os.listdir("/proc") if pid.isdigit() and str(world.store).encode() in command_line(pid)]
        assert not left, left
        assert not locks_on(world.store), locks_on(world.store)
        leftovers = sorted(path.name for path in (world.store / "tmp").iterdir())
        assert len(leftovers) <= 2, leftovers
        found = zvm("fsck", "--store", str(world.store))
        print("# " + found.stdout.decode().strip().replace("\n", "\n# "), flush=True)
        assert found.returncode == 0, found
    finally:
        for slot in slots:
            if slot.daemon and slot.daemon.poll() is None:
                slot.daemon.kill()
                slot.daemon.wait()
            subprocess.run(["umount", "-l", str(slot.at)], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(world.root, ignore_errors=True)


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


if __name__ == "__main__":
    main()
