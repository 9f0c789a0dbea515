"""With -o allow_other nobody reads through the mount what he could not have read himself."""

import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import Mount, Skip, main, test
from processes import wait_until

SETTLE_S = 3.1  # a stat is believed once a file's times are more than two whole seconds old
TREES = ("run", "err", "info", "stream")
SCRIPT = "#!/usr/bin/python3\nimport sys\nprint(open('/script/words').read() + sys.stdin.read(), end='')\n"
ALICE, BOB = 54321, 54322


def mounted(*options):
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")
    m = Mount("-o", "allow_other", *options)
    m.root.chmod(0o755)
    m.script("join.py", SCRIPT)
    (m.scripts / "words").write_text("words ")
    m.put("a", b"input")
    return m


def read_as(uid, path):
    return subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "cat", path], capture_output=True, timeout=60)


def assert_denied(uid, path):
    result = read_as(uid, path)
    assert result.returncode == 1 and b"ermission denied" in result.stderr and not result.stdout, result


@test
def what_all_may_read():
    """what everybody may read everybody may read through the mount, also the first time"""
    with mounted() as m:
        assert read_as(BOB, m.path("run/join.py/a")).stdout == b"words input"
        assert read_as(ALICE, m.path("run/join.py/a")).stdout == b"words input"
        assert read_as(ALICE, m.path("stream/join.py/a")).stdout == b"words input"
        assert m.runs() == 1


@test
def the_input_counts():
    """an input that only its owner may read gives results that only its owner may read"""
    with mounted() as m:
        os.chown(m.inputs / "a", ALICE, ALICE)
        (m.inputs / "a").chmod(0o600)
        for tree in ("run", "err", "info", "stream"):
            assert_denied(BOB, m.path(f"{tree}/join.py/a"))
        assert read_as(ALICE, m.path("run/join.py/a")).stdout == b"words input"
        assert_denied(BOB, m.path("run/join.py/a"))


@test
def the_script_counts():
    """a script that somebody may neither read nor run does not run for him, also if the input is his own"""
    with mounted() as m:
        os.chown(m.inputs / "a", ALICE, ALICE)
        (m.scripts / "join.py").chmod(0o700)
        assert_denied(ALICE, m.path("run/join.py/a"))
        assert m.read("run/join.py/a") == b"words input"
        assert_denied(ALICE, m.path("run/join.py/a"))


@test
def each_dependency_counts():
    """a file that the run opened counts, whether it is known before or only afterwards"""
    for known in (False, True):
        with mounted() as m:
            (m.scripts / "words").chmod(0o600)
            if known:
                assert m.read("run/join.py/a") == b"words input"
            for tree in TREES:  # each with an input of its own, so that it is the first to ask
                m.put(tree, tree.encode())
                if known:
                    m.read(f"run/join.py/{tree}")
                assert_denied(BOB, m.path(f"{tree}/join.py/{tree}"))
            (m.scripts / "words").chmod(0o644)
            assert read_as(BOB, m.path("run/join.py/a")).stdout == b"words input"
            (m.scripts / "words").chmod(0o640)
            assert_denied(BOB, m.path("run/join.py/a"))


@test
def what_grows():
    """what is being written out of a file that somebody may not read is not shown to him while it grows either"""
    with mounted() as m:
        (m.scripts / "words").chmod(0o600)
        m.script("tells.py", "#!/usr/bin/python3\nprint(open('/script/words').read(), flush=True)\nfor k in range(8000000):\n    pass\n")
        owner = os.open(m.path("stream/tells.py/a"), os.O_RDONLY)
        bob = start_as(BOB, m.path("stream/tells.py/a"))
        assert os.read(owner, 100) == b"words \n" and m.runs() == 0
        os.close(owner)
        assert bob.communicate(timeout=60)[0] == b"" and bob.returncode == 1


