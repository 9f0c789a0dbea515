"""zvm warm computes many results at once, says how it went, and leaves what is done when it is ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import ZVM, Mount, main, test, zvm

FAILS = "#!/usr/bin/python3\nimport sys\nsys.exit('bad' in sys.stdin.read())\n"
SLOW = "#!/usr/bin/python3\nn = 0\nfor k in range(3000000):\n    n += k\nprint(n)\n"


def with_inputs(count=20):
    m = Mount()
    for i in range(count):
        m.put(f"f{i}", b"file %d\n" % i)
    m.put("sub/deeper/g", b"below\n")
    return m


@test
def a_directory_with_all_below():
    """every file below a directory of the mount is computed once, and the next time it is all there already"""
    with with_inputs() as m:
        result = zvm("warm", "-j2", m.path("run/wc -c"))
        assert result.returncode == 0 and result.stdout.startswith(b"21 computed, 0 there already, 0 failed"), result
        assert m.runs() == 21
        result = zvm("warm", m.path("run/wc -c"))
        assert result.returncode == 0 and result.stdout.startswith(b"0 computed, 21 there already, 0 failed"), result
        assert b"had taken" in result.stdout
        assert m.read("run/wc -c/sub/deeper/g") == b"6\n"
        assert m.runs() == 21


@test
def files_and_patterns():
    """files and quoted patterns are taken, too, and a pattern that matches nothing is a failure that is named"""
    with with_inputs() as m:
        result = zvm("warm", m.path("run/cat/f3"), m.path("run/cat/f1?"), m.path("run/cat/x*"))
        assert result.returncode == 1 and result.stdout.startswith(b"11 computed, 0 there already, 1 failed"), result
        assert b"x*" in result.stderr
        assert m.runs() == 11


@test
def failures_are_named():
    """each failure is named with its reason, the rest is computed, and the exit status is 1"""
    with with_inputs() as m:
        m.script("fails.py", FAILS)
        m.put("f5", b"bad\n")
        for _ in range(2):
            result = zvm("warm", m.path("run/fails.py"))
            assert result.returncode == 1 and b" 1 failed" in result.stdout, result
            assert result.stderr.count(b"\n") == 1 and b"f5: the run failed" in result.stderr, result
        assert m.runs() == 21


@test
def one_file_for_each_input():
    """with --out each input becomes a file of its name, without a mount, and remembered in the store"""
    with with_inputs() as m:
        out = m.root / "out"
        arguments = ["warm", "--store", str(m.store), "--out", str(out), "tr a-z A-Z | cat"]
        result = zvm(*arguments, str(m.inputs / "f1"), str(m.inputs / "f2"), str(m.inputs / "sub"))
        assert result.returncode == 0 and result.stdout.startswith(b"3 computed"), result
        assert {p.name: p.read_bytes() for p in out.iterdir()} == {"f1": b"FILE 1\n", "f2": b"FILE 2\n", "g": b"BELOW\n"}
        (out / "f1").write_text("old")
        result = zvm(*arguments, str(m.inputs / "f1"))
        assert result.stdout.startswith(b"0 computed, 1 there already"), result
        assert (out / "f1").read_bytes() == b"FILE 1\n"
        assert m.read("run/tr a-z A-Z | cat/f2") == b"FILE 2\n" and m.runs() == 0


@test
def why_there_is_no_file():
    """with --out a failure is named with what zvm says of it, not with the error alone: where a script was missing, the input seemed to be"""
    with with_inputs(1) as m:
        m.script("slow.sh", "#!/bin/sh\n# zvm: timeout=1\nprintf 'a \\033[31m line\\nzvm: of its own' >&2\nwhile :; do :; done\n")
        for spec, reason in (("nosuch", b"there is no script or program called nosuch"), ("slow.sh", b"the time limit of 1 s was reached")):
            result = zvm("warm", "--store", str(m.store), "--scripts", str(m.scripts), "--out", str(m.root / "out"), spec, str(m.inputs / "f0"))
            assert result.returncode == 1 and b"f0: " + reason in result.stderr and result.stderr.count(b"\n") == 1, result


@test
def names_that_would_collide():
    """two inputs that would become the same file are refused before anything is written"""
    with with_inputs() as m:
        m.put("sub/f1")
        out = m.root / "out"
        result = zvm("warm", "--store", str(m.store), "--out", str(out), "cat", str(m.inputs / "f1"), str(m.inputs / "sub/f1"))
        assert result.returncode == 125 and b"same file" in result.stderr, result
        assert list(out.iterdir()) == []


@test
def ended_by_a_signal():
    """an interrupt ends it at once with a summary and 130; what was done is kept, and nothing goes on running"""
    with with_inputs(40) as m:
        m.script("slow.py", SLOW)
        for i in range(40):
            m.put(f"f{i}", b"file %d\n" % i)
        process = subprocess.Popen([ZVM, "warm", "-j1", m.path("run/slow.py")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while m.runs() < 2:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        out, _ = process.communicate(timeout=30)
        assert process.returncode == 130 and b" left" in out, (process.returncode, out)
        assert time.monotonic() - begin < 2
        done = int(out.split()[0])
        result = zvm("warm", m.path("run/slow.py/f0"))
        assert result.returncode == 0 and done >= 1
        for _ in range(60):
            if m.stats()["zvm_runs_in_flight"] == 0:
                break
            time.sleep(0.1)
        assert m.stats()["zvm_runs_in_flight"] == 0


@test
def a_bar_only_on_a_terminal():
    """a terminal gets a bar; a file gets no control characters"""
    with with_inputs() as m:
        result = zvm("warm", m.path("run/cat"))
        assert b"\r" not in result.stderr and b"\033" not in result.stderr
        seen = subprocess.run(["script", "-qec", f"{ZVM} warm '{m.path('run/md5sum')}'", "/dev/null"], capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
        assert b"\r" in seen.stdout and b"21 computed" in seen.stdout, seen


@test
def wrong_arguments():
    """wrong arguments are refused with a sentence and 2; a path that is not on a mount, too"""
    with with_inputs(1) as m:
        for arguments in ([], ["-j", "0", m.path("run/cat")], ["-j", "many", m.path("run/cat")], ["--colour"], [str(m.inputs)],
                          ["--store", str(m.store), m.path("run/cat")], ["--out", str(m.root / "out"), "cat"], ["--out", str(m.root / "out"), "cat | ", "x"]):
            result = zvm("warm", *arguments)
            assert result.returncode == 2 and result.stderr.strip(), (arguments, result)
        assert m.runs() == 0
        assert zvm("warm", "--help").returncode == 0


@test
def listings_show_that_there_may_be_directories_below():
    """a directory has one link, so no tree walker concludes that nothing is below it"""
    with with_inputs(1) as m:
        assert os.stat(m.path("run/cat")).st_nlink == 1 and os.stat(m.path("run/cat/sub")).st_nlink == 1
        found = subprocess.run(["find", m.path("run/cat"), "-type", "f"], capture_output=True, text=True, check=True).stdout.split()
        assert sorted(os.path.basename(f) for f in found) == ["f0", "g"]
        assert m.runs() == 0


main()
