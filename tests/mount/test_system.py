"""zvm as a part of the system: completion, units, and what it says when something around it is not as it should be."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import ZVM, Mount, Skip, main, need_fuse, test, zvm

CONTRIB = Path(__file__).resolve().parent.parent.parent / "contrib"
SYSTEMD = "/usr/lib/systemd/systemd"


def wait_until(condition, what, seconds=10):
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(what)


class Foreground:
    """A mount whose daemon is a child of ours."""

    def __init__(self, m):
        self.process = subprocess.Popen([ZVM, "mount", "-f", "--store", m.store, "--inputs", m.inputs, m.at], stderr=subprocess.PIPE)
        wait_until(lambda: os.path.ismount(m.at), "it never mounted")


def close_dead(fd):
    """Nobody answers the close of a file whose daemon is gone; the descriptor is free all the same."""
    with contextlib.suppress(OSError):
        os.close(fd)


def unprivileged(*command):
    """As nobody, with a copy of zvm that nobody can reach."""
    directory = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        directory.chmod(0o755)
        shutil.copy(ZVM, directory / "zvm")
        return subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", directory / "zvm", *command],
                              capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"]})
    finally:
        shutil.rmtree(directory)


@test
def a_store_that_disappears():
    """when the store has been removed, reading is EIO and err/ says what to do; listing goes on, umount works, and a new mount makes a new store"""
    with Mount() as m:
        m.put("x")
        assert m.read("run/cat/x") == b"hello\n"
        for remove in (lambda: shutil.rmtree(m.store), lambda: subprocess.run(f"rm -rf {m.store}/*", shell=True, check=True)):
            remove()
            m.put("y", b"another\n")
            assert m.error("run/wc/y")[0] == 5 and m.error("run/wc | cat/y")[0] == 5
            assert f"the store {m.store} has been removed; unmount and mount again".encode() in m.read("err/wc/y")
            assert sorted(os.listdir(m.path("run/wc"))) == ["x", "y"]
            m.unmount()
            assert not (m.store / "records").exists() and not list(m.at.iterdir())
            shutil.rmtree(m.store, ignore_errors=True)
            m.mount()
            assert m.read("run/cat/y") == b"another\n"


@test
def one_in_another():
    """a store in the mount point, a mount point in the store, and a mount in a mount are refused, and nothing is made"""
    with Mount() as m:
        for arguments, word in ((("--store", m.root / "other", m.at / "run"), "another zvm"), (("--store", m.root / "point/new/store", m.root / "point"), "hidden"),
                                (("--store", m.store, m.store / "tmp"), "lies in the store"), (("--store", m.root / "point", m.root / "point"), "hidden")):
            (m.root / "point").mkdir(exist_ok=True)
            result = zvm("mount", "--inputs", str(m.inputs), *map(str, arguments))
            assert result.returncode == 125 and word in result.stderr.decode() and result.stderr.count(b"\n") == 1, (arguments, result)
        assert not (m.root / "other").exists() and not any((m.root / "point").iterdir())


@test
def somebody_elses():
    """a mount of another user is not ended, and umount says whose it is, also when it is dead"""
    with Mount("-o", "allow_other") as m:
        m.root.chmod(0o755)
        result = unprivileged("umount", str(m.at))
        assert result.returncode == 1 and "was mounted by user 0" in result.stderr, result
        os.kill(m.daemon(), signal.SIGKILL)
        wait_until(lambda: zvm("stats", str(m.at)).returncode, "the dead mount answers")
        result = unprivileged("umount", str(m.at))
        assert result.returncode == 1 and "was mounted by user 0" in result.stderr and m.is_mounted(), result


@test
def a_bad_place():
    """a file, a missing directory, another filesystem's mount point and what is no store are each one sentence with a remedy, and status 125"""
    need_fuse()
    m = Mount()
    m.root.chmod(0o755)
    other = m.root / "other"
    other.mkdir()
    file = m.root / "file"
    file.write_text("")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "zvm-test", other], check=True)
    try:
        for arguments, words in (((file,), "not a directory; name one"), ((m.root / "none",), "make the directory first"), ((other,), "choose another directory"),
                                 (("--store", file, m.at), "there is no store"), (("--store", "/proc/none/store", m.at), "cannot be made")):
            result = zvm("mount", "--inputs", str(m.inputs), *(["--store", str(m.store)] if "--store" not in arguments else []), *map(str, arguments))
            assert result.returncode == 125 and words in result.stderr.decode() and result.stderr.count(b"\n") == 1, (arguments, result)
        for place in (file, other, m.root):
            result = zvm("umount", str(place))
            assert result.returncode == 1 and b"grep fuse.zvm /proc/mounts" in result.stderr, result
        assert not m.is_mounted()
    finally:
        subprocess.run(["umount", other], check=True)
        shutil.rmtree(m.root, ignore_errors=True)


