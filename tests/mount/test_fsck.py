"""zvm fsck as a person uses it: what it says, how it exits, what it leaves alone; on a store that is in use as well."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import ZVM, Mount, main, test, zvm  # noqa: E402


def fsck(store, *options, **more):
    return zvm("fsck", "--store", str(store), *options, **more)


def listing(directory):
    return sorted((str(path.relative_to(directory)), path.lstat().st_mode, path.lstat().st_mtime_ns) for path in directory.glob("**/*"))


@test
def what_it_says():
    """it is silent about a sound store but for a summary; it names what is damaged and what --repair would do, does that, and is content afterwards"""
    with Mount() as m:
        m.put("x")
        assert m.read("run/cat/x") == b"hello\n"
        m.settle()
        sound = fsck(m.store)
        assert sound.returncode == 0 and sound.stdout.count(b"\n") == 1 and b" 0 problems\n" in sound.stdout, sound
        assert fsck(m.store, "-q").stdout == b"" == sound.stderr
        digest = os.getxattr(m.path("run/cat/x"), "user.zvm.digest").decode()
        path = m.store / "objects" / digest[:2] / digest
        path.chmod(0o600)
        path.write_bytes(b"HELLO\n")
        path.chmod(0o400)
        before = listing(m.store)
        for _ in range(2):
            found = fsck(m.store, "-q")
            assert found.returncode == 1 and f"objects/{digest[:2]}/{digest}: its bytes do not match its name; --repair".encode() in found.stdout, found
        assert listing(m.store) == before
        repaired = fsck(m.store, "--repair")
        assert repaired.returncode == 0 and b"2 problems, 2 repaired" in repaired.stdout, repaired
        assert (m.store / "tmp" / f"condemned-{digest}").read_bytes() == b"HELLO\n"
        again = fsck(m.store)
        assert again.returncode == 0 and b"tmp/ holds 1 file" in again.stdout, again
        fd = os.open(m.path("run/cat/x"), os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
        assert m.read("run/cat/x") == b"hello\n"


@test
def what_it_refuses():
    """a store of a newer format, another user's, one that others may write to, no store, none at all, a wrong command line: said, and nothing is touched"""
    with Mount() as m:
        m.put("x")
        m.read("run/cat/x")
        m.settle()
        m.unmount()

        def assert_refused(words, store=m.store):
            before = listing(m.store)
            for options in ((), ("--repair",)):
                result = fsck(store, *options)
                assert result.returncode == 125 and words in result.stderr and not result.stdout, (words, result)
            assert listing(m.store) == before

        (m.store / "version").write_text("zvm store 2\n")
        assert_refused(b"newer zvm")
        (m.store / "version").write_text("zvm store 1\n")
        m.store.chmod(0o770)
        assert_refused(b"writable by others")
        m.store.chmod(0o700)
        if os.geteuid() == 0:
            os.chown(m.store, 1, 1)
            assert_refused(b"another user")
            os.chown(m.store, 0, 0)
        assert_refused(b"not a store", m.inputs)
        assert_refused(b"no store", m.root / "absent")
        assert not (m.root / "absent").exists()
        for wrong in (("--unknown",), ("word",), ("--store",)):
            assert zvm("fsck", *wrong).returncode == 2, wrong
        assert fsck(m.store).returncode == 0
        assert b"usage: zvm fsck" in zvm("fsck", "--help").stdout


@test
def the_default_store():
    """without --store it looks at the user's own"""
    with Mount() as m:
        m.put("x")
        m.read("run/cat/x")
        m.unmount()
        home = m.root / "cache"
        home.mkdir()
        m.store.rename(home / "zvm")
        result = zvm("fsck", env=dict(os.environ, XDG_CACHE_HOME=str(home)))
        assert result.returncode == 0 and b" 0 problems" in result.stdout, result
        (home / "zvm").rename(m.store)


@test
def a_store_on_a_read_only_filesystem():
    """it can be looked at, and repairing says why it cannot"""
    with Mount() as m:
        m.put("x")
        m.read("run/cat/x")
        m.unmount()
        if subprocess.run(["mount", "--bind", str(m.store), str(m.store)], capture_output=True).returncode:
            return
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", str(m.store)], check=True)
            assert fsck(m.store).returncode == 0
            assert fsck(m.store, "--repair").returncode == 125
        finally:
            subprocess.run(["umount", str(m.store)], check=True)


@test
def beside_those_who_use_it():
    """while mounts and zvm runs compute, forget and compute again, it finds nothing, and its repairing harms nobody"""
    with Mount() as m:
        m.script("count.awk", "#!/usr/bin/gawk -f\n{ n += length($0) } END { print n, NR }\n")
        wrong, stop = [], threading.Event()

        def use(first):
            number = first
            while not stop.is_set():
                number += 2
                m.put(f"x{number}", b"x" * number)
                if (got := m.error(f"run/cat | count.awk/x{number}")) != (0, b"%d 1\n" % number):
                    wrong.append(got)
                result = subprocess.run([ZVM, "run", "--store", str(m.store), "tr x y"], input=b"x" * number, capture_output=True)
                if result.stdout != b"y" * number:
                    wrong.append(result)

        users = [threading.Thread(target=use, args=(first,)) for first in (1, 2)]
        for user in users:
            user.start()
        try:
            for turn in range(30):
                result = fsck(m.store, *(("--repair",) if turn % 2 else ()))
                assert result.returncode == 0 and b" 0 problems" in result.stdout, result
        finally:
            stop.set()
            for user in users:
                user.join()
        assert not wrong, wrong
        assert fsck(m.store).returncode == 0
        shutil.rmtree(m.store / "records")
        (m.store / "records").mkdir(mode=0o700)
        assert fsck(m.store).returncode == 0


if __name__ == "__main__":
    main()
