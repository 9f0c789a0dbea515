"""A power loss: names in the store survive whose bytes did not, or only in part. Whatever it is that is lost, the next mount reads the right bytes."""

import errno
import os
import random
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import Mount, main, test, zvm  # noqa: E402

COUNT = "#!/usr/bin/gawk -f\n{ n += length($0) } END { print n, NR; print \"seen\" >\"/dev/stderr\" }\n"
FAILING = "#!/bin/sh\nread line; echo \"$line\"; exit 3\n"
MODULE = "#!/usr/bin/python3\nimport sys, helper\nsys.stdout.write(helper.twice(sys.stdin.read()))\n"
HELPER = "def twice(text):\n    return text + text\n"


# --- what may have become of a file ---

def empty(path, _):
    os.truncate(path, 0)


def half(path, _):
    os.truncate(path, path.stat().st_size // 2)


def zeros(path, _):
    """As delayed allocation leaves it."""
    size = path.stat().st_size
    os.truncate(path, 0)
    os.truncate(path, size)


def last_page_lost(path, _):
    size = path.stat().st_size
    os.truncate(path, max(0, size - 4096))
    os.truncate(path, size)


def missing(path, _):
    path.unlink()


def anothers(path, other):
    path.write_bytes(other.read_bytes())


def longer(path, _):
    with open(path, "ab") as file:
        file.write(bytes(4096))


DAMAGES = (empty, half, zeros, last_page_lost, missing, anothers, longer)


class Results(Mount):
    """A mount with some of every kind of result."""

    def __enter__(self):
        super().__enter__()
        self.script("count.awk", COUNT)
        self.script("failing.sh", FAILING)
        self.script("module.py", MODULE)
        self.script("helper.py", HELPER, 0o644)
        self.right = {}
        for number in range(3):
            data = b"%d a line of text\n" % number * (1 + 3000 * number)
            self.put(f"x{number}", data)
            counts = b"%d %d\n" % (len(data) - data.count(b"\n"), data.count(b"\n"))
            self.right[f"run/count.awk/x{number}"] = (0, counts)
            self.right[f"err/count.awk/x{number}"] = (0, b"seen\n")
            self.right[f"run/cat | count.awk | cat/x{number}"] = (0, counts)
            self.right[f"run/failing.sh/x{number}"] = (errno.EIO, b"%d a line of text\n" % number)
            self.right[f"run/tr a b/x{number}"] = (0, data.replace(b"a", b"b"))
        self.right["run/module.py/x0"] = (0, b"0 a line of text\n" * 2)
        return self

    def read_all(self, what):
        for name, right in self.right.items():
            got = self.error(name)
            assert got == right, f"{what}: {name} gave {got[0]} and {got[1][:60]}, not {right[0]} and {right[1][:60]}"

    def files(self, room):
        return sorted(path for path in (self.store / room).glob("**/*") if path.is_file())

    def fsck(self, what, *options):
        result = zvm("fsck", *options, "--store", str(self.store))
        assert result.returncode in (0, 1), (what, result)
        return result

    def suffer(self, what, harm):
        """While nothing is mounted; then everything is read."""
        self.unmount()
        harm()
        self.mount()
        self.read_all(what)
        return self.stats()


def condemned(stats):
    return next(value for name, value in stats.items() if "condemned" in name)


@test
def every_file_in_every_way():
    """each of seven kinds of damage to every object, every record or every table: right bytes and no errors, counted, and repaired by reading"""
    with Results() as m:
        time.sleep(3)  # old enough to be known by its stat
        m.read_all("at first")
        for damage in DAMAGES:
            for room in ("objects", "records", "stat"):
                what = f"{damage.__name__} in {room}"
                files = m.files(room)

                def harm(files=files, damage=damage):
                    contents = {path: path.read_bytes() for path in files}
                    for path in files:
                        if contents[path]:
                            damage(path, max((other for other in files if contents[other] != contents[path]), default=path))

                stats = m.suffer(what, harm)
                # A whole record of another action is none of this one, but no damage either.
                if room != "stat" and damage is not missing and (room, damage) != ("records", anothers):
                    assert condemned(stats) > 3, (what, stats)
                m.fsck(what, "--repair")
                assert m.fsck(what).returncode == 0, what


@test
def one_file_at_a_time():
    """each single object and record, cut to half or with another's bytes, also when all else is whole"""
    with Results() as m:
        m.read_all("at first")
        files = m.files("objects") + m.files("records")
        for number, path in enumerate(random.Random(7).sample(files, min(24, len(files)))):
            if path.exists() and path.stat().st_size:
                other = next(p for p in m.files("objects") if p.read_bytes() != path.read_bytes())
                damage = (half, anothers)[number % 2]
                m.suffer(f"{damage.__name__} of {path.relative_to(m.store)}", lambda: damage(path, other))
        m.fsck("the end", "--repair")
        assert m.fsck("the end").returncode == 0


@test
def whole_directories():
    """a shelf, an action's directory, or a room of the store that is gone is made anew"""
    with Results() as m:
        m.read_all("at first")
        for room in ("objects", "records"):
            for shelf in sorted((m.store / room).iterdir())[::3]:
                shutil.rmtree(shelf)
        m.suffer("every third shelf", lambda: None)
        for room in ("objects", "records", "stat", "tmp"):
            m.suffer(f"{room}/", lambda room=room: shutil.rmtree(m.store / room))
            m.fsck(room, "--repair")
            assert m.fsck(room).returncode == 0, room


@test
def at_random():
    """any mixture of all that, again and again"""
    chance = random.Random(2012)
    with Results() as m:
        m.read_all("at first")
        for number in range(12):
            def harm():
                for path in m.files("objects") + m.files("records") + m.files("stat"):
                    if chance.random() < 0.3 and path.exists() and path.stat().st_size:
                        chance.choice(DAMAGES)(path, chance.choice(m.files("objects") + [path]) if m.files("objects") else path)

            m.suffer(f"round {number}", harm)
        m.fsck("the end", "--repair")
        assert m.fsck("the end").returncode == 0


@test
def under_a_running_daemon():
    """the same while a daemon runs: objects and records that vanish or change between two reads"""
    chance = random.Random(4)
    with Results() as m:
        m.read_all("at first")
        for number in range(8):
            for path in m.files("objects") + m.files("records"):
                if chance.random() < 0.3 and path.exists() and path.stat().st_size:
                    chance.choice(DAMAGES)(path, chance.choice(m.files("objects") or [path]))
            for name in list(m.right):
                fd = os.open(m.path(name), os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)
            m.read_all(f"round {number}")
            m.put("new", b"%d\n" % number)
            assert m.read("run/count.awk/new") == b"1 1\n"
            assert m.read("run/module.py/new") == b"%d\n" % number * 2
        m.fsck("the end", "--repair")
        assert m.fsck("the end").returncode == 0


@test
def the_store_vanishes():
    """a store that is deleted under a daemon is an I/O error for what is not known, never ENOENT; the next mount makes a new one"""
    with Results() as m:
        m.read_all("at first")
        m.settle()
        shutil.rmtree(m.store)
        m.put("later", b"x\n")
        error, got = m.error("run/count.awk/later")
        assert (error, got) in ((errno.EIO, b""), (0, b"1 1\n")), (error, got)
        m.unmount()
        m.mount()
        m.read_all("afterwards")
        assert m.fsck("the end").returncode == 0


if __name__ == "__main__":
    main()