@test
def busy_at_the_end():
    """SIGTERM also ends a mount that somebody has a file of open, and a dead one that is in use is detached by umount"""
    need_fuse()
    m = Mount()
    m.put("x")
    try:
        daemon = Foreground(m)
        held = os.open(m.path("run/cat/x"), os.O_RDONLY)
        assert os.read(held, 2) == b"he"
        assert zvm("umount", str(m.at)).returncode == 1
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(timeout=10) == 0
        wait_until(lambda: not m.is_mounted(), "it is still mounted")
        close_dead(held)
        daemon = Foreground(m)
        held = os.open(m.path("README"), os.O_RDONLY)
        daemon.process.kill()
        daemon.process.wait()
        assert m.is_mounted() and zvm("umount", str(m.at)).returncode == 0 and not m.is_mounted()
        close_dead(held)
    finally:
        m.unmount()
        shutil.rmtree(m.root, ignore_errors=True)


# --- completion ---


def shell(*command, **options):
    if not shutil.which(command[0]):
        raise Skip(f"there is no {command[0]} here")
    directory = Path(tempfile.mkdtemp())
    (directory / "zvm").symlink_to(ZVM)
    environment = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}", "TERM": "dumb", "HOME": str(directory)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, stdin=subprocess.DEVNULL, **options).stdout


def commands_of_help():
    return set(re.findall(r"^    ([a-z]+) +", zvm("--help").stdout.decode().split("commands:")[1], re.M))


@test
def fish_completes():
    """fish completes commands, options, values of -o, scripts of the directories given, programs and files"""

    def complete(line):
        said = shell("fish", "--no-config", "-c", f"source {CONTRIB}/completion/zvm.fish; complete -C {line!r}")
        return {word.split("\t")[0] for word in said.splitlines()}

    assert commands_of_help() <= complete("zvm ")
    assert {"--no-cache", "--store", "--verify"} <= complete("zvm run -") and "--out" in complete("zvm warm --")
    assert {"follow,stat=run", "follow,store="} <= complete("zvm mount -o follow,st")
    assert complete(f"zvm run --scripts {CONTRIB}/scripts wordl") == {"wordlengths.awk"}
    assert "uniq" in complete("zvm run uni") and "run" in complete("zvm help ru")
    assert f"{CONTRIB}/scripts/" in complete(f"zvm mount --scripts {CONTRIB}/scr")


@test
def zsh_completes():
    """zsh completes the same"""
    script = """
        patience=$1; shift
        zmodload zsh/zpty
        zpty z "zsh -f -i"
        zpty -w z "PS1=; fpath=(%s/completion \\$fpath); autoload -Uz compinit; compinit -u -D; LISTMAX=10000; bindkey '^X' list-choices; bindkey '^T' kill-whole-line; echo REA''DY"
        zpty -r z out '*READY*'
        for line in "$@"; do
            zpty -w -n z "$line"$'\\x18'
            sleep $patience; out=
            while zpty -r -t z more; do out+=$more; done
            print -r -- "== $line"; print -r -- "$out"
            zpty -w -n z $'\\x14'
        done
        zpty -d z
    """ % CONTRIB
    lines = ("zvm ", "zvm run -", "zvm mount -o follow,", f"zvm run --scripts {CONTRIB}/scripts word", "zvm run xxh")
    wanted = dict(zip(lines, ((*commands_of_help(),), ("--no-cache", "--verify"), ("stat=run", "max_jobs="), ("wordcount.py", "wordlengths.awk"), ("xxh128sum",))))
    for patience in (2, 10):  # for machines that have much else to do
        said = shell("zsh", "-f", "-c", script, "zsh", str(patience), *lines)
        parts = dict(zip(lines, said.split("== ")[1:]))
        missing = [word for line, words in wanted.items() for word in words if word not in parts.get(line, "")]
        if not missing:
            return
    raise AssertionError(f"{missing}\n{said}")


