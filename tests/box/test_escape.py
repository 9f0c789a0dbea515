"""Whether a guest can get out. The guests of escape/ own the monitor: what they try, they try the usual way and once more by a jump to a
system call in the monitor's own text, so that only the wall is left. What they print proves that they tried, what the host looks like
afterwards that nothing came of it.

Everything happens three times: as root (whose boxes become nobody), as an ordinary user, and as an ordinary user where the kernel makes no
namespace and has no Landlock, so that seccomp and rlimits hold the box alone.
"""
import ctypes
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from boxed import BUILD, OPTIONS, SCRATCH, ZVM, add_test, main, spec
from harness import Mount
from processes import KEPT, adopt_orphans, descendants, stat_of, survivors, wait_until

GUESTS = BUILD / "box" / "escape"
USER = 54321
NOBODY = 65534
MARK = "zvm-escape"
IPC_KEY = 0x5A564D01
WALLS = ("seccomp", "rlimits", "user namespace", "pid namespace", "mount namespace", "network namespace", "ipc namespace", "uts namespace",
         "cgroup namespace", "empty root", "landlock", "first out of memory", "cgroup limits", "unprivileged user", "no privileges",
         "rdtsc trap", "cpuid trap")
WORD = "the word that nobody here may read"

adopt_orphans()


def as_user(uid):
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all", "--no-new-privs"]


