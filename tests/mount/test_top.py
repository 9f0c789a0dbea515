"""zvm top shows what is running, for whom and what it has used, on a terminal that it gives back, and nothing to whom it does not concern."""

import contextlib
import ctypes
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import ZVM, Mount, Skip, main, test, zvm
from processes import stat_of, wait_until

# Writes six bytes and four, takes 64 MiB, and then computes in a child, which is ended after a while by whoever waits for nothing more.
BUSY = """#!/bin/sh
echo start
echo err >&2
python3 -c '
b = bytearray(64 << 20)
n = 0
for k in range(10 ** 10):
    n += k'
"""
LISTED = ["README", "cas", "err", "info", "run", "stats", "stream"]
JOB_KEYS = ["id", "state", "spec", "input", "script", "stage", "stages", "uid", "reader_uids", "readers", "asked_us", "run_us", "cpu_us", "memory_kib", "processes",
            "stdout_bytes", "stderr_bytes", "limits"]
MOUNT_KEYS = ["mountpoint", "all", "max_jobs", "user_jobs", "queued", "looking", "running", "storing", "waiting", "hit_rate", "counters", "jobs", "left_out"]
ALICE, BOB = 54321, 54322


class Readers:
    """Those who wait for results, until the end of the block."""

    def __init__(self):
        self.processes = []

    def __enter__(self):
        return self

    def start(self, path, uid=None):
        become = [] if uid is None else ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        self.processes.append(subprocess.Popen([*become, "cat", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return self.processes[-1]

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()


def mounted(*options):
    m = Mount(*options)
    m.script("busy.sh", BUSY)
    m.put("a")
    return m


def told(m):
    result = zvm("top", "--json", str(m.at))
    assert result.returncode == 0 and not result.stderr, result
    whole = json.loads(result.stdout)
    assert list(whole) == ["mounts"] and len(whole["mounts"]) == 1, whole
    return whole["mounts"][0]


def jobs(m, state=None):
    return [job for job in told(m)["jobs"] if state in (None, job["state"])]


def when(m, condition, what, seconds=30):
    return wait_until(lambda: (got := told(m)) and condition(got) and got, what, seconds)


# --- what it tells ---


@test
def what_runs():
    """of what runs it tells spec, input and stage, who waits and for how long, and the processor time, memory and output of all its processes"""
    with mounted() as m, Readers() as readers:
        readers.start(m.path("run/busy.sh | wc/a"))
        mount = when(m, lambda got: got["jobs"] and (got["jobs"][0]["cpu_us"] or 0) > 500000 and got["jobs"][0]["memory_kib"] > 60000, "nothing runs")
        assert list(mount) == MOUNT_KEYS, mount
        assert mount["mountpoint"] == str(m.at) and mount["all"] is True and mount["running"] == 1
        assert mount["queued"] == mount["waiting"] == mount["left_out"] == 0 and mount["user_jobs"] == 0
        (job,) = mount["jobs"]
        assert list(job) == JOB_KEYS, job
        assert (job["state"], job["spec"], job["input"], job["script"]) == ("running", "busy.sh | wc", "a", "busy.sh"), job
        assert (job["stage"], job["stages"], job["uid"], job["reader_uids"], job["readers"]) == (1, 2, os.geteuid(), [os.geteuid()], 1), job
        assert (job["stdout_bytes"], job["stderr_bytes"], job["processes"]) == (6, 4, 2), job
        assert 64 << 10 <= job["memory_kib"] < 128 << 10, job
        assert job["limits"]["wall_ms"] == 120000 and job["limits"]["memory_bytes"] == 1 << 30, job
        assert 500000 < job["cpu_us"] <= job["run_us"] <= job["asked_us"] < 60e6, job
        later = when(m, lambda got: got["jobs"][0]["cpu_us"] > job["cpu_us"], "its time stands still")["jobs"][0]
        assert later["id"] == job["id"] and later["run_us"] > job["run_us"]


@test
def what_ended_children_have_used():
    """processor time of children that have ended counts on, and later stages are told as what they are"""
    with mounted() as m, Readers() as readers:
        burn = "python3 -c 'for k in range(8000000): pass'"
        m.script("burns.sh", f"#!/bin/sh\n{burn}\nexec {burn.replace('8000000', '10 ** 10')}\n")
        readers.start(m.path("run/burns.sh/a"))
        most = 0
        for _ in range(30):
            mount = told(m)
            now = mount["jobs"][0]["cpu_us"] if mount["jobs"] and mount["jobs"][0]["cpu_us"] is not None else 0
            assert now >= most - 50000, f"it fell from {most} to {now}"
            most = max(most, now)
            time.sleep(0.1)
        assert most > 500000, most
    with mounted() as m, Readers() as readers:
        m.script("second.py", "#!/usr/bin/python3\nwhile True:\n    pass\n")
        readers.start(m.path("run/cat | second.py/a"))
        job = when(m, lambda got: got["jobs"] and got["jobs"][0]["stage"] == 2 and got["running"] == 1, "the second stage does not run")["jobs"][0]
        assert job["script"] == "second.py" and job["stdout_bytes"] == 0 and job["run_us"] <= job["asked_us"]


@test
def what_goes_on_from_a_template():
    """a run that goes on from a template is told as one that began at the beginning, private files included"""
    with mounted() as m, Readers() as readers:
        m.script("maybe.py", "#!/usr/bin/python3\nimport sys\nif sys.stdin.read() == 'spin':\n    open('/tmp/x', 'wb').write(b'x' * (32 << 20))\n    while True:\n        pass\n")

        def one_more(i=iter(range(1000))):
            m.put(name := f"quick{next(i)}", os.urandom(8).hex().encode())
            m.read(f"run/maybe.py/{name}")
            return m.stats()["zvm_template_runs_total"]

        before = wait_until(one_more, "no run goes on from a template", 60)
        m.put("spin", b"spin")
        readers.start(m.path("run/maybe.py/spin"))
        job = when(m, lambda got: got["jobs"] and (got["jobs"][0]["cpu_us"] or 0) > 200000 and got["jobs"][0]["memory_kib"] > 33000, "it tells nothing")["jobs"][0]
        assert job["processes"] == 1 and job["memory_kib"] < 128 << 10 and job["cpu_us"] <= job["run_us"], job
        readers.processes[0].kill()
        when(m, lambda got: not got["jobs"], "it is not killed")
        assert m.stats()["zvm_template_runs_total"] == before + 1, "it did not go on from a template"


@test
def what_waits():
    """what waits for a box is queued, who asks for the same joins, and what another run already computes waits for that"""
    with mounted("-o", "max_jobs=1") as m, Readers() as readers:
        for name in "bcd":
            m.put(name, name.encode())
        m.put("same")  # of the same bytes as a: the same action under another name
        readers.start(m.path("run/busy.sh/a"))
        when(m, lambda got: got["running"] == 1, "nothing runs")
        for name in ("a", "same", "b", "c", "d"):
            readers.start(m.path(f"run/busy.sh/{name}"))
        mount = when(m, lambda got: got["queued"] == 3 and got["waiting"] == 1 and got["jobs"][0]["cpu_us"] is not None, "they do not line up")
        assert [(job["input"], job["state"]) for job in mount["jobs"]][0] == ("a", "running"), mount
        assert {(job["input"], job["state"]) for job in mount["jobs"]} == {("a", "running"), ("same", "waiting"), ("b", "queued"), ("c", "queued"), ("d", "queued")}
        assert mount["max_jobs"] == 1 and mount["counters"]["joined"] == 1
        for job in mount["jobs"]:
            waits = job["state"] != "running"
            assert job["readers"] == (2 if job["input"] == "a" else 1), job
            assert all((job[key] is None) == waits for key in ("run_us", "cpu_us", "memory_kib", "processes", "stdout_bytes", "stderr_bytes", "limits")), job
        said = f"{m.at}: 1 running of 1, 3 queued, 1 waiting, 0.0% hits\n"
        text = wait_until(lambda: (text := zvm("top", "--once", str(m.at)).stdout.decode()).startswith(said) and text, "it is not printed so")
        assert len(text.splitlines()) == 7, text
    with mounted() as m:
        assert jobs(m) == []


@test
def what_nobody_waits_for():
    """a run whose readers have gone is told as one that nobody waits for, and is gone when it has been killed"""
    with mounted() as m:
        with Readers() as readers:
            readers.start(m.path("run/busy.sh/a"))
            when(m, lambda got: got["running"] == 1, "nothing runs")
        job = when(m, lambda got: got["jobs"] and not got["jobs"][0]["readers"], "it is still waited for")["jobs"][0]
        assert job["reader_uids"] == [] and job["uid"] == os.geteuid()
        assert when(m, lambda got: not got["jobs"], "it is not killed")["running"] == 0


@test
def hits():
    """the share of hits is that of all stages, and unknown before there are any"""
    with mounted() as m:
        assert told(m)["hit_rate"] is None and "hits" not in zvm("top", "--once", str(m.at)).stdout.decode()
        for _ in range(4):
            m.read("run/cat/a")
        mount = told(m)
        assert mount["hit_rate"] == 0.75 and mount["counters"]["cache_hits"] == 3 and mount["counters"]["box_runs"] == 1
        assert "75.0% hits" in zvm("top", "--once", str(m.at)).stdout.decode()


@test
def much_at_once():
    """of very many that wait it lists five hundred, and counts the others"""
    with mounted("-o", "max_jobs=1") as m:
        for i in range(600):
            m.put(f"many{i:03}", b"%d" % i)
        fds = []
        try:
            for i in range(600):
                fds.append(os.open(m.path(f"stream/busy.sh/many{i:03}"), os.O_RDONLY))
            mount = when(m, lambda got: got["running"] == 1 and got["queued"] == 599, "they are not queued")
            assert len(mount["jobs"]) == 501 and mount["left_out"] == 99
            text = zvm("top", "--once", str(m.at)).stdout.decode().splitlines()
            assert len(text) == 504 and text[-1] == "and 99 more", text[-3:]
        finally:
            for fd in fds:
                os.close(fd)


# --- the file behind it ---


@test
def a_name_that_is_not_listed():
    """the file it reads stands in no listing of the root, cannot be written to, and to look at it runs nothing"""
    with mounted() as m:
        assert sorted(os.listdir(m.at)) == LISTED
        assert ".running" not in subprocess.run(["ls", "-aR", m.at], capture_output=True, text=True).stdout
        found = subprocess.run(["find", m.at, "-name", ".*"], capture_output=True, text=True).stdout
        assert not found, found
        st = os.stat(m.path(".running"))
        assert st.st_mode & 0o777 == 0o444 and st.st_size == 0
        assert len({os.stat(m.path(name)).st_ino for name in [*LISTED, ".running"]}) == len(LISTED) + 1
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC):
            try:
                os.close(os.open(m.path(".running"), flags))
                raise AssertionError("it can be opened for writing")
            except OSError as error:
                assert error.errno == 30, error
        assert json.loads(m.read(".running"))["jobs"] == [] and m.runs() == 0
        for name in (".runnin", ".running2", "run/.running", "run/cat/.running"):
            assert m.error(name)[0] == 2, name


# --- other users ---


@test
def others_learn_nothing():
    """another user learns the numbers, of jobs only his own, and of those nothing that the run has done; the owner and root learn all"""
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")
    with mounted("-o", "allow_other") as m, Readers() as readers:
        m.root.chmod(0o755)
        m.put("alices")
        m.put("secret-name")
        os.chown(m.inputs / "alices", ALICE, ALICE)
        (m.inputs / "alices").chmod(0o600)
        readers.start(m.path("run/busy.sh secret-argument/secret-name"))
        readers.start(m.path("run/busy.sh/alices"), ALICE)
        when(m, lambda got: len(got["jobs"]) == 2 and got["running"] == 2, "they do not run")
        readers.start(m.path("run/busy.sh x/a"), BOB)
        readers.start(m.path("run/busy.sh secret-argument/secret-name"), BOB)  # he knows the name, and joins
        when(m, lambda got: got["queued"] == 1 and sum(job["readers"] for job in got["jobs"]) == 4, "they do not line up")

        def as_user(uid, *command):
            result = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *command], capture_output=True, text=True, timeout=60)
            assert result.returncode == 0, result
            return result.stdout

        said = as_user(BOB, "cat", m.path(".running"))
        whole = json.loads(said)
        assert whole["all"] is False and whole["running"] == 2 and whole["queued"] == 1, whole
        assert {(job["spec"], job["input"], job["state"]) for job in whole["jobs"]} == {("busy.sh secret-argument", "secret-name", "running"), ("busy.sh x", "a", "queued")}
        assert "alices" not in said and str(ALICE) not in said and f'"uid":{BOB}' in said
        for job in whole["jobs"]:
            assert job["uid"] == BOB and job["reader_uids"] == [BOB] and job["readers"] == 1, job
            assert all(job[key] is None for key in ("cpu_us", "memory_kib", "processes", "stdout_bytes", "stderr_bytes", "limits")), job
        nobody = json.loads(as_user(ALICE + 7, "cat", m.path(".running")))
        assert nobody["jobs"] == [] and nobody["running"] == 2 and nobody["left_out"] == 0
        own = json.loads(as_user(ALICE, "cat", m.path(".running")))
        assert [job["input"] for job in own["jobs"]] == ["alices"], own
        joined = wait_until(lambda: [job for job in jobs(m) if job["input"] == "secret-name" and job["stdout_bytes"] == 6], "it does not tell how much it has written")[0]
        assert joined["reader_uids"] == [0, BOB] and joined["uid"] == 0 and joined["readers"] == 2, joined


