"""The mount as a reader sees it: names, triggers, attributes, failures, interrupts, the errno table."""

import errno
import json
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import Mount, Skip, main, need_fuse, test, zvm, ZVM  # noqa: E402
from processes import descendants, is_alive, wait_until  # noqa: E402

SLOW = "#!/bin/sh\n# zvm: timeout=60\nn=0\nwhile [ $n -lt 100000000 ]; do n=$((n+1)); done\necho done\n"
SIZES = (0, 1, 4095, 4096, 4097, 131071, 131072, 131073, 5 << 20)


def data_of(size):
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


@test
def a_file_computes():
    """cat of run/SPEC/INPUT gives what the program writes, and the second cat computes nothing"""
    with Mount() as m:
        m.put("x", b"b\na\n")
        assert m.read("run/sort/x") == b"a\nb\n"
        before = m.stats()
        assert before["zvm_box_runs_total"] == 1 and before["zvm_cache_misses_total"] == 1 and before["zvm_cache_hits_total"] == 0, before
        assert m.read("run/sort/x") == b"a\nb\n"
        after = m.stats()
        assert after["zvm_box_runs_total"] == 1 and after["zvm_cache_hits_total"] == 1, after


@test
def the_listing():
    """the root lists its rooms, run/ lists the scripts, and a spec mirrors the inputs of any depth"""
    with Mount() as m:
        m.script("own.sh", "#!/bin/sh\ncat\n")
        m.script("not-executable", "#!/bin/sh\n", 0o644)
        m.put("a/b/c/deep")
        m.put("top")
        os.mkfifo(m.inputs / "fifo")
        assert sorted(os.listdir(m.at)) == ["README", "cas", "err", "info", "run", "stats", "stream"]
        assert os.listdir(m.path("run")) == ["own.sh"]
        for tree in ("run", "err", "info", "stream"):
            assert sorted(os.listdir(m.path(f"{tree}/wc"))) == ["a", "top"]
        assert os.listdir(m.path("run/wc -l/a/b/c")) == ["deep"]
        assert os.listdir(m.path("cas")) == []
        assert str(m.scripts).encode() in m.read("README")
        assert m.runs() == 0


@test
def nothing_else_triggers():
    """stat, ls -l, access, find and getxattr run nothing; before a result there is size 0 and the state absent"""
    with Mount() as m:
        m.put("x")
        path = m.path("run/cat/x")
        subprocess.run(["ls", "-lR", m.path("run/cat")], check=True, capture_output=True)
        subprocess.run(["find", m.path("run/cat"), "-size", "-1"], check=True, capture_output=True)
        assert os.stat(path).st_size == 0 and os.access(path, os.R_OK)
        assert os.getxattr(path, "user.zvm.state") == b"absent"
        for name in ("user.zvm.digest", "user.zvm.exit", "user.other", "security.selinux"):
            try:
                os.getxattr(path, name)
                raise AssertionError(name)
            except OSError as error:
                assert error.errno == errno.ENODATA
        assert m.runs() == 0


@test
def attributes_afterwards():
    """after computing, size, blocks and inode are true and stable, also after a remount, and xattrs tell state, digest and exit"""
    with Mount() as m:
        m.put("x", data_of(5000))
        path = m.path("run/cat/x")
        before = os.stat(path).st_ino
        m.read("run/cat/x")
        st = os.stat(path)
        assert (st.st_size, st.st_blocks, st.st_ino) == (5000, 10, before), st
        digest = os.getxattr(path, "user.zvm.digest").decode()
        assert digest == subprocess.run(["xxh128sum", str(m.inputs / "x")], capture_output=True, text=True).stdout.split()[0]
        assert os.getxattr(path, "user.zvm.state") == b"computed" and os.getxattr(path, "user.zvm.exit") == b"0"
        assert sorted(os.listxattr(path)) == ["user.zvm.digest", "user.zvm.exit", "user.zvm.state"]
        assert m.read(f"cas/{digest}") == data_of(5000)
        m.settle()
        m.unmount()
        m.mount()
        again = os.stat(path)
        assert (again.st_size, again.st_blocks, again.st_ino) == (5000, 10, before), again
        assert m.read("run/cat/x") == data_of(5000) and m.runs() == 0