class Configuration:
    """One way to run zvm: as whom, behind which walls, with a directory of its own for scripts and store."""

    def __init__(self, name, prefix, uid, walls, no_walls):
        self.name, self.prefix, self.uid, self.walls, self.no_walls = name, prefix, uid, walls, no_walls
        self.box_uid = NOBODY if uid == 0 else uid
        self.home = SCRATCH / name.replace(" ", "-")
        self.scripts, self.store, self.zvm = self.home / "scripts", self.home / "store", self.home / "zvm"
        self.made = False

    def make(self):
        if self.made:
            return self
        # Whoever runs it must be able to reach it: a tree below /root is closed to others.
        self.scripts.mkdir(parents=True)
        shutil.copy(ZVM, self.zvm)
        shutil.copy(BUILD / "box" / "without_namespaces", self.home)
        for guest in GUESTS.iterdir():
            shutil.copy(guest, self.scripts)
        if os.geteuid() == 0:
            for path in (self.home, self.scripts):
                os.chown(path, self.uid, self.uid)
        self.made = True
        return self

    def command(self, spec_text, *arguments):
        prefix = [word.replace("{home}", str(self.home)) for word in self.prefix]
        return [*prefix, str(self.zvm), "run", *OPTIONS, "--store", str(self.store), "--scripts", str(self.scripts), *arguments, spec_text]

    def start(self, spec_text, *arguments, **options):
        self.make()
        arguments = arguments or ("--no-cache",)
        options.setdefault("stdin", subprocess.PIPE)
        return subprocess.Popen(self.command(spec_text, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                start_new_session=True, **options)

    def run(self, words, data=b"", timeout=60, **options):
        process = self.start(words if isinstance(words, str) else spec(*words), **options)
        try:
            out, err = process.communicate(data, timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"{words} did not end: {process.communicate()}") from None
        result = Result(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
        assert not (left := survivors()), f"{words} left processes behind: {left}\n{result}"
        return result

    def limited(self, guest, mode, **limits):
        """A script around a guest, as only scripts can declare limits."""
        self.make()
        path = self.scripts / f"{guest}-{mode}.script"
        path.write_text(f"#!/script/{guest} {mode}\n# zvm: " + " ".join(f"{k}={v}" for k, v in limits.items()) + "\n")
        path.chmod(0o755)
        return path.name

    def assert_next_run_is_fine(self):
        result = self.run(["tr", "a-z", "A-Z"], b"fine\n")
        assert (result.status, result.out, result.err) == (0, "FINE\n", ""), f"the next run: {result}"


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err
        self.lines = out.splitlines()

    def __str__(self):
        return f"status {self.status}\n{self.out[-3000:]}\nstandard error: {self.err[-1000:]}"

    def assert_tried(self, *lines):
        for line in ("the monitor is ours", *lines):
            assert any(line in got for got in self.lines), f"it did not say {line!r}: {self}"
        assert "ESCAPED" not in self.out + self.err, str(self)

    def assert_all_refused(self, *but):
        """Every raw attempt met the wall, every usual one an error of the monitor's."""
        tried = 0
        for line in self.lines:
            match = re.match(r"(normal|raw) (.*): (\S+)$", line)
            if not match or any(match[2].startswith(b) for b in but):
                continue
            tried += 1
            assert match[3] == "ENOSYS" if match[1] == "raw" else match[3].startswith("E"), f"{line}: {self}"
        assert tried > 5, f"it tried too little: {self}"


def configurations():
    bare = ["{home}/without_namespaces"]
    namespaces = {"pid namespace", "mount namespace", "empty root", "network namespace", "ipc namespace"}
    always = {"seccomp", "rlimits", "no privileges", "unprivileged user"}
    if os.geteuid() == 0:
        return [Configuration("root", [], 0, always, set()),
                Configuration("user", as_user(USER), USER, always, set()),
                Configuration("bare", as_user(USER) + ["prlimit", "--nproc=600"] + bare, USER, always, namespaces | {"user namespace", "landlock"})]
    return [Configuration("user", [], os.geteuid(), always, set()),
            Configuration("bare", bare, os.geteuid(), always, namespaces | {"user namespace", "landlock"})]


# --- the world outside ---


class Victim:
    """A process of the user that boxes run as, which counts what is done to it."""

    CODE = """
import os, signal, sys, resource
caught = []
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
    signal.signal(number, lambda n, frame: caught.append(n))
print("ready", flush=True)
sys.stdin.buffer.read()
print(caught, os.getpriority(os.PRIO_PROCESS, 0), resource.getrlimit(resource.RLIMIT_NOFILE), os.sched_getaffinity(0), os.getpgid(0) == os.getpid(), flush=True)
"""

    def __init__(self, uid):
        prefix = as_user(uid) if os.geteuid() == 0 else []
        self.process = subprocess.Popen([*prefix, sys.executable, "-c", self.CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, start_new_session=True)
        KEPT.add(self.process.pid)
        assert self.process.stdout.readline() == "ready\n"
        self.before = self.expected()

    @staticmethod
    def expected():
        import resource
        return f"[] {os.getpriority(os.PRIO_PROCESS, 0)} {resource.getrlimit(resource.RLIMIT_NOFILE)} {os.sched_getaffinity(0)} True\n"

    def story(self):
        return self.process.communicate(timeout=20)[0]

    def state(self):
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        KEPT.discard(self.process.pid)


def system_marks():
    """What a guest that got through would have left in the kernel."""
    found = []
    for kind in ("shm", "msg", "sem"):
        table = Path(f"/proc/sysvipc/{kind}")
        if table.exists():
            found += [kind for line in table.read_text().splitlines()[1:] if int(line.split()[0]) == IPC_KEY]
    for path in ("/proc/keys", "/proc/self/mountinfo", "/proc/swaps", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname", "/proc/net/unix"):
        if os.path.exists(path) and MARK in Path(path).read_text(errors="replace"):
            found.append(path)
    found += [p for p in (f"/dev/mqueue/{MARK}", f"/dev/shm/{MARK}", f"/tmp/{MARK}", "/escaped", "/tmp/mark", "/dev/shm/mark") if os.path.exists(p)]
    return found


# --- the attempts ---


def test_calls(c):
    """no system call passes the wall but those of its list, and these not with other arguments"""
    result = c.run(["calls"])
    result.assert_tried(*[f"tried {1024 - 21} calls with {n}, 0 passed" for n in (0, 1, -1, 3)])
    result.assert_all_refused()


def test_files(c):
    """no file, directory or descriptor of the host can be reached, and none that was handed over can be written"""
    c.make()
    secret, private = c.home / "secret", c.home / "private"
    secret.write_text(f"OUTSIDE {WORD}\n")
    private.mkdir()
    (private / "secret").write_text(f"OUTSIDE {WORD}\n")
    (c.scripts / "outward").unlink(missing_ok=True)
    (c.scripts / "outward").symlink_to("/")
    for path in (secret, private / "secret"):
        path.chmod(0o666)
    env, before = Path("/usr/bin/env").read_bytes(), sorted(p.name for p in c.home.iterdir())
    inherited = os.open(secret, os.O_RDWR)
    high = fcntl.fcntl(inherited, fcntl.F_DUPFD, 300)
    paths = [secret, private / "secret", c.store / "version", "/etc/shadow", "/etc/hostname", f"/proc/{os.getpid()}/environ",
             f"/proc/{os.getpid()}/fd/{inherited}", "/proc/1/environ", "/proc/sys/kernel/hostname", "/dev/mem", "/dev/fuse",
             "/sys/kernel/uevent_helper", "/root/.bashrc", "/home", "/var/log"]
    try:
        result = c.run(["files"], "".join(f"{line}\n" for line in (WORD, *paths)).encode(), pass_fds=(inherited, high))
    finally:
        os.close(inherited)
        os.close(high)
    result.assert_tried("tried the files", "tried 4196 descriptors, 5 are open",
                        "of the host's files 0 were written, 0 mapped for writing; 2 outputs", f"raw {secret}: ENOSYS",
                        f"normal /script/..{secret}: ENOENT", f"normal /proc/self/root{secret}: ENOENT")
    synthetic = ("/etc/hostname", "/proc/1/environ", "/proc/sys/kernel/hostname", "/home")
    for line in result.lines:
        match = re.match(r"(normal|raw) (.*): (\S+)$", line)
        if match and not any(s in match[2] for s in synthetic) and not match[2].endswith("program of the host"):
            assert match[3].startswith("E"), f"{line} was opened: {result}"
    assert secret.read_text() == (private / "secret").read_text() == f"OUTSIDE {WORD}\n"
    assert Path("/usr/bin/env").read_bytes() == env
    assert set(before) <= set(p.name for p in c.home.iterdir()) <= set(before) | {"store"}
    assert not system_marks()


def test_memory(c):
    """nothing of the caller's environment, arguments or memory is in the box"""
    secret = "T0pSecretOfTheCaller"
    environment = dict(os.environ, SECRET=secret, HOME="/home/" + secret)
    result = c.run(["memory"], secret[::-1].encode() + b"\n", env=environment)
    result.assert_tried("tried the memory", "searched the monitor:", "searched the top: 0 pages", "tried /proc/self/environ")
    assert secret not in result.out
    told = sorted(line.split()[1] for line in result.lines if line.startswith("environment "))
    assert told == sorted(["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/home/zvm", "PWD=/home/zvm", "TMPDIR=/tmp", "LANG=C.UTF-8",
                           "TZ=UTC", "USER=zvm"]), told


def test_victim(c):
    """a process of the same user gets no signal, is not traced, read, renumbered or limited, and neither is the launcher"""
    with Victim(c.box_uid) as victim:
        result = c.run(["victim", str(victim.process.pid)])
        result.assert_tried("tried the victim", "raw kill: ENOSYS", "raw ptrace seize: ENOSYS", "raw process_vm_writev: ENOSYS")
        result.assert_all_refused("get_robust_list", "kill", "tkill", "tgkill", "ptrace traceme", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
                                  "prlimit64", "sched_setaffinity", "setpriority", "pidfd_open", "kcmp")
        raw = [line for line in result.lines if line.startswith("raw ")]
        assert len(raw) > 60 and all(line.endswith(": ENOSYS") for line in raw), [l for l in raw if not l.endswith("ENOSYS")]
        assert victim.state() == "S", f"it is in state {victim.state()}"
        assert (story := victim.story()) == victim.before, f"{story} instead of {victim.before}"


def test_sockets(c):
    """no socket can be made but of the box's own, which leads nowhere, and nobody outside hears of it"""
    name = f"{MARK}-{os.getpid()}-{c.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as local, socket.socket() as internet, socket.socket(type=socket.SOCK_DGRAM) as udp:
        local.bind("\0" + name)
        local.listen()
        internet.bind(("127.0.0.1", 0))
        internet.listen()
        port = internet.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        result = c.run(["sockets", name, str(port)])
        result.assert_tried("tried the sockets", "tried 455 sockets: the monitor opened 4, the wall 0")
        assert select.select([local, internet, udp], [], [], 0)[0] == [], "somebody called"


def test_kernel(c):
    """namespaces, mounts, keyrings, System V and POSIX IPC, io_uring, bpf, perf, userfaultfd, clocks and names of the host are out of reach"""
    assert not system_marks(), "there are marks already"
    result = c.run(["kernel"])
    result.assert_tried("tried the kernel", "tried 768 terminal calls: the monitor granted 0, the wall 0", "raw io_uring_setup: ENOSYS",
                        "raw unshare: ENOSYS", "raw shmget: ENOSYS", "raw keyctl: ENOSYS", "raw userfaultfd: ENOSYS")
    result.assert_all_refused("vmsplice", "vhangup")
    assert not system_marks(), system_marks()
    assert time.time() > 1e9 and socket.gethostname() != MARK


def test_terminal(c):
    """nothing is typed into the terminal that zvm was started at"""
    c.make()
    pid, terminal = pty.fork()
    if pid == 0:
        command = c.command("kernel", "--no-cache")
        os.execvp(command[0], command)
    os.write(terminal, b"\x04")
    said = b""
    try:
        while part := os.read(terminal, 65536):
            said += part
    except OSError:
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    text = said.decode("utf-8", "replace").replace("\r", "")
    assert "tried 768 terminal calls: the monitor granted 0, the wall 0" in text, text[-2000:]
    assert "X" not in re.sub(r"EXDEV|EXEC\w*|F_\w+", "", text.replace("ENXIO", "")), "an X was typed and echoed: " + text[-2000:]


def test_machine(c):
    """int 0x80, x32 numbers and 32-bit code end the guest before the kernel hears of them"""
    for how in ("int80", "x32", "x32-raw", "x32-open-raw", "far"):
        result = c.run(["machine", how], timeout=20)
        result.assert_tried(f"trying {how}")
        assert result.status == 128 + signal.SIGSYS, f"{how}: {result}"
        assert "another architecture" in result.err, result.err
    result = c.run(["machine", "sysenter"], timeout=20)
    result.assert_tried("trying sysenter")
    assert result.status in (128 + signal.SIGSYS, 128 + signal.SIGSEGV, 128 + signal.SIGILL), str(result)
    # vsyscall is a call like others: the monitor answers it, with the box's own time.
    result = c.run(["machine", "vsyscall"], timeout=20)
    assert "answered: 0" in result.out, str(result)


def test_processes(c):
    """a fork bomb reaches a limit, one past the monitor the time limit, and both are gone to the last process"""
    result = c.run(["bombs", "fork"])
    result.assert_tried("tried fork")
    assert re.search(r"forked \d+ children, then E(AGAIN|NOMEM)", result.out), str(result)
    started = time.monotonic()
    result = c.run([c.limited("bombs", "fork-raw", timeout=1)])
    assert result.status == 124 and "time limit of 1 s" in result.err, str(result)
    assert time.monotonic() - started < 20
    c.assert_next_run_is_fine()


def test_memory_bombs(c):
    """memory ends at the box's limit, past the monitor a little later, and unaccounted kinds do not exist"""
    result = c.run([c.limited("bombs", "memory", memory="64M")])
    result.assert_tried("tried memory", "then ENOMEM")
    assert int(re.search(r"got (\d+) MiB", result.out)[1]) <= 64, str(result)
    result = c.run([c.limited("bombs", "memory-raw", memory="64M")])
    result.assert_tried("tried memory-raw", "then ENOMEM")
    assert 64 <= int(re.search(r"got (\d+) MiB", result.out)[1]) <= 64 + 64, str(result)
    result = c.run([c.limited("bombs", "tables-raw", memory="64M")])
    result.assert_tried("tried tables-raw", "then ENOMEM")
    assert int(re.search(r"reserved (\d+) GiB", result.out)[1]) <= 1024, str(result)
    c.assert_next_run_is_fine()


def test_output_bombs(c):
    """output ends at its limit with the stated error, past the monitor too"""
    for mode in ("output", "output-raw"):
        result = c.run([c.limited("bombs", mode, output="256K")])
        assert result.status == 125 and "output limit of 262144 bytes" in result.err, f"{mode}: {result}"
    c.assert_next_run_is_fine()


def test_descriptor_bombs(c):
    """descriptors run out for the guest, not for the daemon"""
    result = c.run(["bombs", "descriptors"])
    result.assert_tried("tried descriptors", "then EMFILE")
    result = c.run(["bombs", "descriptors-raw"])
    result.assert_tried("tried descriptors-raw")
    assert 100 < int(re.search(r"got (\d+) descriptors", result.out)[1]) <= 4096, str(result)
    c.assert_next_run_is_fine()


def test_time(c):
    """spinning, waiting past the monitor and stopping oneself end at the time limit, or at once"""
    for mode in ("spin", "wait-raw"):
        result = c.run([c.limited("bombs", mode, timeout=1)])
        assert result.status == 124 and "time limit of 1 s" in result.err, f"{mode}: {result}"
    result = c.run([c.limited("bombs", "stop", timeout=20)])
    assert result.status == 125 and "task 1 (bombs) is stopped by SIGSTOP" in result.err, str(result)
    result = c.run([c.limited("bombs", "stop-raw", timeout=2)])
    result.assert_tried("raw stop: ENOSYS", "tried stop-raw")
    assert result.status == 0, str(result)


def test_leftovers(c):
    """what one run leaves behind, the next one of the same launcher does not find"""
    result = c.run("leave leave | leave look")
    result.assert_tried("left 3 marks", "found 0 marks", "0 marks in")
    assert re.search(r"0 marks in \d+ pages of the monitor, [1-9]\d* left", result.out), str(result)
    assert not system_marks(), system_marks()


def test_arena(c):
    """the arena cannot grow, and the monitor cannot be moved, unmapped or written"""
    result = c.run(["liar", "arena"])
    result.assert_tried("tried the arena", "raw ftruncate: ENOSYS", "raw F_ADD_SEALS: ENOSYS", "not be read")
    result = c.run(["liar", "monitor"])
    result.assert_tried("tried the monitor", "its text cannot be written")
    result.assert_all_refused()


def test_broker(c):
    """a guest that closes, floods or ignores the broker, sends it descriptors or talks nonsense only ends its own run"""
    result = c.run(["liar", "send"])
    result.assert_tried("tried sending")
    assert "raw sendmsg with a descriptor: ENOSYS" in result.lines, str(result)
    result = c.run([c.limited("liar", "close", timeout=3)])
    assert result.status in (124, 125), str(result)
    started = time.monotonic()
    result = c.run([c.limited("liar", "silent", timeout=20)])
    assert result.status == 125 and time.monotonic() - started < 15, f"it was waited for: {result}"
    result = c.run([c.limited("liar", "flood", timeout=1)])
    assert result.status == 124, str(result)
    for which in range(10):
        result = c.run([nonsense(c, which)])
        assert result.status == 125, f"nonsense {which}: {result}"
    c.assert_next_run_is_fine()


def nonsense(c, which):
    """The guest takes the number from its own name, as scripts cannot pass it on."""
    path = c.scripts / f"nonsense-{which}.script"
    path.write_text(f"#!/script/nonsense{which}\n# zvm: timeout=1\n")
    path.chmod(0o755)
    shutil.copy(GUESTS / "liar", c.scripts / f"nonsense{which}")
    return path.name


def test_lies(c):
    """a false report only concerns the liar's own result, and shows no control characters, in a trace neither"""
    result = c.run(["liar", "lie"], timeout=20)
    assert result.status == 7, str(result)
    assert "lying" in result.out
    assert all(char.isprintable() or char == "\n" for char in result.err), repr(result.err)
    trace = c.home / "trace"
    process = c.start(spec("liar", "forge"), "--trace", str(trace))
    process.communicate(timeout=20)
    lines = trace.read_bytes().split(b"\n")
    assert any(b"?[2J?forged??" in line for line in lines), lines[-5:]
    assert all(0x20 <= byte < 0x7F for line in lines for byte in line), [line for line in lines if not line.isascii()]
    c.assert_next_run_is_fine()


def test_templates(c):
    """a box that says it has stopped where none was asked to, or as a template names processes of others, hides its own or is silent, is killed, and its run has no result"""
    assert c.run(["liar", "stop"]).status == 125
    for pid in (0, 1, 2, 3, 4, 5, 999999, -1, -2, -3):
        process = c.start(spec("liar", "stop", str(pid)), "--template")
        out, err = process.communicate(timeout=20)
        assert process.returncode == 125, f"{pid}: {process.returncode} {out} {err}"
        assert not (left := survivors()), f"{pid}: {left}"
    c.assert_next_run_is_fine()


def test_swaps(c):
    """a directory that is swapped for a link to the outside while the broker walks never leads there"""
    c.make()
    outside = c.home / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "file").write_text(WORD)
    real, link, swap = c.scripts / "real", c.scripts / "link", c.scripts / "swap"
    real.mkdir(exist_ok=True)
    (real / "file").write_text("inside")
    for path in (link, swap):
        path.unlink(missing_ok=True)
    link.symlink_to(outside)
    swap.mkdir()
    (swap / "file").write_text("inside")
    libc, stop, swaps = ctypes.CDLL(None, use_errno=True), threading.Event(), [0]

    def exchange():
        while not stop.is_set():
            assert libc.renameat2(-100, os.fsencode(link), -100, os.fsencode(swap), 2) == 0
            swaps[0] += 1

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        result = c.run(["swapped", "/script/swap", "file", "4000"], WORD.encode() + b"\n")
    finally:
        stop.set()
        thread.join()
    match = re.search(r"asked 4000 times: (\d+) opened, (\d+) absent, (\d+) other", result.out)
    assert match and int(match[3]) == 0 and "ESCAPED" not in result.out, str(result)
    assert int(match[1]) > 0 and int(match[2]) > 0 and swaps[0] > 100, f"{swaps[0]} swaps were not noticed: {result}"


def test_special_files(c):
    """devices, FIFOs and sockets below the script's directory are never opened"""
    c.make()
    for name in ("fifo", "sock", "null"):
        (c.scripts / name).unlink(missing_ok=True)
    os.mkfifo(c.scripts / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(c.scripts / "sock"))
        listener.listen()
        names = ["fifo", "sock"]
        if os.geteuid() == 0:
            os.mknod(c.scripts / "null", 0o666 | 0o020000, os.makedev(1, 3))
            names.append("null")
        # Whoever opened the FIFO for reading would let this writer in.
        look = c.scripts / "look.py"
        look.write_text("#!/usr/bin/python3\nimport os, sys\nprint(*os.listdir('/script'))\nopen('/script/' + sys.argv[1])\n")
        look.chmod(0o755)
        for name in names:
            result = c.run(["look.py", name], timeout=20)
            assert result.status == 1 and "No such file" in result.err, f"{name}: {result}"
            assert "swapped" in result.out and not set(names) & set(result.out.split()), str(result)
            try:
                os.close(os.open(c.scripts / "fifo", os.O_WRONLY | os.O_NONBLOCK))
                raise AssertionError("somebody reads the FIFO")
            except OSError as error:
                assert error.errno == 6, error
        assert select.select([listener], [], [], 0)[0] == [], "somebody called"
    for name in names:
        (c.scripts / name).unlink()


def test_names(c):
    """no error that the guest can read names anything of the host"""
    host = [str(c.home), str(c.store), str(SCRATCH), socket.gethostname()]
    host = [name for name in host if len(name) > 3]
    for words in (["cat", "/script/absent", "/nowhere", "/etc/shadow"], ["ls", "-la", "/", "/script", "/proc/self/fd", "/tmp"],
                  ["cat", "/proc/self/maps", "/proc/self/mounts", "/proc/self/environ", "/proc/self/cmdline", "/etc/passwd", "/etc/hostname"],
                  ["readlink", "/proc/self/exe", "/proc/self/cwd", "/proc/self/root", "/proc/self/fd/0", "/proc/self/fd/1"],
                  ["env"], ["id"], ["uname", "-a"], ["python3", "-c", "raise SystemExit(open('/script/none'))"]):
        result = c.run(words)
        said = result.out + result.err
        assert said, f"{words} said nothing"
        assert not [name for name in host if name in said], f"{words}: {said}"


def test_setuid(c):
    """a setuid program runs without privilege"""
    setuid = next((p for p in ("/usr/bin/su", "/usr/bin/passwd", "/usr/bin/mount", "/usr/bin/umount", "/usr/bin/fusermount3")
                   if os.path.exists(p) and os.stat(p).st_mode & 0o4000), None)
    assert setuid, "there is no setuid program here"
    result = c.run(["stat", "-c", "%a %u", setuid])
    assert not int(result.out.split()[0], 8) & 0o6000, str(result)
    process = c.start(c.limited("bombs", "spin", timeout=20), stdin=subprocess.DEVNULL)
    try:
        box = wait_until(lambda: running_box(process.pid), "the box does not run")
        status = Path(f"/proc/{box}/status").read_text()
        assert re.search(r"^Uid:" + rf"\t{c.box_uid}" * 4 + "$", status, re.M), status
        assert re.search(r"^NoNewPrivs:\t1$", status, re.M) and re.search(r"^Seccomp:\t2$", status, re.M), status
        for kind in ("Inh", "Prm", "Eff", "Amb"):
            assert re.search(rf"^Cap{kind}:\t0+$", status, re.M), status
        assert c.uid or re.search(r"^Groups:\t\s*$", status, re.M), status
        limits = Path(f"/proc/{box}/limits").read_text()
        for name in ("Max core file size", "Max locked memory", "Max msgqueue size", "Max realtime priority"):
            assert re.search(rf"^{name}\s+0\s+0", limits, re.M), limits
        for name in ("Max processes", "Max open files", "Max address space", "Max data size", "Max file size", "Max cpu time"):
            assert re.search(rf"^{name}\s+\d+\s+\d+", limits, re.M), limits
        assert Path(f"/proc/{box}/oom_score_adj").read_text() == "1000\n"
        # Not even its own user may look into it.
        probe = subprocess.run([*(as_user(c.box_uid) if os.geteuid() == 0 else []), "cat", f"/proc/{box}/maps", f"/proc/{box}/environ"],
                               capture_output=True, check=False)
        assert probe.returncode == 1 and probe.stdout == b"", probe
    finally:
        process.kill()
        process.communicate()
    assert not survivors()


def running_box(zvm):
    """The box that runs: the child of the launcher that uses the processor."""
    boxes = [pid for pid, parent in descendants(zvm).items() if parent != zvm]
    fields = {pid: stat_of(pid) for pid in boxes}
    return next((pid for pid, f in fields.items() if f[0] == "R" and int(f[11]) + int(f[12]) > 1), None)


def launcher_of(zvm):
    return next(pid for pid, parent in descendants(zvm).items() if parent == zvm)


def test_killed_daemon(c):
    """SIGKILL of zvm leaves nothing behind, be the box spinning, waiting, forking or just made"""
    for mode, delay in (("spin", 0.2), ("fork-raw", 0.4), ("spin", 0), ("spin", 0.02)):
        process = c.start(c.limited("bombs", mode, timeout=20), stdin=subprocess.DEVNULL)
        time.sleep(delay)
        if delay > 0.1:
            wait_until(lambda: len(descendants(process.pid)) > 2, "there are no boxes")
        process.kill()
        process.communicate()
        assert not (left := survivors()), f"{mode} after {delay} s: {left}"


def test_killed_mount(c):
    """SIGKILL of a mount's daemon leaves no process behind either, with boxes running and in the pool"""
    with Mount() as mount:
        mount.put("a")
        shutil.copy(GUESTS / "bombs", mount.scripts)
        mount.script("spin", "#!/script/bombs spin\n")
        reader = threading.Thread(target=mount.error, args=("run/spin/a",), daemon=True)
        reader.start()
        daemon = next(pid for pid, parent in descendants(os.getpid()).items() if parent == os.getpid() and pid not in KEPT)
        wait_until(lambda: running_box(daemon), "the box does not run")
        os.kill(daemon, signal.SIGKILL)
        reader.join(20)
        assert not reader.is_alive(), "the reader still waits"
        assert not (left := survivors()), f"{left}"


def test_killed_launcher(c):
    """SIGKILL of the launcher leaves nothing behind and is an error of ours"""
    for mode in ("spin", "fork-raw"):
        process = c.start(c.limited("bombs", mode, timeout=20), stdin=subprocess.DEVNULL)
        running = (lambda: len(descendants(process.pid)) > 50) if mode == "fork-raw" else (lambda: running_box(process.pid))
        wait_until(running, "the box does not run")
        os.kill(launcher_of(process.pid), signal.SIGKILL)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 125, f"{mode}: {process.returncode} {out} {err}"
        assert not (left := survivors()), f"{mode}: {left}"


def test_doctor(c):
    """zvm doctor says of each wall whether it stands, and how to get those that do not, by the names that info uses"""
    c.make()
    command = c.command("x")
    doctor = subprocess.run(command[: command.index("run")] + ["doctor"], capture_output=True, text=True, timeout=60, check=False)
    found = {name: mark for mark, name in re.findall(r"^  (ok|-|NO) +((?:\S+ )*\S+)(?:  .*| *)$", doctor.stdout, re.M)}
    for wall in c.walls:
        assert found.get(wall) == "ok", f"{wall}: {doctor.stdout}"
    for wall in c.no_walls:
        assert found.get(wall) == "-", f"{wall}: {doctor.stdout}"
    # Whether there is a delegated cgroup is the machine's affair; that it is looked for and told is ours.
    assert found.get("cgroup limits") == "ok" or "Delegate=yes" in doctor.stdout, doctor.stdout
    assert doctor.returncode == ("NO" in found.values()), doctor
    if not c.prefix:
        with Mount() as mount:
            mount.put("a")
            told = json.loads(mount.read("info/cat/a"))["walls"]
        assert sorted(told) == sorted(w for w in WALLS if found.get(w) == "ok"), f"{told}: {doctor.stdout}"
    remedies = re.findall(r"to get it: (.*)", doctor.stdout)
    assert not c.no_walls or any("user.max_user_namespaces" in r and "apparmor_restrict_unprivileged_userns" in r for r in remedies), doctor.stdout
    assert not c.no_walls or any("CONFIG_SECURITY_LANDLOCK" in r for r in remedies), doctor.stdout


def test_container(c):
    """where root is not all-powerful, as in a container, zvm works with fewer walls, and not at all if its boxes would stay root"""
    c.make()
    lesser = ["setpriv", "--inh-caps=-all", "--bounding-set=-sys_admin"]
    doctor = subprocess.run([*lesser, str(c.zvm), "doctor"], capture_output=True, text=True, timeout=60, check=False)
    assert doctor.returncode == 0 and "allow nested namespaces (CAP_SYS_ADMIN)" in doctor.stdout, doctor.stdout
    assert re.search(r"^  -   pid namespace", doctor.stdout, re.M) and re.search(r"^  ok  unprivileged user", doctor.stdout, re.M), doctor.stdout
    run = subprocess.run([*lesser, *c.command("tr a-z A-Z", "--no-cache")], input=b"fine", capture_output=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (0, b"FINE"), run
    lesser = ["setpriv", "--inh-caps=-all", "--bounding-set=-setuid"]
    doctor = subprocess.run([*lesser, str(c.zvm), "doctor"], capture_output=True, text=True, timeout=60, check=False)
    assert doctor.returncode == 1 and re.search(r"^  NO  unprivileged user +Operation not permitted\n.*65534", doctor.stdout, re.M), doctor.stdout
    run = subprocess.run([*lesser, *c.command("tr a-z A-Z", "--no-cache")], input=b"fine", capture_output=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (125, b""), run


TESTS = [test_calls, test_files, test_memory, test_victim, test_sockets, test_kernel, test_terminal, test_machine, test_processes,
         test_memory_bombs, test_output_bombs, test_descriptor_bombs, test_time, test_leftovers, test_arena, test_broker, test_lies,
         test_swaps, test_special_files, test_names, test_setuid, test_killed_daemon, test_killed_mount, test_killed_launcher, test_doctor, test_container]

for configuration in configurations():
    for function in TESTS:
        if len(sys.argv) > 1 and not any(word in f"{configuration.name} {function.__name__}" for word in sys.argv[1:]):
            continue
        if (function is test_container and configuration.uid) or (function is test_killed_mount and configuration.prefix):
            continue
        add_test(f"{configuration.name}: {function.__doc__}", function, configuration)

if __name__ == "__main__":
    main()