@test
def whose_mounts():
    """without an argument it shows the mounts that one can read and is silent about those of others; a named one it says is another's"""
    if os.geteuid() != 0:
        raise Skip("only root can become somebody else")
    directory = Path(tempfile.mkdtemp(dir="/tmp"))
    directory.chmod(0o755)
    shutil.copy(ZVM, directory / "zvm")

    def as_bob(*arguments):
        return subprocess.run(["setpriv", f"--reuid={BOB}", f"--regid={BOB}", "--clear-groups", directory / "zvm", "top", *arguments],
                              capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)

    try:
        with mounted() as own, mounted("-o", "allow_other") as open_to_all:
            for m in (own, open_to_all):
                m.root.chmod(0o755)
            both = {mount["mountpoint"] for mount in json.loads(zvm("top", "--json").stdout)["mounts"]}
            assert {str(own.at), str(open_to_all.at)} <= both, both
            seen = as_bob("--once")
            assert seen.returncode == 0 and f"{open_to_all.at}: 0 running of" in seen.stdout and "of jobs only yours" in seen.stdout, seen
            assert str(own.at) not in seen.stdout + seen.stderr
            assert str(own.at) not in as_bob("--json").stdout
            refused = as_bob("--once", str(own.at))
            assert refused.returncode == 1 and not refused.stdout and "another user's" in refused.stderr, refused
    finally:
        shutil.rmtree(directory)