@test
def a_changed_input():
    """a changed input is a new inode and a new result at the next open, while old descriptors keep the old bytes"""
    with Mount() as m:
        m.put("x", b"old\n")
        old = open(m.path("run/cat/x"), "rb", buffering=0)
        inode = os.fstat(old.fileno()).st_ino
        m.put("x", b"new bytes\n")
        assert m.read("run/cat/x") == b"new bytes\n"
        assert os.stat(m.path("run/cat/x")).st_ino != inode
        assert old.read() == b"old\n" and os.fstat(old.fileno()).st_size == 4
        old.close()


@test
def a_changed_script():
    """a changed script, or a module beside it, gives a new result; touching them does not"""
    with Mount() as m:
        m.put("x")
        m.script("p.py", "#!/usr/bin/python3\nimport helper\nprint('one', helper.value)\n")
        (m.scripts / "helper.py").write_text("value = 1\n")
        assert m.read("run/p.py/x") == b"one 1\n"
        runs = m.runs()
        os.utime(m.scripts / "p.py")
        os.utime(m.scripts / "helper.py")
        os.utime(m.inputs / "x")
        assert m.read("run/p.py/x") == b"one 1\n" and m.runs() == runs
        (m.scripts / "helper.py").write_text("value = 2\n")
        assert m.read("run/p.py/x") == b"one 2\n"
        m.script("p.py", "#!/usr/bin/python3\nimport helper\nprint('two', helper.value)\n")
        assert m.read("run/p.py/x") == b"two 2\n"
        (m.scripts / "helper.py").write_text("value = 1\n")
        m.script("p.py", "#!/usr/bin/python3\nimport helper\nprint('one', helper.value)\n")
        runs = m.runs()
        assert m.read("run/p.py/x") == b"one 1\n" and m.runs() == runs


@test
def a_directory_that_comes():
    """what a run looked for in vain below a missing directory is noticed when it comes, also if the run was told only once that nothing is there"""
    with Mount() as m:
        m.put("x")
        m.script("look.py", "#!/usr/bin/python3\nimport os\nprint([n for n in ('a', 'b/c', 'b/d') if os.path.exists('/script/sub/' + n)])\n")
        assert m.read("run/look.py/x") == b"[]\n"
        absent = {d["path"] for d in json.loads(m.read("info/look.py/x"))["dependencies"] if d.get("absent")}
        assert "/script/sub" in absent, absent
        (m.scripts / "sub" / "b").mkdir(parents=True)
        assert m.read("run/look.py/x") == b"[]\n"
        (m.scripts / "sub" / "b" / "d").write_text("here")
        assert m.read("run/look.py/x") == b"['b/d']\n"
        shutil.rmtree(m.scripts / "sub")
        runs = m.runs()
        assert m.read("run/look.py/x") == b"[]\n" and m.runs() == runs == 3, (runs, m.runs())


@test
def the_spec_grammar():
    """arguments, %XX and pipelines work; each stage of a pipeline is cached on its own"""
    with Mount() as m:
        m.put("x", b"c\na b\nb\na b\n")
        assert m.read("run/head -n 1/x") == b"c\n"
        assert m.read("run/tr a%20 %7C%2F/x") == b"c\n|/b\nb\n|/b\n"
        assert m.read("run/grep -c a%20b/x") == b"2\n"
        assert m.read("run/sort | uniq -c | sort -rn | head -n 1/x") == b"      2 a b\n"
        assert m.runs() == 7
        assert m.read("run/sort | uniq -c/x") == b"      2 a b\n      1 b\n      1 c\n" and m.runs() == 7


@test
def names_that_are_wrong():
    """specs that do not parse are EINVAL, unknown scripts and inputs ENOENT, long names ENAMETOOLONG"""
    with Mount() as m:
        m.put("x")
        for spec in ("cat%00", "cat %0", "cat %", "cat %zz", "cat  -n", " cat", "cat ", "| cat", "cat |", "cat |  | cat", "cat | ", "a%2Fb"):
            assert m.error(f"run/{spec}/x")[0] == errno.EINVAL, spec
        assert m.error("run/no-such-script/x")[0] == errno.ENOENT
        assert m.error("run/cat | no-such-script/x")[0] == errno.ENOENT
        assert m.error("run/cat/no-such-input")[0] == errno.ENOENT
        assert m.error("run/" + "c" * 256 + "/x")[0] == errno.ENAMETOOLONG
        assert m.error("cas/0123")[0] == errno.ENOENT
        assert m.runs() == 0 and m.read("run/cat/x") == b"hello\n"


