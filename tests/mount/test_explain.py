"""zvm explain: what it says of every kind of change, and that reading agrees with it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import Mount, main, test, zvm, ZVM  # noqa: E402

SCRIPT = """#!/usr/bin/python3
# zvm: memory=512M
import os, sys, helper
def look(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError as error:
        return type(error).__name__
print(sys.argv[1:], len(sys.stdin.read()), helper.VALUE, look("/script/missing"), look("/script/data"), os.listdir("/script/list"),
      os.stat("/script/stat").st_mode, os.readlink("/script/link"), look("/script/fickle"), look("/script/self")[:20])
"""


class World(Mount):
    """A script that asks for a file, an absence, a listing, attributes and a link."""

    def __enter__(self):
        super().__enter__()
        self.script("look.py", SCRIPT)
        for name in ("data", "stat", "fickle"):
            (self.scripts / name).write_text(name)
        (self.scripts / "helper.py").write_text("VALUE = 1\n")
        (self.scripts / "list").mkdir()
        (self.scripts / "list" / "a").touch()
        (self.scripts / "link").symlink_to("data")
        (self.scripts / "self").symlink_to("look.py")
        self.put("x", b"12345\n")
        return self


def explain(m, name):
    m.settle()
    result = zvm("explain", "--json", m.path(name))
    assert result.returncode in (0, 1), result
    told = json.loads(result.stdout)[0]
    assert (told["state"] == "hit") == (result.returncode == 0), result
    return told


def reasons(told, stage=0):
    return told["stages"][stage]["reasons"]


def snapshot(root):
    return {path: (path.lstat().st_mtime_ns, path.lstat().st_ctime_ns, path.lstat().st_size) for path in root.rglob("*")}


@test
def hit_and_never():
    """what was never computed is said to be so, what is stored is a hit, and to explain neither runs nor changes anything, nor with stat=run"""
    for options in ((), ("-o", "stat=run")):
        with World(*options) as m:
            before = snapshot(m.store)
            assert reasons(explain(m, "run/look.py/x"))[0]["kind"] == "never"
            assert m.runs() == 0 and snapshot(m.store) == before
            m.read("run/look.py/x")
            m.settle()
            before = snapshot(m.store)
            for tree in ("run", "err", "info", "stream"):
                told = explain(m, f"{tree}/look.py/x")
                assert told["state"] == "hit" and told["stages"][0]["run"] == 1 and reasons(told) == [], told
            assert m.runs() == 1 and snapshot(m.store) == before
            assert zvm("explain", m.path("run/look.py/x")).stdout.splitlines()[0] == b"hit"


def rewrite(path, text):
    path.write_text(text)


def retype(path):
    path.unlink()
    path.mkdir()


def relink(path, target):
    path.unlink()
    path.symlink_to(target)


def each(old, new):
    return lambda m: rewrite(m.scripts / "look.py", SCRIPT.replace(old, new))


# what changes; then of one of the reasons: its kind, its subject, what its change says, what was, what is
CHANGES = [
    ("an input", lambda m: m.put("x", b"other\n"), "input", "the input", "content changed", None, None),
    ("the script", each("VALUE,", "VALUE + 1,"), "script", "/script/look.py", "content changed", None, None),
    ("its permissions", lambda m: (m.scripts / "look.py").chmod(0o700), "mode", "/script/look.py", "permissions changed", "0755", "0700"),
    ("a memory limit", each("512M", "256M"), "directive", "memory limit in bytes", "declares", str(512 << 20), str(256 << 20)),
    ("an output limit", each("512M", "512M output=1M"), "directive", "output limit in bytes", "declares", str(16 << 30), str(1 << 20)),
    ("a time limit", each("512M", "512M timeout=7"), "directive", "time limit in ms", "declares", "120000", "7000"),
    ("statuses", each("512M", "512M ok=0,3"), "directive", "exit statuses that are success", "declared", "0", "0,3"),
    ("a variable", each("512M", "512M env=A=b"), "environment", "the variable A", "declares it now", None, "b"),
    ("another value", each("512M", "512M env=TZ=C"), "environment", "the variable TZ", "another value", "UTC", "C"),
    ("a module", lambda m: rewrite(m.scripts / "helper.py", "VALUE = 22\n"), "dependency", "/script/helper.py", "content changed", None, None),
    ("a file that appears", lambda m: rewrite(m.scripts / "missing", "now"), "dependency", "/script/missing", "appeared", None, "a file"),
    ("a file that goes", lambda m: (m.scripts / "data").unlink(), "dependency", "/script/data", "disappeared", "a file", None),
    ("a file that becomes a directory", lambda m: retype(m.scripts / "fickle"), "dependency", "/script/fickle", "another type", "a file", "a directory"),
    ("a name more", lambda m: (m.scripts / "list" / "b").touch(), "dependency", "/script/list", "gained b", None, None),
    ("a name less", lambda m: (m.scripts / "list" / "a").unlink(), "dependency", "/script/list", "lost a", None, None),
    ("attributes", lambda m: (m.scripts / "stat").chmod(0o600), "dependency", "/script/stat", "permissions changed", "0644", "0600"),
    ("a link", lambda m: relink(m.scripts / "link", "stat"), "dependency", "/script/link", "link target changed", "data", "stat"),
    ("a link to the script itself", lambda m: relink(m.scripts / "self", "stat"), "dependency", "/script/self", "content changed", None, None),
    ("nothing, but touched", lambda m: os.utime(m.scripts / "helper.py"), None, None, None, None, None),
    ("nothing, but copied", lambda m: (shutil.copy(m.scripts / "data", m.root / "d"), os.replace(m.root / "d", m.scripts / "data")), None, None, None, None, None),
]


def find(told, kind, subject):
    return next((r for r in reasons(told) if (r["kind"], r.get("subject")) == (kind, subject)), None)


@test
def every_change_is_named():
    """of every kind of change it is said what changed, from what to what, in which file of the host and since when; reading then computes, or it does not, as was said"""
    for what, change, kind, subject, text, was, now in CHANGES:
        with World() as m:
            m.read("run/look.py/x")
            change(m)
            told = explain(m, "run/look.py/x")
            assert (told["state"] == "miss") == (kind is not None), (what, told)
            reason = find(told, kind, subject)
            if kind:
                assert reason and text in reason["change"], (what, told)
                assert was is None or reason["was"] == was, (what, reason)
                assert now is None or reason["is"] == now, (what, reason)
            if kind in ("input", "script", "mode", "dependency"):
                assert reason["host"].startswith(str(m.root)) and abs(reason["since"] - os.stat(m.scripts).st_mtime) < 100, (what, reason)
            assert len(reasons(told)) == len({(r["kind"], r.get("subject")) for r in reasons(told)}), (what, "each only once", told)
            m.error("run/look.py/x")
            assert m.runs() == (2 if kind else 1), what
            assert explain(m, "run/look.py/x")["state"] == "hit", what


@test
def arguments():
    """a spec that was computed with other arguments only is said to have been, and which argument is another, new or gone"""
    with World() as m:
        m.read("run/look.py a b/x")
        for spec, subject, change in (("look.py a c", "argument 2", "another"), ("look.py a b c", "argument 3", "new"), ("look.py a", "argument 2", "gone")):
            told = explain(m, f"run/{spec}/x")
            assert [(r["kind"], r["subject"], r["change"]) for r in reasons(told)] == [("argument", subject, change)], told
        assert reasons(explain(m, "run/cat/x"))[0]["kind"] == "never"


@test
def the_mounts_own_limits():
    """limits and exit statuses that the mount was given are told from those that a script declares"""
    with World() as m:
        m.read("run/wc/x")
        m.settle()
        m.unmount()
        m.options = ["-o", "timeout=9,exit=any"]
        m.mount()
        told = explain(m, "run/wc/x")
        assert {(r["kind"], r["subject"], r["was"], r["is"]) for r in reasons(told)} == {
            ("limit", "time limit in ms", "120000", "9000"), ("directive", "exit statuses that are success", "0", "any")}, told


@test
def what_the_store_lost():
    """an output or a run that the store no longer has is said to be missing; and with the run gone it is still known which part of its action is another"""
    with World() as m:
        m.read("run/look.py/x")
        told = explain(m, "run/look.py/x")
        digest = json.loads(m.read("info/look.py/x"))["stdout"]["digest"]
        output = m.store / "objects" / digest[:2] / digest
        kept = output.read_bytes()
        output.unlink()
        lost = explain(m, "run/look.py/x")
        assert [(r["kind"], r["was"]) for r in reasons(lost)] == [("output", digest)] and "no longer kept" in reasons(lost)[0]["change"], lost
        output.write_bytes(kept[:-1] + b"?")
        lost = explain(m, "run/look.py/x")
        assert "damaged" in reasons(lost)[0]["change"] and output.exists(), lost
        output.write_bytes(kept)
        action = told["stages"][0]["action"]
        shutil.rmtree(m.store / "records" / action[:2] / action)
        lost = explain(m, "run/look.py/x")
        assert [r["kind"] for r in reasons(lost)] == ["evicted"] and abs(lost["stages"][0]["computed_at"] - os.stat(m.scripts).st_mtime) < 100, lost
        rewrite(m.scripts / "look.py", SCRIPT.replace("512M", "256M"))
        lost = explain(m, "run/look.py/x")
        assert [(r["kind"], r["subject"]) for r in reasons(lost)] == [("script", "/script/look.py"), ("directive", "memory limit in bytes")], lost
        (m.store / "stat" / "names").unlink()
        assert reasons(explain(m, "run/look.py/x"))[0]["kind"] == "never"


@test
def pipelines():
    """of a pipeline the first stage that must be computed is explained, those before it are hits, and those behind it are not known"""
    with World() as m:
        spec = "run/cat | look.py | wc -c/x"
        m.read(spec)
        assert [s["state"] for s in explain(m, spec)["stages"]] == ["hit"] * 3
        rewrite(m.scripts / "helper.py", "VALUE = 333\n")
        told = explain(m, spec)
        assert [s["state"] for s in told["stages"]] == ["hit", "miss", "unknown"], told
        assert reasons(told, 1)[0]["subject"] == "/script/helper.py" and reasons(told, 2)[0]["kind"] == "earlier"
        first = zvm("explain", m.path(spec)).stdout.splitlines()[0]
        assert first == b"miss: stage 2: /script/helper.py: content changed", first
        m.read("run/cat | look.py/x")
        told = explain(m, spec)
        assert [s["state"] for s in told["stages"]] == ["hit", "hit", "miss"], told
        assert reasons(told, 2)[0]["kind"] == "input" and "host" not in reasons(told, 2)[0], told
        m.read(spec)
        assert explain(m, spec)["state"] == "hit"


@test
def what_cannot_be_run():
    """no such script, no such input, a directory, a script that cannot be run: no result, and it is said why"""
    with World() as m:
        m.script("bad.sh", "#!/bin/sh\n# zvm: colour=red\n")
        m.put("d/y")
        for name, text in (("run/none/x", b"no such script"), ("run/wc/none", b"no such input"), ("run/wc/d", b"directory"), ("run/bad.sh/x", b"line 2")):
            result = zvm("explain", m.path(name))
            assert result.returncode == 1 and result.stdout.startswith(b"no result: ") and text in result.stdout, (name, result)


@test
def paths():
    """a path may be relative, lead through links and dots, or start within the mount; several are told apart; what is none is refused with what to do"""
    with World() as m:
        m.put("d/y")
        m.read("run/wc/d/y")
        (m.root / "way").symlink_to("mnt")
        for at, name in ((m.root, "mnt/run/wc/d/y"), (m.root, "way/run/wc/d/y"), (m.root / "inputs", "..//mnt/./run/cat/../wc/d/y"), (m.at / "run" / "wc" / "d", "y")):
            result = zvm("explain", name, cwd=at)
            assert result.returncode == 0 and result.stdout.startswith(b"hit\n"), (name, result)
        result = zvm("explain", m.path("run/wc/d/y"), m.path("run/wc/x"))
        assert result.returncode == 1 and result.stdout.startswith(m.path("run/wc/d/y").encode() + b": hit\n"), result
        assert m.path("run/wc/x").encode() + b": miss: never computed\n" in result.stdout
        for name in ("run", "run/wc", "README", "stats", "cas/00", "run/wc |/x"):
            assert zvm("explain", m.path(name)).returncode == 2, name
        for command in ("explain", "verify"):
            result = zvm(command, m.path("run/wc/d/y/" + 300 * "x"))
            assert result.returncode == 125 and b"name too long" in result.stderr and not result.stdout, result
        result = zvm("explain", "/etc/passwd")
        assert result.returncode == 125 and b"not below a zvm mount" in result.stderr and b"zvm mount" in result.stderr, result
        assert zvm("explain").returncode == 2 and zvm("explain", "--colour").returncode == 2
        assert os.listxattr(m.at) == [] and os.listxattr(m.path("run")) == []
        m.unmount()
        assert zvm("explain", m.path("run/wc/d/y")).returncode == 125


@test
def names_of_any_bytes():
    """names that are no text are shown without what a terminal would take for commands, and are valid JSON"""
    with World() as m:
        name = os.fsdecode(b"\xff\x1b[31m\n")
        m.put(name)
        path = m.path(f"run/cat {os.fsdecode(bytes([0xfe]))}/{name}")
        for arguments in ((path,), (path, m.path("run/cat/none"))):
            result = zvm("explain", *arguments)
            assert result.returncode == 1 and b"never computed" in result.stdout and b"\x1b" not in result.stdout, result
        told = json.loads(zvm("explain", "--json", path).stdout)[0]
        assert told["state"] == "miss" and told["path"].endswith("\xff\x1b[31m\n"), told


@test
def only_the_owner():
    """another user, whom the mount lets in, is told that only the owner can explain"""
    with World("-o", "allow_other") as m:
        m.root.chmod(0o755)
        m.read("run/wc/x")
        result = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", ZVM, "explain", m.path("run/wc/x")], capture_output=True)
        assert result.returncode == 125 and b"only its owner" in result.stderr and result.stdout == b"", result
        assert zvm("explain", m.path("run/wc/x")).returncode == 0


@test
def two_mounts_of_one_store():
    """the same name below another inputs directory is another name, though a run of the same content is a hit for both"""
    with World() as m, World() as other:
        other.unmount()
        other.store = m.store
        other.mount()
        m.read("run/wc/x")
        assert explain(other, "run/wc/x")["state"] == "hit"
        other.put("x", b"something else\n")
        assert reasons(explain(other, "run/wc/x"))[0]["kind"] == "never"
        m.put("x", b"a third thing\n")
        assert reasons(explain(m, "run/wc/x"))[0]["kind"] == "input"


main()