@test
def each_directory_on_the_way_counts():
    """a directory that is closed between two reads closes what was read through it, also when all has been settled and read often"""
    for wait in (0, SETTLE_S):
        m = mounted()
        way = m.root / "way"
        way.mkdir()
        m.scripts = m.scripts.rename(way / "scripts")
        with m:
            time.sleep(wait)
            for directory in (way, m.scripts):
                for _ in range(10):
                    assert read_as(BOB, m.path("run/join.py/a")).stdout == b"words input"
                directory.chmod(0o700)
                assert_denied(BOB, m.path("run/join.py/a"))
                assert m.read("run/join.py/a") == b"words input"
                assert_denied(BOB, m.path("run/join.py/a"))
                directory.chmod(0o755)
                assert read_as(BOB, m.path("run/join.py/a")).stdout == b"words input"


@test
def attributes_follow_what_may_be_read():
    """what a stat says of who may read a result follows a directory on the way that is opened or closed, and whoever may read it then can"""
    m = mounted()
    outer = m.root / "outer"  # not what the guest sees as /script, of which the bits are an answer of their own
    (outer / "inner").mkdir(parents=True)
    for name in ("join.py", "words"):
        (m.scripts / name).rename(outer / "inner" / name)
    m.options += ["--scripts", str(outer / "inner")]
    outer.chmod(0o700)
    with m:
        path = m.path("run/join.py/a")
        assert m.read("run/join.py/a") == b"words input"
        assert os.stat(path).st_mode & 0o777 == 0o400
        assert_denied(BOB, path)
        outer.chmod(0o755)
        assert os.stat(path).st_mode & 0o777 == 0o444
        assert read_as(BOB, path).stdout == b"words input"
        outer.chmod(0o700)
        assert os.stat(path).st_mode & 0o777 == 0o400
        assert_denied(BOB, path)
        assert m.runs() == 1


@test
def not_without_being_told():
    """without allow_other nobody else sees anything of the mount"""
    m = mounted()
    m.options = []
    with m:
        assert_denied(BOB, m.path("run/join.py/a"))


SLOW = "#!/usr/bin/python3\nimport sys\ndata, n = sys.stdin.read(), 0\nfor k in range(2000000):\n    n += k\nprint(data)\n"


def start_as(uid, path):
    return subprocess.Popen(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "cat", path], stdout=subprocess.PIPE)


@test
def users_take_turns():
    """a user with one question does not wait for all forty of another, who asked before"""
    with mounted("-o", "max_jobs=1") as m:
        m.script("slow.py", SLOW)
        for i in range(40):
            m.put(f"many{i}", b"%d" % i)
        m.put("one", b"one")
        many = [start_as(ALICE, m.path(f"run/slow.py/many{i}")) for i in range(40)]
        wait_until(lambda: m.runs() >= 1, "none of them is computed", 60)
        assert start_as(BOB, m.path("run/slow.py/one")).communicate(timeout=60)[0] == b"one\n"
        waiting = sum(process.poll() is None for process in many)
        assert waiting > 20, waiting
        for i, process in enumerate(many):
            assert process.communicate(timeout=120)[0] == b"%d\n" % i


@test
def no_more_than_his_share():
    """with user_jobs=1 one user computes one thing at a time, and another beside him"""
    with mounted("-o", "max_jobs=2,user_jobs=1") as m:
        m.script("slow.py", SLOW)
        for i in range(6):
            m.put(f"many{i}", b"%d" % i)
        m.put("one", b"one")

        def most_at_once(processes):
            most = 0
            while any(process.poll() is None for process in processes):
                most = max(most, m.stats()["zvm_runs_in_flight"])
                time.sleep(0.01)
            return most

        many = [start_as(ALICE, m.path(f"run/slow.py/many{i}")) for i in range(3)]
        assert most_at_once(many) == 1
        many += [start_as(ALICE, m.path(f"run/slow.py/many{i}")) for i in range(3, 6)]
        assert most_at_once([*many, start_as(BOB, m.path("run/slow.py/one"))]) == 2
        assert sorted(process.communicate()[0] for process in many) == [b"%d\n" % i for i in range(6)]


main()
