"""zvm verify: stored results are run again from the store alone, and what differs is found, at its byte."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import Mount, main, test, zvm, ZVM  # noqa: E402
from processes import descendants, stat_of, wait_until  # noqa: E402

MODULES = """#!/usr/bin/python3
import hashlib, helper, json, os, random, re, sys, time, uuid
text = sys.stdin.read()
print(helper.VALUE, os.listdir("/script"), random.random(), time.time(), uuid.uuid4(), hashlib.md5(text.encode()).hexdigest())
print("to stderr", file=sys.stderr)
"""
SHELL = """#!/bin/sh
n=0
while read -r line; do n=$((n + 1)); last=$line; done
read -r first </script/helper.py
[ -e /script/none ] || echo "$n lines, the last is $last; $first; none is absent"
(echo from a child >/tmp/x; read -r line </tmp/x; echo "$line") & wait
echo to stderr >&2
exit 3
"""
PERL = "#!/usr/bin/perl\nuse strict; use POSIX; my $n = 0; while (<>) { $n += length } print $n, time, rand(), qq(\\n); kill 9, $$;\n"
SPECS = ["modules.py", "shell.sh", "perl.pl", "cat", "wc -l", "sort -R", "gawk {s+=$1}END{print%20s,rand()}", "jq .", "sort | uniq -c | sort -rn | head -n 5", "gzip -c",
         "sqlite3 :memory: select%20random()", "bc", "openssl rand -hex 20", "lua5.4 -e print(os.time(),math.random())", "xz -T1 -c", "find /usr/share/perl5 -name S*", "env"]


class World(Mount):
    def __enter__(self):
        super().__enter__()
        self.script("modules.py", MODULES)
        self.script("shell.sh", SHELL)
        self.script("perl.pl", PERL)
        (self.scripts / "helper.py").write_text("VALUE = 1\n")
        self.put("x", b"".join(b"%d\n" % n for n in range(1000)))
        self.put("empty", b"")
        return self

    def compute(self, *specs):
        for spec in specs or SPECS:
            for name in ("x", "empty"):
                self.error(f"run/{spec}/{name}")
        self.settle()

    def verify(self, *arguments, **options):
        return zvm("verify", "--store", str(self.store), *arguments, **options)

    def results(self):
        return sorted(str(path) for room in ("objects", "records") for path in (self.store / room).rglob("*"))

    def record(self, name):
        self.settle()
        told = json.loads(zvm("explain", "--json", self.path(name)).stdout)[0]["stages"][0]
        return self.store / "records" / told["action"][:2] / told["action"] / str(told["run"])


def counts(result):
    return tuple(map(int, re.search(rb"^(\d+) verified, (\d+) differ, (\d+) not verifiable$", result.stdout, re.M).groups()))


def hash_of(data, kind):
    printed = subprocess.run(["xxhsum", kind, "-"], input=data, capture_output=True, check=True).stdout.decode()
    return bytes.fromhex(re.search(r"[0-9a-f]{16,32}", printed)[0])


def forge(path, old, new):
    """Another run in its place, checksummed as if it were ours."""
    data = path.read_bytes()
    assert data.count(old) >= 1 and len(old) == len(new), (old, data)
    body = data[16:].replace(old, new)
    path.write_bytes(data[:8] + hash_of(body, "-H3")[::-1] + body)


def number(n):
    return n.to_bytes(8, "little")


def forge_number(path, index, value):
    """One of the numbers at the start of the encoded record."""
    body = path.read_bytes()
    at = body.index(b"zvm record 2") + 12 + 8 * index
    forge_at = bytearray(body[16:])
    forge_at[at - 16:at - 8] = number(value)
    path.write_bytes(body[:8] + hash_of(bytes(forge_at), "-H3")[::-1] + bytes(forge_at))


def forge_output(m, name, change):
    """The stored output of that name becomes another, correctly named object."""
    path = m.record(name)
    data = m.read(name)
    other = change(data)
    old, new = hash_of(data, "-H2"), hash_of(other, "-H2")
    where = m.store / "objects" / new.hex()[:2] / new.hex()
    where.parent.mkdir(exist_ok=True)
    where.write_bytes(other)

    def words(digest, twin, size):
        return digest[:8][::-1] + digest[8:][::-1] + twin + number(size)

    # The print, which only the store can make, is in the upper half of the twin number; none at all is believed.
    found = re.search(re.escape(words(old, b"", 0)[:16]) + b"(.{8})" + re.escape(number(len(data))), path.read_bytes(), re.DOTALL)
    forge(path, words(old, found[1], len(data)), words(new, number(0), len(other)))


@test
def what_was_not_touched():
    """results of many programs verify, pipelines, failures and signals too, from what the store has kept, whatever the host has made of script, module and input since; nothing is remembered"""
    with World() as m:
        m.compute()
        before = m.results()
        result = m.verify("-j", "2")
        verified, differ, cannot = counts(result)
        assert result.returncode == 0 and (differ, cannot) == (0, 0) and verified >= 2 * len(SPECS), result
        for path in m.scripts.iterdir():
            path.write_text("#!/bin/sh\nexit 1\n")
        (m.scripts / "helper.py").unlink()
        (m.scripts / "none").touch()
        shutil.rmtree(m.inputs)
        m.inputs.mkdir()
        again = m.verify()
        assert again.returncode == 0 and counts(again) == counts(result), again
        assert m.results() == before and list((m.store / "tmp").iterdir()) == []


@test
def an_output_that_is_another():
    """a stored output that is another, longer or shorter is found and shown at its first differing byte, with both records, and that two new runs agree"""
    for change, at, was in ((lambda d: d.replace(b"500", b"5x0"), 1890 + 1, b"5x0"), (lambda d: d + b"more", 3890, b"more"), (lambda d: d[:-3], 3887, b"end of file")):
        with World() as m:
            m.compute("cat")
            forge_output(m, "run/cat/x", change)
            result = m.verify()
            assert result.returncode == 1 and counts(result) == (1, 1, 0), result
            text = result.stdout
            assert b"/usr/bin/cat" in text and b"standard output, at byte %d:" % at in text and was in text, text
            assert text.count(b"  standard ") == 1 and b"exit 0" in text and b"system calls" in text and b"two more runs made the same" in text, text
            assert m.verify(m.path("run/cat/x")).returncode == 1
            assert m.verify(m.path("run/cat/empty")).returncode == 0


@test
def a_standard_error_that_is_another():
    """so is what a run wrote to its standard error, although nothing else differs"""
    with World() as m:
        m.script("both.sh", "#!/bin/sh\necho to stdout; echo to stderr >&2\n")
        m.read("run/both.sh/x")
        forge_output(m, "err/both.sh/x", lambda d: d.replace(b"err", b"xrr"))
        result = m.verify()
        assert result.returncode == 1 and counts(result) == (0, 1, 0), result
        assert b"standard error, at byte 6:" in result.stdout and result.stdout.count(b"  standard ") == 1, result


@test
def a_run_that_went_otherwise():
    """a stored exit status, count of system calls, virtual time, question or verdict that is another is found, each by its name"""
    changes = [
        (lambda m, p: forge_number(p, 1, 1), b"how it ended:\n    stored: exit 1\n    again:  exit 0"),
        (lambda m, p: forge_number(p, 3, 1), b"whether it failed:"),
        (lambda m, p: forge_number(p, 8, 7), b"system calls:\n    stored: 7"),
        (lambda m, p: forge_number(p, 9, 7), b"nanoseconds on its own clock:\n    stored: 7"),
        (lambda m, p: forge(p, b"/script/missing", b"/script/nissing"), b"only the new run asked for /script/missing"),
    ]
    for change, text in changes:
        with World() as m:
            m.script("asks.py", "#!/usr/bin/python3\nimport os\nprint(os.path.exists('/script/missing'))\n")
            m.read("run/asks.py/x")
            change(m, m.record("run/asks.py/x"))
            result = m.verify()
            assert result.returncode == 1 and counts(result) == (0, 1, 0) and text in result.stdout, (text, result)


@test
def what_a_terminal_would_obey():
    """of names, arguments and paths that a guest has chosen, no control character is printed"""
    with World() as m:
        m.script("asks.py", "#!/usr/bin/python3\nimport os\nos.path.exists('/script/a\\033[31m\\nb')\nprint(open('/script/c\\033[2J').read())\n")
        (m.scripts / "c\033[2J").write_text("a module that is no longer kept\n")
        m.read("run/asks.py \033[7m/x")
        record = m.record("run/asks.py \033[7m/x")
        digest = next(d["digest"] for d in json.loads(m.read("info/asks.py \033[7m/x"))["dependencies"] if "c\033" in d["path"] and d["kind"] == "file")
        path = m.store / "objects" / digest[:2] / digest
        path.rename(m.root / "aside")
        result = m.verify()
        assert counts(result) == (0, 0, 1) and b"(/script/c?[2J is no longer kept)" in result.stdout and b"\033" not in result.stdout, result
        (m.root / "aside").rename(path)
        forge(record, b"/script/a\033[31m", b"/script/A\033[31m")
        result = m.verify()
        assert counts(result) == (0, 1, 0) and b"only the new run asked for /script/a?[31m?b\n" in result.stdout and b"\033" not in result.stdout, result


@test
def what_cannot_be_verified():
    """a result whose input, script, module or output is no longer kept, or that another version computed, cannot be verified: it is counted, and no failure"""
    with World() as m:
        m.compute("modules.py", "cat")
        info = json.loads(m.read("info/modules.py/x"))
        paths = {d["path"]: d.get("digest") for d in info["dependencies"] if d["kind"] == "file"}
        objects = {b"its input": info["input_digest"], b"its script": info["script"]["digest"], b"its output": info["stdout"]["digest"],
                   b"/script/helper.py": paths["/script/helper.py"]}
        for what, digest in objects.items():
            path = m.store / "objects" / digest[:2] / digest
            path.rename(m.root / "aside")
            result = m.verify()
            verified, differ, cannot = counts(result)
            assert result.returncode == 0 and differ == 0 and cannot >= 1 and verified + cannot == 4, (what, result)
            assert b"cannot be verified (" + what + b" is no longer kept)" in result.stdout, (what, result)
            (m.root / "aside").rename(path)
        version = re.search(rb"zvm-box-\d", m.record("run/cat/x").read_bytes())[0]
        forge(m.record("run/cat/x"), version, b"zvm-box-0")
        result = m.verify()
        assert result.returncode == 0 and counts(result) == (3, 0, 1) and b"another version of zvm" in result.stdout, result
        assert counts(m.verify(m.path("run/wc/x"))) == (0, 0, 1)


@test
def how_many_and_how_fast():
    """a sample has so many, a rate is kept, paths are those runs only, and what is not understood is refused"""
    with World() as m:
        m.compute("cat", "wc -l", "sort | uniq -c")
        assert counts(m.verify("--sample", "3")) == (3, 0, 0)
        assert counts(m.verify("--sample", "1000")) == counts(m.verify())
        start = time.monotonic()
        assert counts(m.verify("--sample", "4", "--rate", "5")) == (4, 0, 0) and time.monotonic() - start > 0.55
        assert counts(zvm("verify", m.path("run/sort | uniq -c/x"), m.path("err/cat/x"))) == (3, 0, 0)
        for wrong in (["--sample", "0"], ["--rate", "-1"], ["--rate", "1e-12"], ["--rate", "nan"], ["-j", "x"], ["--sample", "1", m.path("run/cat/x")], ["--colour"]):
            assert m.verify(*wrong).returncode == 2, wrong
        assert zvm("verify", "--store", str(m.root / "none")).returncode == 125
        assert zvm("verify", "/etc/passwd").returncode == 125


def processor_time(pid):
    """Seconds of it that a process has used."""
    fields = stat_of(pid)
    return int(fields[11]) / os.sysconf("SC_CLK_TCK") if len(fields) > 11 else 0


@test
def an_interrupt():
    """an interrupt ends the run under way, which is not counted, and the summary still comes; nothing is left behind"""
    with World() as m:
        m.script("long.py", "#!/usr/bin/python3\n# zvm: timeout=60\nfor i in range(30_000_000): pass\n")
        m.script("quick.sh", "#!/bin/sh\necho quick\n")
        m.read("run/quick.sh/x")
        m.read("run/long.py/x")
        process = subprocess.Popen([ZVM, "verify", "--store", str(m.store), m.path("run/quick.sh/x"), m.path("run/long.py/x"), m.path("run/long.py/x"), m.path("run/long.py/x")],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_until(lambda: any(processor_time(pid) > 0.2 for pid in descendants(process.pid)), "no long run begins")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 130, (process.returncode, out, err)
        assert re.search(rb"^[01] verified, 0 differ, 0 not verifiable$", out, re.M) and b"quick" not in out, f"a run that it interrupted counts: {out}"
        assert list((m.store / "tmp").iterdir()) == []


main()