@test
def bash_completes():
    """bash knows every command, every option and every value of -o that the help of zvm shows"""

    def complete(line):
        words = line.split(" ")
        script = f"source {CONTRIB}/completion/zvm.bash; compopt() {{ :; }}; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _zvm; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        return set(shell("bash", "--norc", "-c", script, "bash", *words).splitlines())

    assert commands_of_help() <= complete("zvm ")
    for command in commands_of_help():
        said = zvm(command, "--help").stdout.decode()
        options = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", "\n".join(line for line in said.splitlines() if re.match(r"usage:| +zvm | +-", line))))
        assert complete(f"zvm {command} -") == options | {"--help"}, (command, options)
    values = zvm("mount", "--help").stdout.decode().split("\n  -o OPT,...", 1)[1].split("\n\n")[0]
    named = set(re.findall(r"^ {6,}([a-z_]+(?:=[a-z]+)?)(?= )", values, re.M)) | set(re.findall(r"[a-z_]+=(?=[A-Z])", values))
    assert {"follow", "stat=run", "memory=", "store="} <= named == complete("zvm mount -o "), named
    assert complete(f"zvm run --trace {CONTRIB}/scripts/wordl") == {f"{CONTRIB}/scripts/wordlengths.awk"}


@test
def options_that_there_are_not():
    """an option that a command does not have is refused with the name of the command and where its options are listed"""
    for command in commands_of_help():
        result = zvm(command, "--colour")
        assert result.returncode == (125 if command == "run" else 2), (command, result)
        assert result.stderr.startswith(b"zvm %s: " % command.encode()) and b"`zvm %s --help`" % command.encode() in result.stderr, (command, result)
    for wrong in (["mount", "-o", "max_jobs=0", "x"], ["mount", "-o", ",".join(["scripts=/usr"] * 65), "x"], ["mount", *["--scripts=/usr"] * 65, "x"], ["doctor", "x"]):
        result = zvm(*wrong)
        assert result.returncode == 2 and result.stderr.startswith(b"zvm ") and result.stderr.count(b"\n") == 1, (wrong, result)


# --- systemd ---

NAMESPACE_MAKERS = ("Protect", "Private", "ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths", "TemporaryFileSystem", "BindPaths",
                    "BindReadOnlyPaths", "MountFlags", "RootDirectory", "RootImage", "DynamicUser", "ProcSubset")


@test
def units_as_text():
    """the units are valid for systemd, and neither has a setting that would hide the mount, forbid what boxes are made of, or take openat2 away"""
    for kind, path in (("--system", CONTRIB / "systemd/zvm@.service"), ("--user", CONTRIB / "systemd/user/zvm@.service")):
        text = path.read_text()
        for line in text.splitlines():
            assert not line.startswith((*NAMESPACE_MAKERS, "RestrictNamespaces", "MemoryDenyWriteExecute", "RestrictSUIDSGID", "SystemCallErrorNumber=kill")), line
        assert "Type=notify" in text and "KillMode=mixed" in text
        # Without a number the filter kills, which comes before the box's own answer.
        assert "SystemCallFilter" not in text or "SystemCallErrorNumber=EPERM" in text
        if shutil.which("systemd-analyze"):
            directory = Path(tempfile.mkdtemp())
            (directory / "zvm@mnt-zvm.service").write_text(text.replace("@bin@", str(Path(ZVM).parent)))
            result = subprocess.run(["systemd-analyze", "--man=no", kind, "verify", directory / "zvm@mnt-zvm.service"], capture_output=True, text=True,
                                    env={**os.environ, "XDG_RUNTIME_DIR": str(directory)})
            assert result.returncode == 0 and not result.stderr, result


START = """
mount --make-rprivate / && mount -t proc proc /proc
umount -R /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 1
mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/cache && mkdir -p /run/systemd/system
cp "$1"/units/* /run/systemd/system/
container=zvm-test exec %s --system --unit=nothing.target --log-target=console --show-status=no
""" % SYSTEMD


