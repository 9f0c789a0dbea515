"""With -o allow_other nobody reads through the mount what he could not have read himself."""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import Mount, Skip, main, test

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
            for tree in ("run", "err", "info", "stream"):
                assert_denied(BOB, m.path(f"{tree}/join.py/a"))
            (m.scripts / "words").chmod(0o644)
            assert read_as(BOB, m.path("run/join.py/a")).stdout == b"words input"
            (m.scripts / "words").chmod(0o640)
            assert_denied(BOB, m.path("run/join.py/a"))


@test
def each_directory_on_the_way_counts():
    """a directory that is closed between two reads closes what was read through it"""
    with mounted() as m:
        for _ in range(5):
            assert read_as(BOB, m.path("run/join.py/a")).stdout == b"words input"
        m.scripts.chmod(0o700)
        assert_denied(BOB, m.path("run/join.py/a"))
        assert m.read("run/join.py/a") == b"words input"
        m.scripts.chmod(0o755)
        assert read_as(BOB, m.path("run/join.py/a")).stdout == b"words input"


@test
def not_without_being_told():
    """without allow_other nobody else sees anything of the mount"""
    m = mounted()
    m.options = []
    with m:
        assert_denied(BOB, m.path("run/join.py/a"))


main()
