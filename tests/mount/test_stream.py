"""stream/ gives what a run has written as soon as it has, and is the same result in the end."""

import errno
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import Mount, main, test

# Writes a line, works for a while (the box has no clock that real time moves), and so on.
SLOW = """#!/usr/bin/python3
import sys
for i in range(int(sys.argv[1])):
    print("line", i, flush=True)
    n = 0
    for k in range(int(sys.argv[2])):
        n += k
"""


def mounted():
    m = Mount()
    m.script("slow.py", SLOW)
    m.script("fail.py", SLOW + "sys.exit(3)\n")
    m.put("a")
    return m


def expected(lines):
    return b"".join(b"line %d\n" % i for i in range(lines))


def read_until(fd, wanted):
    got = b""
    while len(got) < wanted:
        part = os.read(fd, 1 << 16)
        assert part, got
        got += part
    return got


@test
def the_first_line_comes_before_the_last_is_written():
    """the first line is read while the run goes on, the rest as it comes, and then the end of the file"""
    with mounted() as m:
        fd = os.open(m.path("stream/slow.py 4 6000000/a"), os.O_RDONLY)
        assert m.runs() == 0, "the open waited for the end of the run"
        parts = []
        while part := os.read(fd, 1 << 16):
            parts.append((part, m.stats()["zvm_runs_in_flight"]))
        assert b"".join(part for part, _ in parts) == expected(4), parts
        assert parts[0][1] == 1 and len(parts) > 2, f"it did not come as it was written: {parts}"
        os.close(fd)
        assert m.read("run/slow.py 4 6000000/a") == expected(4)
        assert m.runs() == 1


@test
def what_is_there_can_be_read_again():
    """what has come can be read again from any offset, while more is awaited"""
    with mounted() as m:
        fd = os.open(m.path("stream/slow.py 3 8000000/a"), os.O_RDONLY)
        read_until(fd, 7)
        assert os.pread(fd, 4, 0) == b"line"
        assert os.pread(fd, 100, 5) == b"0\n"
        assert m.stats()["zvm_runs_in_flight"] == 1
        os.close(fd)


@test
def head_ends_early_and_others_read_on():
    """one who has seen enough goes, and takes the run from nobody else; when nobody is left it is killed"""
    with mounted() as m:
        name = m.path("stream/slow.py 5 8000000/a")
        other = subprocess.Popen(["cat", name], stdout=subprocess.PIPE)
        head = subprocess.run(["head", "-n", "1", name], capture_output=True, timeout=60)
        assert head.stdout == b"line 0\n" and m.runs() == 0, "head waited for the end of the run"
        assert other.communicate(timeout=120)[0] == expected(5)
        assert m.runs() == 1
        assert subprocess.run(["head", "-n", "1", m.path("stream/slow.py 9 90000000/a")], capture_output=True).stdout == b"line 0\n"
        for _ in range(100):
            if m.stats()["zvm_runs_in_flight"] == 0:
                break
            time.sleep(0.1)
        assert m.stats()["zvm_runs_in_flight"] == 0


@test
def who_comes_later_gets_the_beginning_at_once():
    """a second reader, opening while the run is under way, gets what is there already"""
    with mounted() as m:
        name = m.path("stream/slow.py 3 10000000/a")
        one = os.open(name, os.O_RDONLY)
        read_until(one, 7)
        two = os.open(name, os.O_RDONLY)
        assert os.read(two, 100).startswith(b"line 0\n")
        assert m.stats()["zvm_runs_in_flight"] == 1
        os.close(one)
        os.close(two)


@test
def many_streams_of_one_run():
    """fifty readers of one growing result each get every byte once and in order, of one run"""
    with mounted() as m:
        got = [b""] * 50

        def read(i):
            got[i] = m.read("stream/slow.py 40 200000/a")

        threads = [threading.Thread(target=read, args=(i,)) for i in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert set(got) == {expected(40)}
        assert m.runs() == 1


@test
def a_failed_run_says_so_at_its_end():
    """a run that fails gives its bytes as they come and EIO where its end would be"""
    with mounted() as m:
        assert m.error("stream/fail.py 3 100000/a") == (errno.EIO, expected(3))
        assert m.error("run/fail.py 3 100000/a") == (errno.EIO, expected(3))
        assert m.runs() == 1


@test
def a_limit_that_is_passed():
    """a run that passes its time limit gives what it wrote, and then that error"""
    with mounted() as m:
        m.script("late.py", "#!/usr/bin/python3\n# zvm: timeout=1\nprint('early', flush=True)\nwhile True: pass\n")
        assert m.error("stream/late.py/a") == (errno.ETIMEDOUT, b"early\n")


@test
def a_large_output_arrives_whole():
    """two hundred megabytes arrive as they were written, while they are written"""
    with mounted() as m:
        m.script("much.py", "#!/usr/bin/python3\nimport os\nfor i in range(200):\n    os.write(1, bytes([i]) * (1 << 20))\n")
        sizes, total = set(), 0
        fd = os.open(m.path("stream/much.py/a"), os.O_RDONLY)
        while part := os.read(fd, 1 << 20):
            assert part[0] == total >> 20 and part[-1] == total + len(part) - 1 >> 20
            sizes |= set(part)
            total += len(part)
        os.close(fd)
        assert total == 200 << 20 and sizes == set(range(200))
        assert os.stat(m.path("run/much.py/a")).st_size == total and m.runs() == 1


@test
def an_interrupted_read_leaves_the_stream_usable():
    """a signal ends a read that waits with EINTR, and the next read goes on where it was"""
    with mounted() as m:
        class Alarm(Exception):
            pass

        def ring(*_):
            raise Alarm

        before = signal.signal(signal.SIGALRM, ring)
        fd = os.open(m.path("stream/slow.py 2 20000000/a"), os.O_RDONLY)
        try:
            assert read_until(fd, 7) == b"line 0\n"
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            try:
                os.read(fd, 100)
                raise AssertionError("it did not wait")
            except Alarm:
                pass
            assert read_until(fd, 7) == b"line 1\n"
            assert os.read(fd, 100) == b""
        finally:
            signal.signal(signal.SIGALRM, before)
            os.close(fd)


@test
def unmounting_while_streams_wait():
    """a daemon that is told to end answers the streams that wait, and goes"""
    m = mounted().mount()
    try:
        reader = subprocess.Popen(["cat", m.path("stream/slow.py 9 90000000/a")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert select.select([reader.stdout], [], [], 30)[0]
        daemon = m.daemon()
        os.kill(daemon, signal.SIGTERM)
        reader.communicate(timeout=20)
        for _ in range(100):
            if not m.is_mounted():
                break
            time.sleep(0.1)
        assert not m.is_mounted()
    finally:
        m.__exit__(None, None, None)


main()