class Manager:
    """A systemd of our own, as process 1 of its own namespaces and in a cgroup of its own, which for it is the root."""

    def __init__(self, root):
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        unified = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
        own = Path("/proc/self/cgroup").read_text().split("0::/")[-1].strip()
        self.cgroup = Path(unified or "/nothing", own, f"zvm-test-{os.getpid()}")
        self.cgroup.mkdir()
        self.process = subprocess.Popen(["unshare", "--kill-child=KILL", "-p", "-f", "-m", "-C", "-i", "-u", "sh", "-c", START, "sh", str(root)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                                        preexec_fn=lambda: (self.cgroup / "cgroup.procs").write_text("0"))
        self.first = None

    def is_running(self):
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout.split()
        self.first = found[0] if found else None
        return self.first and self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    def run(self, *command):
        return subprocess.run(["timeout", "30", "nsenter", "-t", self.first, "-m", "-p", "-C", "-i", "-u", *map(str, command)], capture_output=True, text=True)

    def end(self):
        self.process.kill()
        self.process.wait()
        wait_until(lambda: "populated 0" in (self.cgroup / "cgroup.events").read_text(), "systemd does not end")
        for directory, _, _ in os.walk(self.cgroup, topdown=False):
            os.rmdir(directory)


def served(manager, m, unit):
    state = manager.run("systemctl", "show", "-P", "ActiveState", unit).stdout.strip()
    assert state == "active", manager.run("systemctl", "status", unit)
    return manager.run("cat", m.path("run/wc -c/x")), manager.run("cat", m.path("info/wc -c/x"))


@test
def the_unit():
    """systemd starts the unit, boxes have every wall in it that they have outside, a killed daemon is started again over its dead mount, and stop unmounts"""
    need_fuse()
    m = Mount()
    units = m.root / "units"
    units.mkdir()
    m.put("x")
    text = (CONTRIB / "systemd/zvm@.service").read_text().replace("@bin@", str(Path(ZVM).parent)).replace("/etc/zvm/%i.conf", str(m.root / "conf"))
    text = re.sub(r"^(After|Wants)=.*\n", "", text, flags=re.M).replace("[Unit]\n", "[Unit]\nDefaultDependencies=no\n")
    (units / "zvm@.service").write_text(text)
    (units / "nothing.target").write_text("[Unit]\nDefaultDependencies=no\n")
    (m.root / "conf").write_text(f"INPUTS={m.inputs}\nOPTIONS=--scripts {m.scripts} -o max_jobs=2\n")
    if not os.path.exists(SYSTEMD):
        print("# there is no systemd here to try the unit with")
        return
    try:
        manager = Manager(m.root)
    except OSError as reason:
        print(f"# systemd cannot have a cgroup of its own here, so the unit was not tried: {reason}")
        return
    try:
        try:
            wait_until(manager.is_running, "systemd does not come up in namespaces of its own")
        except AssertionError as reason:
            print(f"# {reason}: the unit was not tried")
            return
        unit = "zvm@" + subprocess.run(["systemd-escape", "--path", m.at], capture_output=True, text=True, check=True).stdout.strip() + ".service"
        started = manager.run("systemctl", "start", unit)
        assert started.returncode == 0, (started, manager.run("systemctl", "status", unit))
        got, info = served(manager, m, unit)
        assert got.stdout == "6\n", (got, info)
        outside = zvm("doctor").stdout.decode()
        for wall in re.findall(r"^  ok  (\S.*?) {2,}$", outside.split("The mount:")[0], re.M):
            assert f'"{wall}"' in info.stdout, (wall, info.stdout)
        # What the unit's filter forbids, the box answers all the same.
        got = manager.run("cat", m.path("run/perl -e print%20syscall(159,0)/x"))
        assert got.returncode == 0 and got.stdout == "-1", got
        daemon = manager.run("systemctl", "show", "-P", "MainPID", unit).stdout.strip()
        assert manager.run("kill", "-9", daemon).returncode == 0
        wait_until(lambda: manager.run("systemctl", "show", "-P", "ActiveState", unit).stdout.strip() == "active" and
                   manager.run("systemctl", "show", "-P", "MainPID", unit).stdout.strip() not in ("0", daemon), "it is not started again", 20)
        assert served(manager, m, unit)[0].stdout == "6\n"
        assert manager.run("systemctl", "stop", unit).returncode == 0
        assert manager.run("systemctl", "show", "-P", "Result", unit).stdout.strip() == "success"
        assert str(m.at) not in manager.run("cat", "/proc/self/mountinfo").stdout
    finally:
        manager.end()
        shutil.rmtree(m.root, ignore_errors=True)


main()