@test
def failing_runs():
    """a failing run gives its bytes and then EIO where the end would be, is remembered, and err/ and info/ tell of it"""
    with Mount() as m:
        m.put("x")
        m.script("fail.sh", "#!/bin/sh\necho part; echo why >&2; exit 3\n")
        m.script("crash.py", "#!/usr/bin/python3\nimport os, signal\nprint('x', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)\n")
        assert m.error("run/fail.sh/x") == (errno.EIO, b"part\n")
        assert m.error("run/false/x") == (errno.EIO, b"")
        runs = m.runs()
        assert m.error("run/fail.sh/x") == (errno.EIO, b"part\n") and m.runs() == runs
        assert m.read("err/fail.sh/x") == b"why\n"
        info = json.loads(m.read("info/fail.sh/x"))
        assert (info["state"], info["exit_status"], info["signal"], info["stdout"]["size"]) == ("failed", 3, None, 5), info
        path = m.path("run/fail.sh/x")
        assert os.getxattr(path, "user.zvm.state") == b"failed" and os.getxattr(path, "user.zvm.exit") == b"3"
        assert m.error("run/crash.py/x") == (errno.EIO, b"x\n")
        assert json.loads(m.read("info/crash.py/x"))["signal"] == signal.SIGSEGV
        assert m.error("run/fail.sh | cat/x") == (errno.EIO, b"part\n")
        assert subprocess.run(["cp", path, str(m.root / "copy")], capture_output=True).returncode != 0


@test
def declared_statuses():
    """ok= makes exit statuses successes, and -o exit=any all of them"""
    with Mount() as m:
        m.put("x")
        m.script("one.sh", "#!/bin/sh\n# zvm: ok=0,1\necho fine; exit 1\n")
        assert m.read("run/one.sh/x") == b"fine\n"
        assert json.loads(m.read("info/one.sh/x"))["state"] == "done"
        assert m.error("run/grep nothing/x")[0] == errno.EIO
    with Mount("-o", "exit=any") as m:
        m.put("x")
        assert m.read("run/grep nothing/x") == b""


@test
def bad_directives():
    """an unknown directive or a bad value is EINVAL, and err/ says which line"""
    with Mount() as m:
        m.put("x")
        for line in ("colour=red", "ok=", "ok=256", "timeout=0", "timeout=x", "memory=", "output=-1", "env=novalue", "ok"):
            m.script("bad.sh", f"#!/bin/sh\n\n# zvm: {line}\necho no\n")
            assert m.error("run/bad.sh/x")[0] == errno.EINVAL, line
            assert b"line 3" in m.read("err/bad.sh/x"), line
            assert json.loads(m.read("info/bad.sh/x"))["state"] == "refused"
        m.script("late.sh", "#!/bin/sh\n" + "\n" * 20 + "# zvm: colour=red\necho fine\n")
        assert m.read("run/late.sh/x") == b"fine\n"
        m.script("env.sh", "#!/bin/sh\n# zvm: env=GREETING=hi env=LANG=C\necho $GREETING $LANG\n")
        assert m.read("run/env.sh/x") == b"hi C\n"


@test
def what_cannot_run():
    """not executable is EACCES; neither ELF nor #!, foreign, cut short is ENOEXEC; a missing interpreter ENOENT; and the daemon lives on"""
    with Mount() as m:
        m.put("x")
        elf = Path("/usr/bin/true").read_bytes()
        m.script("plain.sh", "#!/bin/sh\n", 0o644)
        m.script("text", "just text\n")
        m.script("empty", "")
        m.script("cut", elf[:100])
        m.script("shorter", elf[:4000])
        m.script("arm", elf[:18] + b"\xb7\x00" + elf[20:])
        m.script("class32", elf[:4] + b"\x01" + elf[5:])
        m.script("lost.sh", "#!/no/such/interpreter\n")
        m.script("lost-env.sh", "#!/usr/bin/env no-such-program\n")
        m.script("bare.sh", "#!\n")
        (m.scripts / "directory").mkdir()
        assert m.error("run/plain.sh/x")[0] == errno.EACCES
        assert m.error("run/directory/x")[0] == errno.EACCES
        for name in ("text", "empty", "cut", "shorter", "arm", "class32", "bare.sh"):
            assert m.error(f"run/{name}/x")[0] == errno.ENOEXEC, name
            assert m.read(f"err/{name}/x").startswith(b"zvm: "), name
            assert json.loads(m.read(f"info/{name}/x"))["state"] == "refused", name
        for name in ("lost.sh", "lost-env.sh"):
            assert m.error(f"run/{name}/x")[0] == errno.ENOENT, name
            assert b"no" in m.read(f"err/{name}/x")
        assert m.runs() == 0 and m.read("run/cat/x") == b"hello\n"


