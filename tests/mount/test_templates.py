"""Templates: runs that go on from where others of their kind have stopped are as if they had begun at the beginning."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import Mount, main, test, zvm  # noqa: E402
from processes import descendants, is_alive, wait_until  # noqa: E402

SCRIPT = """#!/usr/bin/python3
import json, os, sys
sys.path.insert(0, "/script")
import helper
data = sys.stdin.read()
print(json.dumps([helper.word, data, len(os.listdir("/tmp")), os.getpid()]))
"""
SETTLE_S = 3.1  # a stat is believed once a file's times are more than two whole seconds old


def expected(word, data):
    return json.dumps([word, data, 0, 1]).encode() + b"\n"


def templates(m):
    stats = m.stats()
    return stats["zvm_templates_total"], stats["zvm_template_runs_total"]


def make_template(m, spec, names=("71", "72")):
    """What has been run twice has a template soon."""
    before = templates(m)[0]
    for name in names:
        m.put(name, name.encode())
        m.read(f"run/{spec}/{name}")
    wait_until(lambda: templates(m)[0] > before, "there is no template")


def without(value, key):
    """A JSON value without the fields of this name, however deep."""
    if isinstance(value, dict):
        return {k: without(v, key) for k, v in value.items() if k != key}
    return [without(v, key) for v in value] if isinstance(value, list) else value


def compare_with_whole(m, spec, name):
    """What a run from a template has given, and what one gives that begins at the beginning: output and dependencies."""
    got = m.read(f"run/{spec}/{name}")
    info = json.loads(m.read(f"info/{spec}/{name}"))
    whole = zvm("run", "--no-cache", "--store", str(m.root / "other"), "--scripts", str(m.scripts), spec, input=(m.inputs / name).read_bytes())
    assert whole.stdout == got, (spec, whole, got)
    with Mount() as other:
        for path in m.scripts.iterdir():
            os.link(path, other.scripts / path.name)
        other.put(name, (m.inputs / name).read_bytes())
        assert other.read(f"run/{spec}/{name}") == got and templates(other) == (0, 0)
        other_info = json.loads(other.read(f"info/{spec}/{name}"))
    for measured in ("wall_us", "cpu_us", "max_rss_kib", "faults", "computed_at"):
        info = without(info, measured)
        other_info = without(other_info, measured)
    differing = [key for key in info if info[key] != other_info.get(key)]
    assert info == other_info, (spec, {key: (info[key], other_info.get(key)) for key in differing})


@test
def after_two_runs():
    """what has been run twice goes on from a template, each run counts as one, and nothing of it differs from one that began at the beginning"""
    with Mount() as m:
        m.script("tell.py", SCRIPT)
        (m.scripts / "helper.py").write_text("word = 'one'\n")
        m.script("sum.pl", "#!/usr/bin/perl\nuse List::Util 'sum';\nmy %h = map { $_ => 1 } 1 .. 9;\nprint sum(map { length } <STDIN>), join(',', keys %h), rand(), \"\\n\";\n")
        m.script("lines.sh", "#!/bin/sh\nread line\necho \"$line $$ $(date)\"\nls -l /dev/input | wc -c\n")
        for spec in ("tell.py", "cat", "sum.pl", "lines.sh", "gawk {print%20length($0)}", "sort | uniq -c", "jq .", "true", "wc -c %2Fdev%2Finput"):
            before = templates(m)
            make_template(m, spec)
            for number in range(2, 12):  # on a busy machine a run may begin at the beginning although there is one
                m.put(str(number), b"%d\n" % number)
                compare_with_whole(m, spec, str(number))
                if templates(m)[1] >= before[1] + 2:
                    break
            assert templates(m)[1] >= before[1] + 2, (spec, before, templates(m))
        assert m.runs() == m.stats()["zvm_records_written_total"] and m.stats()["zvm_runs_in_flight"] == 0


@test
def what_it_has_read_changes():
    """a module that is edited, and a file that appears where was none, give the next run what is there now, settled or not"""
    for wait in (0, SETTLE_S):
        with Mount() as m:
            m.script("tell.py", SCRIPT)
            helper = m.scripts / "helper.py"
            helper.write_text("word = 'one'\n")
            time.sleep(wait)
            make_template(m, "tell.py")
            m.put("3", b"3")
            assert m.read("run/tell.py/3") == expected("one", "3")
            helper.write_text("word = 'two'\n")
            m.put("4", b"4")
            assert m.read("run/tell.py/4") == expected("two", "4")
            (m.scripts / "json.py").write_text("def dumps(x):\n    return 'mine'\n")
            m.put("5", b"5")
            assert m.read("run/tell.py/5") == b"mine\n"
            (m.scripts / "json.py").unlink()
            m.script("tell.py", SCRIPT.replace("getpid()", "getpid() + 1"))
            m.put("6", b"6")
            assert json.loads(m.read("run/tell.py/6"))[3] == 2


@test
def nothing_goes_from_one_to_the_other():
    """what a run leaves in its files, its memory and its numbers, no other finds; chance differs from input to input"""
    leaves = """#!/usr/bin/python3