# --- what goes wrong ---


@test
def where_none_is_mounted():
    """where no zvm is mounted it says so, with 1, and a screen waits for one, and leaves one out that has been unmounted"""
    if os.geteuid() != 0:
        raise Skip("only root can have a namespace without mounts")
    alone = ["unshare", "-m", "sh", "-c", 'findmnt -nro TARGET -t fuse.zvm | while read -r m; do umount -l "$m"; done; exec "$@"', "sh"]
    for options, said in (("--once", b""), ("--json", b'{\n  "mounts": []\n}\n')):
        result = subprocess.run([*alone, ZVM, "top", options], capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
        assert result.returncode == 1 and result.stdout == said and b"no zvm is mounted here that you can read" in result.stderr, result
    with Terminal("--interval", "600", before=alone) as terminal:
        terminal.shows("no zvm is mounted here that you can read")
        terminal.press(b"q")
        assert terminal.ends() == 0
    with mounted() as m, Terminal("--interval", "0.2") as terminal, Terminal("--interval", "0.2", str(m.at)) as named:
        terminal.shows(f"{m.at}: 0 running of")
        named.shows("0 running of")
        m.unmount()
        named.shows("it is not mounted any more")
        wait_until(lambda: terminal.page() and str(m.at) not in "".join(terminal.page()), "it still shows what is unmounted")
        m.mount()
        named.shows("0 running of")
        terminal.shows(f"{m.at}: 0 running of")


@test
def wrong_arguments():
    """wrong arguments are refused with a sentence and 2, and a path that is in no zvm mount with 1"""
    for arguments in (["--colour"], ["a", "b"], ["--once", "--json"], ["--interval"], ["--once", "--interval", "1"], ["--interval=2", "--json"],
                      *(["--interval", value] for value in ("0", "-1", "nan", "inf", "x", "1x", "", "3601", "0.09"))):
        result = zvm("top", *arguments)
        assert result.returncode == 2 and result.stderr.startswith(b"zvm top: ") and not result.stdout, (arguments, result)
    for path in ("/", "/nonexistent/x", "/proc"):
        result = zvm("top", "--once", path)
        assert result.returncode == 1 and b"is not in a zvm mount" in result.stderr and not result.stdout, (path, result)
    result = zvm("top", "--help")
    assert result.returncode == 0 and result.stdout.startswith(b"usage: zvm top ")
    with mounted() as m:
        for path in (m.at, m.path("run"), m.path("run/busy.sh/a")):
            assert zvm("top", "--once", str(path)).returncode == 0
        assert m.runs() == 0


@test
def dead_and_stopped_ones():
    """of a mount that has died it says so, and of one that does not answer too, without waiting for it for ever"""
    m = mounted().mount()
    try:
        daemon = m.daemon()
        os.kill(daemon, signal.SIGSTOP)
        begin = time.monotonic()
        result = zvm("top", "--once", str(m.at))
        assert result.returncode == 1 and b"it does not answer" in result.stderr and time.monotonic() - begin < 20, result
        os.kill(daemon, signal.SIGCONT)
        assert told(m)["running"] == 0
        os.kill(daemon, signal.SIGKILL)
        wait_until(lambda: zvm("stats", str(m.at)).returncode, "the dead mount answers")
        result = zvm("top", "--once", str(m.at))
        assert result.returncode == 1 and b"its zvm has died" in result.stderr and not result.stdout, result
        result = zvm("top", "--json", str(m.at))
        assert result.returncode == 1 and json.loads(result.stdout) == {"mounts": [{"mountpoint": str(m.at), "error": "ENOTCONN"}]}, result
    finally:
        m.__exit__(None, None, None)


# --- a mount that means ill ---

LOOKUP, GETATTR, OPEN, READ, RELEASE, INIT, FORGET, DESTROY, BATCH_FORGET = 1, 3, 14, 15, 18, 26, 2, 38, 42


class Hostile:
    """A filesystem of somebody's own that calls itself fuse.zvm, and what it tells; None: it takes the question and never answers."""

    def __init__(self, reply):
        if os.geteuid() != 0:
            raise Skip("only root can mount what is no zvm as one")
        self.reply, self.libc = reply, ctypes.CDLL(None, use_errno=True)
        self.at = tempfile.mkdtemp()
        self.fd = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0".encode()
        assert self.libc.mount(b"zvm", self.at.encode(), b"fuse.zvm", 0, options) == 0, os.strerror(ctypes.get_errno())
        threading.Thread(target=self.serve, daemon=True).start()

    @staticmethod
    def attributes(node):
        return struct.pack("<QQQQQQIIIIIIIIII", node, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755 if node == 1 else 0o100444, 1, 0, 0, 0, 4096, 0)

    def answer(self, code, node, body):
        if code == INIT:
            return struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 16, 12, 1 << 17, 1, 0, 0, 0, *[0] * 7)
        if code == LOOKUP:
            return struct.pack("<QQQQII", 2, 1, 0, 0, 0, 0) + self.attributes(2)
        if code == GETATTR:
            return struct.pack("<QII", 0, 0, 0) + self.attributes(node)
        if code == OPEN:
            return None if self.reply is None else struct.pack("<QII", 1, 1, 0)
        if code == READ:
            offset, size = struct.unpack_from("<QI", body, 8)[0], struct.unpack_from("<I", body, 16)[0]
            return self.reply[offset:offset + size]
        return b""

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                request = os.read(self.fd, 1 << 18)
                _, code, unique, node = struct.unpack_from("<IIQQ", request)
                if code in (FORGET, BATCH_FORGET):
                    continue
                body = self.answer(code, node, request[40:])
                if body is not None:
                    os.write(self.fd, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.libc.umount2(self.at.encode(), 1 | 2)
        os.rmdir(self.at)


EVIL = "\x1b[31mred\x07\x7f\x9b2J\u009b\n\r\tzwölf"
HOSTILE_JOB = {"id": -1, "state": EVIL, "spec": EVIL * 50, "input": EVIL, "stage": 1e300, "stages": "x", "uid": 1e30, "reader_uids": [EVIL, {}], "asked_us": -5, "run_us": 1e308,
               "cpu_us": 1 << 62, "memory_kib": "much", "stdout_bytes": None, "stderr_bytes": []}


def assert_printable(data, beside=b"\n"):
    assert not (bad := set(data) - set(range(32, 127)) - set(beside)), (bad, data)


@test
def a_mount_that_lies():
    """what a stranger's mount tells is shown without a control character, whatever it is, also as JSON, and what is no answer is said to be none"""
    replies = [{"jobs": [HOSTILE_JOB, 7, [], None, {}], "running": EVIL, "max_jobs": -1, "queued": 1e300, "waiting": True, "counters": 5, "all": False, "mountpoint": "/a/lie"},
               {"jobs": {"a": 1}, "counters": {"cache_hits": 1 << 62, "cache_misses": 1e300}, "left_out": 1e300}, {}]
    for reply in replies:
        with Hostile(json.dumps(reply, ensure_ascii=False).encode()) as mount:
            for options in (["--once"], ["--json"]):
                result = zvm("top", *options, mount.at)
                assert result.returncode == 0 and not result.stderr and mount.at.encode() in result.stdout, result
                assert_printable(result.stdout)
                assert b"/a/lie" not in result.stdout
            json.loads(zvm("top", "--json", mount.at).stdout)
    for reply in (b"", b"[]", b"{", b"\0" * 100, b"[" * 100000, b'{"a": "\xff"}', EVIL.encode()):
        with Hostile(reply) as mount:
            result = zvm("top", "--once", mount.at)
            assert result.returncode == 1 and b"is not understood" in result.stderr and not result.stdout, result


@test
def a_mount_that_never_answers():
    """one that takes the question and never answers, so that who asks cannot even be killed, keeps neither the command nor its terminal"""
    with Hostile(None) as mount:
        begin = time.monotonic()
        result = zvm("top", "--once", mount.at)
        assert result.returncode == 1 and b"it does not answer" in result.stderr and time.monotonic() - begin < 20, result
        with Terminal("--interval", "0.2", mount.at) as terminal:
            terminal.shows("it does not answer")
            begin = time.monotonic()
            terminal.press(b"q")
            assert terminal.ends() == 0 and time.monotonic() - begin < 2


@test
def names_are_no_commands_to_a_terminal():
    """control characters in a spec or the name of an input reach no terminal, and names that are no text are told as bytes"""
    with mounted() as m, Readers() as readers:
        name = b"in\x1b[2J\x07\xff\n"
        Path(os.fsdecode(os.fsencode(m.inputs) + b"/" + name)).write_bytes(b"x")
        readers.start(os.fsencode(m.path("run/busy.sh \x1b[31m")) + b"/" + name)
        when(m, lambda got: got["running"] == 1, "nothing runs")
        for options in (["--once"], ["--json"]):
            assert_printable(zvm("top", *options, str(m.at)).stdout)
        assert b"busy.sh ?[31m/in?[2J?%FF?" in zvm("top", "--once", str(m.at)).stdout
        (job,) = jobs(m)
        assert job["spec"] == "busy.sh \x1b[31m" and job["input"] == "in\x1b[2J\x07%FF\n", job
        with Terminal(str(m.at)) as terminal:
            terminal.shows("busy.sh ?[31m/in?[2J?%FF?")
            terminal.press(b"q")
            assert terminal.ends() == 0
            assert_printable(terminal.without_commands(), b"\r\n")


# --- the screen ---

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
COMMANDS = re.compile(rb"\x1b\[(\?1049[hl]|\?25[hl]|2J|H|K|J|7m|m)")


class Terminal:
    """zvm top on a terminal of its own: what it shows is what was written since the last page began."""

    def __init__(self, *arguments, size=(24, 100), before=(), **environment):
        self.master, slave = pty.openpty()
        self.slave = slave
        self.resize(*size)
        self.before = termios.tcgetattr(slave)
        self.said = b""

        def control():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen([*before, ZVM, "top", *arguments], stdin=slave, stdout=slave, stderr=slave, preexec_fn=control,
                                        env={**os.environ, "TERM": "xterm", **environment})

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def listen(self, seconds=0.05):
        while select.select([self.master], [], [], seconds)[0]:
            self.said += os.read(self.master, 65536)

    def page(self):
        """The last page that is whole, as lines."""
        self.listen()
        pages = self.said.split(b"\x1b[H")
        return [COMMANDS.sub(b"", line).rstrip(b"\r").decode() for line in pages[-1].split(b"\n")] if len(pages) > 1 else []

    def pages(self):
        return self.said.count(b"\x1b[H")

    def shows(self, text, seconds=30):
        end = time.monotonic() + seconds
        while text not in "\n".join(page := self.page()):
            assert time.monotonic() < end and self.process.poll() is None, f"it never shows {text}, but {page}, and has ended with {self.process.poll()}"
        return page

    def press(self, keys):
        os.write(self.master, keys)

    def without_commands(self):
        return COMMANDS.sub(b"", self.said)

    def is_as_before(self):
        now = termios.tcgetattr(self.slave)
        return now[:4] == self.before[:4] and now[6] == self.before[6]

    def ends(self):
        status = self.process.wait(timeout=20)
        self.listen()
        assert self.is_as_before(), "the terminal is not as it was"
        assert self.said.count(ENTER) == self.said.count(LEAVE) and self.said.rstrip().endswith(LEAVE), self.said[-200:]
        assert self.said.count(b"\x1b[?25l") == self.said.count(b"\x1b[?25h")
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@test
def a_screen_that_follows():
    """a terminal shows what runs, again and again, and what has ended no more; keys are not echoed, and q gives it back"""
    with mounted() as m, Terminal("--interval", "0.2", str(m.at)) as terminal:
        terminal.shows(f"{m.at}: 0 running of")
        assert not terminal.is_as_before()
        with Readers() as readers:
            readers.start(m.path("run/busy.sh some arguments/a"))
            page = terminal.shows("busy.sh some arguments/a")
            assert re.match(r"zvm top +\d\d:\d\d:\d\d +every 0.2 s; q leaves", page[0]), page
            assert page[2].split() == ["USER", "STATE", "TIME", "CPU", "%CPU", "MEM", "OUT", "STAGE", "SPEC/INPUT"], page
            before = terminal.pages()
            wait_until(lambda: terminal.page() and terminal.pages() > before + 3, "it stands still")
            terminal.shows("10B")
            row = wait_until(lambda: [line.split() for line in terminal.page() if re.search(r" [67]\d\.\dM +10B +1/1 +busy.sh some", line)], "its memory is not shown")[0]
            assert row[1] == "running" and 0 < float(row[3][:-1]) <= float(row[2][:-1]) + 0.2 and 0 < int(row[4]) <= 130, row
            terminal.press(b"x \x1b[A\n")
        wait_until(lambda: terminal.page() and not any("busy.sh" in line for line in terminal.page()), "it does not go")
        terminal.press(b"q")
        assert terminal.ends() == 0
        assert b"x \x1b" not in terminal.said and b"^[" not in terminal.said


@test
def ways_to_leave():
    """Ctrl-C leaves with 0, a signal with its number, and each gives the terminal back; stopping gives it to the shell, and going on takes it again"""
    with mounted() as m:
        with Terminal(str(m.at)) as terminal:
            terminal.shows("0 running of")
            terminal.press(b"\x03")
            assert terminal.ends() == 0
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            with Terminal(str(m.at)) as terminal:
                terminal.shows("0 running of")
                terminal.process.send_signal(number)
                assert terminal.ends() == 128 + number
        with Terminal(str(m.at)) as terminal:
            terminal.shows("0 running of")
            terminal.process.send_signal(signal.SIGTSTP)
            wait_until(lambda: stat_of(terminal.process.pid)[0] == "T", "it does not stop")
            terminal.listen()
            assert terminal.is_as_before() and terminal.said.endswith(LEAVE), terminal.said[-100:]
            terminal.process.send_signal(signal.SIGCONT)
            wait_until(lambda: terminal.page() and terminal.said.count(ENTER) == 2 and "0 running of" in "".join(terminal.page()), "it does not go on")
            terminal.press(b"q")
            assert terminal.ends() == 0


@test
def sizes_of_a_window():
    """a window that is made smaller or larger is filled at once, and never beyond its edges, however small it is"""
    with mounted("-o", "max_jobs=1") as m, Readers() as readers, Terminal("--interval", "600", str(m.at), size=(24, 100)) as terminal:
        terminal.shows("0 running of")
        terminal.press(b"q")
        assert terminal.ends() == 0
        for i in range(12):
            m.put(f"in{i:02}", b"%d" % i)
            readers.start(m.path(f"run/busy.sh one two three four five/in{i:02}"))
        when(m, lambda got: got["running"] == 1 and got["queued"] == 11, "they are not queued")
        with Terminal("--interval", "600", str(m.at), size=(24, 100)) as wide:
            wide.shows("/in11")
            for rows, columns in ((24, 60), (8, 100), (50, 200), (5, 30), (3, 12), (1, 1), (2, 5), (24, 80)):
                before = wide.pages()
                wide.resize(rows, columns)
                wait_until(lambda: wide.page() and wide.pages() > before, f"it does not fill {columns} x {rows}")
                page = wide.page()
                while page and not page[-1]:
                    page.pop()
                assert 0 < len(page) <= rows and all(len(line) <= columns for line in page), (rows, columns, page)
                if rows == 8:
                    assert page[-1] == "... 8 more lines", page
                if columns in (60, 200, 80):
                    assert sum("/in" in line for line in page) == 12 or columns == 60, page
                    assert sum("busy.sh one" in line for line in page) == 12, page
            wide.press(b"q")
            assert wide.ends() == 0


@test
def no_screen_where_none_is():
    """where standard output is no terminal, or a dumb one, it is printed once and without a command to a terminal"""
    with mounted() as m:
        result = zvm("top", str(m.at))
        assert result.returncode == 0 and b"\x1b" not in result.stdout and b"0 running of" in result.stdout, result
        for arguments, environment in ((["--once"], {}), ([], {"TERM": "dumb"}), ([], {"TERM": ""})):
            with Terminal(*arguments, str(m.at), **environment) as terminal:
                assert terminal.process.wait(timeout=20) == 0
                terminal.listen()
                assert b"\x1b" not in terminal.said and b"0 running of" in terminal.said, terminal.said


main()