@test
def limits():
    """time limit is ETIMEDOUT, output limit EFBIG and inclusive, memory limit the guest's own ENOMEM; none of the first two is remembered"""
    with Mount() as m:
        m.put("x")
        m.script("slow.sh", "#!/bin/sh\n# zvm: timeout=1\nwhile :; do :; done\n")
        start = time.time()
        assert m.error("run/slow.sh/x")[0] == errno.ETIMEDOUT
        assert 0.9 < time.time() - start < 5 and b"time limit" in m.read("err/slow.sh/x")
        m.script("exact.py", "#!/usr/bin/python3\n# zvm: output=64K\nimport sys\nsys.stdout.write('x' * 65536)\n")
        m.script("over.py", "#!/usr/bin/python3\n# zvm: output=64K\nimport sys\nsys.stdout.write('x' * 65537)\n")
        assert len(m.read("run/exact.py/x")) == 65536
        assert m.error("run/over.py/x") == (errno.EFBIG, b"")
        runs = m.runs()
        assert m.error("run/over.py/x")[0] == errno.EFBIG and m.runs() == runs + 1
        m.script("memory.py", "#!/usr/bin/python3\n# zvm: memory=64M\ntry:\n    b = bytearray(200 << 20)\nexcept MemoryError:\n    print('no memory')\n")
        assert m.read("run/memory.py/x") == b"no memory\n"


@test
def read_only():
    """writing, creating, deleting, renaming and changing are EROFS"""
    with Mount() as m:
        m.put("x")
        path, new = m.path("run/cat/x"), m.path("run/cat/new")
        for action in (lambda: os.open(path, os.O_WRONLY), lambda: os.open(path, os.O_RDWR), lambda: os.open(path, os.O_RDONLY | os.O_TRUNC),
                       lambda: os.open(new, os.O_WRONLY | os.O_CREAT), lambda: os.mkdir(new), lambda: os.unlink(path), lambda: os.rename(path, new),
                       lambda: os.chmod(path, 0o777), lambda: os.utime(path), lambda: os.symlink("a", new), lambda: os.link(path, new),
                       lambda: os.truncate(path, 0), lambda: os.rmdir(m.path("run/cat")), lambda: os.setxattr(path, "user.zvm.state", b"x")):
            try:
                action()
                raise AssertionError("it was allowed")
            except OSError as error:
                assert error.errno == errno.EROFS, error


@test
def every_way_of_reading():
    """sendfile, splice, mmap, copy_file_range, cp and readers right after the open see the whole file, at all the awkward sizes"""
    with Mount() as m:
        for size in SIZES:
            expected = data_of(size)

            def fresh(how):
                name = f"{how}-{size}"
                m.put(name, expected)
                return m.path(f"run/cat/{name}")

            out = m.root / "out"
            with open(fresh("sendfile"), "rb") as source, open(out, "wb") as target:
                while os.sendfile(target.fileno(), source.fileno(), None, 1 << 30):
                    pass
            assert out.read_bytes() == expected, ("sendfile", size)
            with open(fresh("copy"), "rb") as source, open(out, "wb") as target:
                try:
                    while os.copy_file_range(source.fileno(), target.fileno(), 1 << 30):
                        pass
                    assert out.read_bytes() == expected, ("copy_file_range", size)
                except OSError as error:
                    assert error.errno in (errno.EXDEV, errno.EINVAL), error
            fd = os.open(fresh("mmap"), os.O_RDONLY)
            if size:
                with mmap.mmap(fd, size, prot=mmap.PROT_READ) as mapped:
                    assert mapped[:] == expected, ("mmap", size)
            os.close(fd)
            fd, (r, w) = os.open(fresh("splice"), os.O_RDONLY), os.pipe()
            got = b""
            while n := os.splice(fd, w, 65536) if hasattr(os, "splice") else 0:
                got += os.read(r, n)
            if hasattr(os, "splice"):
                assert got == expected, ("splice", size)
            for each in (fd, r, w):
                os.close(each)
            subprocess.run(["cp", "--reflink=auto", fresh("cp"), str(out)], check=True)
            assert out.read_bytes() == expected, ("cp", size)
            shutil.copyfile(fresh("shutil"), out)
            assert out.read_bytes() == expected, ("shutil", size)
            with open(fresh("tail"), "rb") as file:
                file.seek(-min(size, 10), os.SEEK_END)
                assert file.read() == expected[max(0, size - 10):], ("tail", size)