import os, sys
os.makedirs("/tmp/early", exist_ok=True)
open("/tmp/early/list", "w").write("early")
seen = ["early"]
data = sys.stdin.read()
found = sorted(os.listdir("/tmp")) + sorted(os.listdir("/dev/shm")) + seen + [open("/tmp/early/list").read()]
open("/tmp/" + data, "w").write(data)
open("/dev/shm/" + data, "w").write(data)
open("/tmp/early/list", "a").write(data)
seen.append(data)
print(found, os.urandom(4).hex())
"""
    with Mount() as m:
        m.script("leaves.py", leaves)
        make_template(m, "leaves.py")
        chance = set()
        for n in range(6):
            m.put(str(n), b"%d" % n)
            found, _, drawn = m.read(f"run/leaves.py/{n}").rpartition(b" ")
            assert found == b"['early', 'early', 'early']", found
            chance.add(drawn)
        assert len(chance) == 6 and templates(m)[1] > 1


@test
def who_computes_is_left_alone():
    """a program that computes before it looks at its input is not computed ahead"""
    with Mount() as m:
        m.script("late.py", "#!/usr/bin/python3\nimport sys\nfor i in range(12000000):\n    pass\nprint(sys.stdin.read())\n")
        for n in range(4):
            m.put(str(n), b"%d" % n)
            assert m.read(f"run/late.py/{n}") == b"%d\n" % n
        assert templates(m) == (0, 0)


@test
def a_template_that_dies():
    """with its processes killed, and with the launcher killed, every run is computed all the same"""
    with Mount() as m:
        make_template(m, "wc -c")
        for n in range(12):
            boxes = [pid for pid, parent in descendants(m.daemon()).items() if parent != m.daemon()]
            for pid in boxes:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            m.put(str(n), b"x" * n)
            assert m.read(f"run/wc -c/{n}") == b"%d\n" % n
        for n in range(12, 24):
            (launcher,) = [pid for pid, parent in descendants(m.daemon()).items() if parent == m.daemon()]
            members = [launcher, *descendants(launcher)]
            os.kill(launcher, signal.SIGKILL)
            wait_until(lambda: not any(map(is_alive, members)), "they live on")
            m.put(str(n), b"x" * n)
            assert m.read(f"run/wc -c/{n}") == b"%d\n" % n
        make_template(m, "wc -l")
        assert m.stats()["zvm_runs_in_flight"] == 0


@test
def a_bounded_number():
    """of many kinds only some have one at a time, and with the daemon all are gone"""
    with Mount() as m:
        for n in range(30):
            make_template(m, f"head -c {n + 1}")
        m.put("long", b"x" * 100)
        for n in range(30):
            assert m.read(f"run/head -c {n + 1}/long") == b"x" * (n + 1)
        daemon = m.daemon()
        members = list(descendants(daemon))
        assert len(members) < 64, len(members)  # a dozen, with two boxes ahead of each; all thirty would be more than ninety
    wait_until(lambda: not any(map(is_alive, members)), "they live on")


@test
def many_at_once():
    """three hundred inputs, six readers: each has its own bytes"""
    with Mount("-o", "max_jobs=4") as m:
        m.script("tell.py", SCRIPT)
        (m.scripts / "helper.py").write_text("word = 'one'\n")
        for n in range(300):
            m.put(f"many/{n}", b"%d" % n)
        readers = [subprocess.Popen(["sh", "-c", f'for n in $(seq {k} 6 299); do cat "{m.path("run/tell.py/many")}/$n"; done'], stdout=subprocess.PIPE) for k in range(6)]
        for k, reader in enumerate(readers):
            assert reader.communicate(timeout=120)[0] == b"".join(expected("one", str(n)) for n in range(k, 300, 6))
        assert m.runs() == 300 and templates(m)[1] > 200, templates(m)


if __name__ == "__main__":
    main()