@test
def many_readers():
    """fifty readers of one result at once are one run"""
    with Mount() as m:
        m.put("x")
        m.script("some.sh", "#!/bin/sh\nn=0\nwhile [ $n -lt 200000 ]; do n=$((n+1)); done\necho $n\n")
        results = []
        threads = [threading.Thread(target=lambda: results.append(m.read("run/some.sh/x"))) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [b"200000\n"] * 50 and m.runs() == 1


@test
def waiting_readers_block_nobody():
    """while readers wait for a slow run, others list and read"""
    with Mount() as m:
        m.put("x")
        m.put("y")
        m.script("slow.sh", SLOW)
        readers = [subprocess.Popen(["cat", m.path("run/slow.sh/x")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(40)]
        time.sleep(0.5)
        assert m.read("run/cat/y") == b"hello\n" and os.listdir(m.path("run/cat"))
        assert m.stats()["zvm_runs_in_flight"] == 1 and all(reader.poll() is None for reader in readers)
        for reader in readers:
            reader.kill()
            reader.wait()


@test
def an_interrupt():
    """an interrupted reader returns at once, and the run is killed two seconds after its last reader left"""
    with Mount() as m:
        m.put("x")
        m.script("slow.sh", SLOW)
        reader = subprocess.Popen([sys.executable, "-c", "import os,sys,signal\nsignal.signal(signal.SIGALRM, lambda *a: sys.exit(7))\nsignal.setitimer("
                                   "signal.ITIMER_REAL, 0.4)\nos.open(sys.argv[1], os.O_RDONLY)", m.path("run/slow.sh/x")])
        assert reader.wait(timeout=5) == 7
        assert m.stats()["zvm_runs_in_flight"] == 1, "the reader came back only with the end of the run"
        time.sleep(3)
        after = m.stats()
        assert after["zvm_runs_in_flight"] == 0 and after["zvm_cancelled_total"] == 1, after


@test
def another_reader_keeps_it():
    """one reader's interrupt does not kill a run that another still waits for"""
    with Mount() as m:
        m.put("x")
        m.script("while.sh", "#!/bin/sh\nn=0\nwhile [ $n -lt 3000000 ]; do n=$((n+1)); done\necho $n\n")
        first = subprocess.Popen(["cat", m.path("run/while.sh/x")], stdout=subprocess.PIPE)
        second = subprocess.Popen(["cat", m.path("run/while.sh/x")], stdout=subprocess.PIPE)
        time.sleep(0.3)
        first.send_signal(signal.SIGINT)
        assert first.wait(timeout=2) == -signal.SIGINT, "there was nothing to interrupt"
        out, _ = second.communicate(timeout=60)
        assert out == b"3000000\n" and m.runs() == 1
        first.stdout.close()


@test
def links():
    """links are followed only while they stay beneath the inputs, unless -o follow"""
    with Mount() as m:
        m.put("a/file", b"inside\n")
        (m.root / "outside").write_bytes(b"outside\n")
        (m.inputs / "in").symlink_to("a/file")
        (m.inputs / "out").symlink_to(m.root / "outside")
        (m.inputs / "up").symlink_to("../outside")
        assert m.read("run/cat/in") == b"inside\n"
        assert m.error("run/cat/out")[0] == errno.ENOENT and m.error("run/cat/up")[0] == errno.ENOENT
        assert sorted(os.listdir(m.path("run/cat"))) == ["a", "in"]
        m.unmount()
        m.options += ["-o", "follow"]
        m.mount()
        assert m.read("run/cat/out") == b"outside\n"


@test
def mounted_below_the_inputs():
    """a mount point below the inputs is invisible there"""
    need_fuse()
    m = Mount()
    m.inputs.joinpath("x").write_bytes(b"hello\n")
    m.at = m.inputs / "mnt"
    m.at.mkdir()
    (m.inputs / "loop").symlink_to("mnt/run/cat/x")
    with m:
        assert m.read("run/cat/x") == b"hello\n"
        assert "mnt" not in os.listdir(m.path("run/cat"))
        assert m.error("run/cat/mnt/README")[0] == errno.ENOENT
        assert m.error("run/cat/loop")[0] == errno.ENOENT


@test
def stat_computes():
    """with -o stat=run a stat waits for the result, so that tools which trust sizes see the true one"""
    with Mount("-o", "stat=run") as m:
        m.put("x", data_of(1000))
        assert os.stat(m.path("run/cat/x")).st_size == 1000 and m.runs() == 1
        m.put("y", data_of(70000))
        subprocess.run(["tar", "-C", m.path("run"), "-cf", str(m.root / "t.tar"), "cat/y"], check=True)
        listing = subprocess.run(["tar", "-tvf", str(m.root / "t.tar")], capture_output=True, text=True).stdout
        assert " 70000 " in listing, listing
        m.script("late.py", "#!/usr/bin/python3\n# zvm: timeout=1\nwhile True: pass\n")
        before = m.runs()
        assert os.stat(m.path("run/late.py/x")).st_size == 0 and m.runs() == before + 1, "what is never remembered ran twice for one stat"


@test
def stat_after_a_change():
    """after a change of the input, stat tells of a new inode without a result, even while the old one is held open"""
    with Mount() as m:
        m.put("x", b"old\n")
        path = m.path("run/cat/x")
        m.read("run/cat/x")
        assert os.stat(path).st_size == 4
        m.put("x", b"newer\n")
        assert os.stat(path).st_size == 0 and os.getxattr(path, "user.zvm.state") == b"absent"
        m.read("run/cat/x")
        held = os.open(path, os.O_RDONLY)
        inode = os.fstat(held).st_ino
        m.put("x", b"newest of all\n")
        assert os.stat(path).st_size == 0 and os.stat(path).st_ino != inode
        assert os.fstat(held).st_size == 6 and os.fstat(held).st_ino == inode and os.pread(held, 100, 0) == b"newer\n"
        os.close(held)
        (m.inputs / "x").unlink()
        assert m.error("run/cat/x")[0] == errno.ENOENT and not os.path.exists(path)
        assert m.runs() == 2


@test
def a_change_behind_a_held_name():
    """a descriptor that only holds the name (O_PATH) opens what is true now, or says that it is stale, but never old bytes"""
    with Mount() as m:
        m.put("x", b"old\n")
        m.read("run/cat/x")
        name = os.open(m.path("run/cat/x"), os.O_PATH)
        m.put("x", b"new\n")
        try:
            with open(f"/proc/self/fd/{name}", "rb") as file:
                assert file.read() == b"new\n"
        except OSError as error:
            assert error.errno == errno.ESTALE, error
        os.close(name)


@test
def every_stage_counts():
    """err/ and info/ of a pipeline follow a changed input even where what the last stage is given stays the same"""
    with Mount() as m:
        m.script("same.sh", "#!/bin/sh\nread line\necho $line >&2\necho same\n")
        for text in ("one", "two and more"):
            m.put("x", f"{text}\n".encode())
            assert m.read("run/same.sh | wc/x").split() == [b"1", b"1", b"5"]
            assert m.read("err/same.sh | wc/x") == f"{text}\n".encode()
            info = json.loads(m.read("info/same.sh | wc/x"))
            assert info["stages"][0]["input_digest"] == subprocess.run(["xxh128sum", m.inputs / "x"], capture_output=True, check=True, text=True).stdout.split()[0]


@test
def times_of_results():
    """a result was modified when it was computed, to the second, whatever its input's times: never later than now, so that make believes it"""
    with Mount() as m:
        for number in range(3):
            path = m.put(f"t{number}", b"text %d\n" % number)
            os.utime(path, ns=(1_000_000_000_999_999_999, 1_000_000_000_999_999_999))
            assert os.stat(m.path(f"run/cat/t{number}")).st_mtime_ns == 1_000_000_000_999_999_999
            m.read(f"run/cat/t{number}")
            st, computed = os.stat(m.path(f"run/cat/t{number}")), json.loads(m.read(f"info/cat/t{number}"))["computed_at"]
            assert st.st_mtime_ns == st.st_ctime_ns == st.st_atime_ns == computed * 1_000_000_000 <= time.time_ns(), (st, computed)


@test
def results_hold_no_descriptors():
    """many results that the kernel remembers cost the daemon no open file"""
    with Mount() as m:
        for i in range(60):
            m.put(f"f{i}", b"%d\n" % i)
        daemon = m.daemon()
        for i in range(4):
            m.read(f"run/cat/f{i}")
        wait_until(lambda: m.stats()["zvm_templates_total"] == 1, "there is no template, which keeps open what it has mapped")
        before = len(os.listdir(f"/proc/{daemon}/fd"))
        for tree in ("run", "err", "info"):
            for i in range(60):
                m.read(f"{tree}/cat/f{i}")
        time.sleep(0.1)  # the last files are released behind the reader's back
        assert len(os.listdir(f"/proc/{daemon}/fd")) <= before + 12, (before, os.listdir(f"/proc/{daemon}/fd"))


@test
def streams():
    """stream/ opens at once and gives the same bytes, and EIO at the end of a failed run"""
    with Mount() as m:
        m.put("x", data_of(200000))
        m.script("fail.sh", "#!/bin/sh\necho part; exit 1\n")
        assert m.read("stream/cat/x") == data_of(200000)
        assert m.error("stream/fail.sh/x") == (errno.EIO, b"part\n")


@test
def mount_refusals():
    """wrong options, missing or busy mount points and bad stores are refused with a sentence, and nothing is left behind"""
    need_fuse()
    m = Mount()
    try:
        for arguments, status in ((["-o", "colour", str(m.at)], 2), (["--nonsense", str(m.at)], 2), ([], 2), ([str(m.root / "missing")], 125),
                                  (["-o", "max_jobs=0", str(m.at)], 2), (["--inputs", str(m.root / "missing"), str(m.at)], 125),
                                  (["--scripts", str(m.root / "missing"), str(m.at)], 125)):
            result = zvm("mount", "--store", str(m.store), *arguments)
            assert result.returncode == status and result.stderr.strip(), (arguments, result)
        (m.at / "file").write_text("x")
        result = zvm("mount", "--store", str(m.store), str(m.at))
        assert result.returncode == 125 and b"not empty" in result.stderr
        (m.at / "file").unlink()
        result = zvm("mount", "--store", str(m.scripts.parent), str(m.at))
        assert result.returncode == 125 and b"not a store" in result.stderr, result
        assert not os.path.ismount(m.at) and zvm("umount", str(m.at)).returncode == 1
        with m:
            result = zvm("mount", "--store", str(m.store), str(m.at))
            assert result.returncode == 125 and b"already" in result.stderr, result
            with open(m.path("README")) as held:
                assert held.read()
                busy = zvm("umount", str(m.at))
                assert busy.returncode == 1 and b"in use" in busy.stderr, busy
    finally:
        shutil.rmtree(m.root, ignore_errors=True)


@test
def the_helper_of_mount():
    """mount.fuse.zvm takes what mount(8) and fstab give it: a source, -o rw and the like, and -f only pretends"""
    need_fuse()
    m = Mount()
    helper = m.root / "mount.fuse.zvm"
    helper.symlink_to(ZVM)
    options = f"rw,noexec,nosuid,nodev,user=somebody,x-systemd.automount,store={m.store},scripts={m.scripts}"
    try:
        m.put("x")
        assert subprocess.run([str(helper), "-f", str(m.inputs), str(m.at), "-o", options]).returncode == 0 and not os.path.ismount(m.at)
        assert subprocess.run([str(helper), str(m.inputs), str(m.at), "-n", "-o", options]).returncode == 0
        assert m.read("run/cat/x") == b"hello\n"
    finally:
        m.unmount()
        shutil.rmtree(m.root, ignore_errors=True)


@test
def relative_names():
    """store, inputs, scripts and the mount point may be named relative to the directory that zvm is started in"""
    need_fuse()
    m = Mount()
    try:
        m.put("x")
        m.script("own.sh", "#!/bin/sh\nread word; echo $word\n")
        result = zvm("mount", "--store", "fresh/store", "--inputs", "inputs", "--scripts", "scripts", "mnt", cwd=m.root)
        assert result.returncode == 0, result
        assert m.read("run/own.sh/x") == b"hello\n" and (m.root / "fresh/store/version").exists()
        assert zvm("umount", "mnt", cwd=m.root).returncode == 0
    finally:
        m.unmount()
        shutil.rmtree(m.root, ignore_errors=True)


@test
def the_end_of_a_launcher():
    """a launcher that dies is replaced, and the next run does not notice"""
    with Mount() as m:
        for i in range(6):
            m.put(f"f{i}", b"%d\n" % i)
        assert m.read("run/cat/f0") == b"0\n"
        daemon = m.daemon()
        for i in range(1, 6):
            launcher = next(pid for pid, parent in descendants(daemon).items() if parent == daemon)
            os.kill(launcher, signal.SIGKILL)
            wait_until(lambda pid=launcher: not is_alive(pid), "it cannot be killed")
            assert m.error(f"run/cat/f{i}") == (0, b"%d\n" % i)
        assert m.runs() == 6


@test
def the_end_of_a_daemon():
    """SIGTERM unmounts and exits 0; a mount left by a killed daemon is cleaned up by umount and by mount; its boxes die"""
    need_fuse()
    m = Mount()
    m.script("slow.sh", SLOW)
    m.put("x")

    def foreground():
        daemon = subprocess.Popen([ZVM, "mount", "-f", "--store", str(m.store), "--inputs", str(m.inputs), "--scripts", str(m.scripts), str(m.at)],
                                  stderr=subprocess.DEVNULL)
        for _ in range(200):
            if os.path.ismount(m.at):
                return daemon
            time.sleep(0.02)
        raise AssertionError("it never mounted")

    try:
        daemon = foreground()
        reader = subprocess.Popen(["cat", m.path("run/slow.sh/x")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(timeout=10) == 0 and not m.is_mounted()
        assert reader.wait(timeout=5) != 0
        daemon = foreground()
        reader = subprocess.Popen(["cat", m.path("run/slow.sh/x")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        boxes = descendants(daemon.pid)
        assert len(boxes) >= 2, boxes
        daemon.kill()
        daemon.wait()
        assert reader.wait(timeout=5) != 0
        wait_until(lambda: not any(map(is_alive, boxes)), f"some of these are still there: {boxes}")
        assert zvm("umount", str(m.at)).returncode == 0
        daemon = foreground()
        daemon.kill()
        daemon.wait()
        m.mount()
        assert m.read("run/cat/x") == b"hello\n"
    finally:
        m.unmount()
        shutil.rmtree(m.root, ignore_errors=True)


@test
def one_store_for_all():
    """several mounts and zvm run share a store"""
    with Mount() as one, Mount() as two:
        two.unmount()
        two.store = one.store
        two.mount()
        one.put("x", b"shared\n")
        two.put("y", b"shared\n")
        assert one.read("run/wc -c/x") == b"7\n"
        assert two.read("run/wc -c/y") == b"7\n" and two.runs() == 0
        result = zvm("run", "--store", str(one.store), "--stats", "wc -c", input=b"shared\n")
        assert result.stdout == b"7\n" and b"zvm_box_runs_total 0" in result.stderr, result


@test
def forged_collisions():
    """two files with the same XXH3-128 each give their own result, in both orders, as inputs and as scripts"""
    assets = Path(__file__).resolve().parent.parent / "assets"
    a, b = (assets / "xxh128-pair-a").read_bytes(), (assets / "xxh128-pair-b").read_bytes()
    assert a != b
    for first, second in ((a, b), (b, a)):
        with Mount() as m:
            m.put("one", first)
            m.put("two", second)
            assert m.read("run/cat/one") == first and m.read("run/cat/two") == second
            assert m.read("run/cat/one") == first
            assert m.read("run/cat | sha256sum/one") != m.read("run/cat | sha256sum/two")
            digests = {os.getxattr(m.path(f"run/cat/{n}"), "user.zvm.digest") for n in ("one", "two")}
            assert len(digests) == 2 and all(m.read(f"cas/{d.decode()}") in (a, b) for d in digests), digests


@test
def record_keys():
    """info/ has every key of the contract"""
    with Mount() as m:
        m.put("x")
        info = json.loads(m.read("info/wc -l/x"))
        for key in ("spec", "state", "exit_status", "signal", "stdout", "stderr", "wall_us", "cpu_us", "max_rss_kib", "refused", "dependencies"):
            assert key in info, key
        assert info["spec"] == "wc -l" and info["state"] == "done" and info["exit_status"] == 0 and info["signal"] is None
        assert set(info["stdout"]) == {"digest", "size"} == set(info["stderr"])
        paths = {d["path"]: d for d in info["dependencies"]}
        assert any("libc.so.6" in p for p in paths), paths
        assert all("digest" in d or d.get("absent") for d in paths.values())
        assert paths["/etc/ld.so.preload"].get("absent")


main()
