"""What Linux answers, the box answers.

The calls_*.c programs each make many small checks. Natively all of them must hold, so what they want is what Linux does; in the box all of
them must hold again, and there may be more: those about values of the box's own. Each program says how many checks it made, so none is
missed by dying early. calls_random makes no sense, and must survive it. What becomes of each call stands in one table, which is checked here too.
"""
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from boxed import BOX_LIKE, BUILD, SCRATCH, Result, add_test, main, run_boxed, spec, test
from harness import Mount

TOP = Path(__file__).resolve().parents[2]
PROGRAMS = ["calls_file", "calls_private", "calls_memory", "calls_wait", "calls_time", "calls_signal", "calls_identity", "calls_proc", "calls_exec", "calls_socket", "calls_stop", "calls_pidfd", "calls_bad_pointers"]
NOBODY = 65534
CHECK = re.compile(r"^(?:not )?ok (.*)$", re.M)
ROW = re.compile(r'^CALL\((\d+), (\w+), (\w+), (\w+), "(.+)"\)$', re.M)

SCRIPTS = SCRATCH / "scripts"
SCRIPTS.mkdir()
for program in [*PROGRAMS, "calls_random"]:
    shutil.copy(BUILD / "box" / program, SCRIPTS / program)
    # A limit that can be reached in no time.
    (SCRIPTS / f"{program}.sh").write_text(f"#!/script/{program}\n# zvm: memory=64M\n")
    (SCRIPTS / f"{program}.sh").chmod(0o755)
# As root nothing is forbidden, and a file system on a disk has other sizes: an ordinary user, in memory as in the box.
PLACE = Path(tempfile.mkdtemp(prefix="zvm-calls-", dir="/dev/shm" if os.path.ismount("/dev/shm") else SCRATCH))
PLACE.chmod(0o777)


def ordinary_user():
    os.chdir("/")
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def run_as_user(name):
    env = {**BOX_LIKE, "CALLS_PLACE": str(PLACE)}
    return Result(subprocess.run([SCRIPTS / name], input=b"", capture_output=True, env=env, preexec_fn=ordinary_user, timeout=120, check=False))


def run_script(*words):
    return run_boxed(spec(*words), b"", ("--no-cache", "--scripts", str(SCRIPTS)))


def checks_of(result):
    """The names of what was checked, all of which must hold."""
    text = result.out.decode()
    found = CHECK.findall(text)
    failed = [line for line in text.splitlines() if line.startswith("not ok")]
    assert not failed, "\n".join(failed)
    assert result.status == 0 and re.search(rf"^1\.\.{len(found)}$", text, re.M), f"{len(found)} checks, then {result}"
    return found


def native_and_boxed(name):
    native, boxed = checks_of(run_as_user(name)), checks_of(run_script(f"{name}.sh"))
    missing = set(native) - set(boxed)
    assert len(native) > 50 and not missing, f"{len(native)} natively, and not asked in the box: {missing}"
    print(f"# {name}: {len(native)} answers as Linux gives them, {len(boxed) - len(native)} of the box's own")


def survives(seed):
    first, second = (run_script("calls_random.sh", str(seed), "12000") for _ in range(2))
    assert first.status == 0 and b"calls came back" in first.out, first
    assert first == second, "the same calls were answered differently"


for program in PROGRAMS:
    add_test(f"{program}: what Linux answers, the box answers", native_and_boxed, program)
for number in (1, 2, 3):
    add_test(f"12,000 calls that make no sense are all answered, twice the same (seed {number})", survives, number)


# --- who waits for himself ---

# What perl does, and the call in which it waits for ever.
WAITING = [
    ("pipe(R, W); syswrite(W, 'x' x 70000)", "write"),
    ("pipe(R, W); sysread(R, $x, 1)", "read"),
    ("use POSIX; my $s = POSIX::SigSet->new; $s->fillset; sigsuspend($s)", "rt_sigsuspend"),
    ("use POSIX; use Time::HiRes 'setitimer'; my $s = POSIX::SigSet->new; $s->fillset; sigprocmask(SIG_BLOCK, $s); setitimer(0, 1, 1); sigsuspend($s)", "rt_sigsuspend"),
    ("select(undef, undef, undef, undef)", "select"),
]


def deadlocks(code, name):
    result = run_script("perl", "-e", f"print 'before'; {code}; print 'after'")
    assert result.status == 125 and b"deadlock" in result.err and name.encode() in result.err, result
    assert b"after" not in result.out


for code, name in WAITING:
    add_test(f"who waits for nobody is told so at once: {code[-50:]!r}", deadlocks, code, name)


# --- what is refused, and where it is said ---

# What perl does, and what `refused` says of it.
REFUSED = [
    ("socket(S, 2, 1, 0)", "socket(AF_INET)"),
    ("socket(S, 10, 2, 0)", "socket(AF_INET6)"),
    ("syscall(101, 0, 0, 0, 0)", "ptrace"),
    ("syscall(425, 8, 0)", "io_uring_setup"),
    ("syscall(321, 0, 0, 0)", "bpf"),
    ("syscall(165, 0, 0, 0, 0, 0)", "mount"),
    ("syscall(272, 0)", "unshare"),
    ("syscall(254, 0, 0, 0)", "inotify_add_watch"),
    ("syscall(250, 0)", "keyctl"),
    ("syscall(29, 0, 4096, 512)", "shmget"),
    ("syscall(457, 0, 0, 0, 0)", "statmount"),
    ("syscall(511)", "syscall 511"),
    ("syscall(4242)", "syscall 4242"),
]


def ask_for(code):
    with Mount() as m:
        m.put("nothing", b"")
        name = spec("perl", "-e", f"{code}; print 0 + $!") + "/nothing"
        return m.read(f"run/{name}"), json.loads(m.read(f"info/{name}"))["refused"]


def is_named(code, name):
    said, refused = ask_for(code)
    assert said not in (b"", b"0"), f"it was not refused: {said}"
    assert name in refused or (name == "statmount" and "syscall 457" in refused), refused


for code, name in REFUSED:
    add_test(f"a refused call is named in info: {name}", is_named, code, name)


@test
def nothing_refused():
    """a program that asks for nothing that is refused has nothing refused, whatever libraries probe at their start"""
    with Mount() as m:
        m.put("some", b"b\na\n")
        for words in (["cat"], ["sort"], ["wc", "-l"], ["gawk", "1"], ["perl", "-ne", "print"], ["dash", "-c", "read x; echo $x"], ["python3", "-c", "print(input())"]):
            name = spec(*words) + "/some"
            assert m.read(f"run/{name}")
            refused = json.loads(m.read(f"info/{name}"))["refused"]
            assert refused == [], f"{words}: {refused}"


# --- the table ---


def header_calls():
    text = subprocess.run(["cc", "-E", "-dM", "-include", "asm/unistd_64.h", "-x", "c", "/dev/null"], capture_output=True, text=True, check=True).stdout
    return {int(number): name for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", text, re.M)}


@test
def every_call_has_a_row():
    """every system call that the kernel's headers name has a row in the table, under its own number and name, once"""
    rows = ROW.findall((TOP / "sandbox/monitor/calls.def").read_text())
    table = {int(number): name for number, name, *_ in rows}
    assert len(table) == len(rows) > 350
    known = header_calls()
    assert len(known) > 300
    wrong = {number: name for number, name in known.items() if table.get(number) != name}
    assert not wrong, wrong


@test
def rows_say_what_is_so():
    """each row has a kind, a handler where it is answered and an errno where not"""
    for _, name, answer, kind, _ in ROW.findall((TOP / "sandbox/monitor/calls.def").read_text()):
        assert kind in ("EMULATED", "BROKERED", "PASSED", "REFUSED", "ABSENT"), name
        assert (answer == f"call_{name}") == (kind in ("EMULATED", "BROKERED", "PASSED")), f"{name}: {answer}, {kind}"
        assert answer == f"call_{name}" or re.fullmatch("E[A-Z]+", answer), name
        assert kind != "ABSENT" or answer == "ENOSYS", name


@test
def the_manual_has_the_table():
    """zvm-box(7) is generated with every call of the table in it"""
    page = subprocess.run(["awk", "-f", "contrib/man/calls.awk", "sandbox/monitor/calls.def", "contrib/man/zvm-box.7"], cwd=TOP, capture_output=True, text=True,
                          check=True).stdout.replace("\\-", "-")
    words = set(re.findall(r"\w+", page[page.index(".SH SYSTEM CALLS"):]))
    missing = [name for _, name, *_ in ROW.findall((TOP / "sandbox/monitor/calls.def").read_text()) if name not in words]
    assert not missing, missing


# --- programs that look around ---

# Words, and what must stand in the output, as words of their own: 1 is not in 16.
LOOKING = [
    (["id"], "uid=1000(zvm) gid=1000(zvm) groups=1000(zvm)"),
    (["nproc"], "1"),
    (["uname", "-a"], "Linux zvm 6.1.0-zvm"),
    (["hostname"], "zvm"),
    (["whoami"], "zvm"),
    (["free"], "Mem:         1048576"),
    (["ps", "-ef"], "zvm            1       0"),
    (["uptime"], "up 16 min"),
    (["df", "/tmp"], "zvm"),
    (["lscpu"], "Core(s) per socket:  1"),
    (["getconf", "_NPROCESSORS_ONLN"], "1"),
    (["getconf", "PAGESIZE"], "4096"),
    (["stat", "-f", "-c", "%T", "/tmp", "/usr"], "tmpfs\next2/ext3"),
    (["python3", "-c", "import os,platform;print(platform.machine(), os.cpu_count(), os.getuid(), os.getloadavg()[0])"], "x86_64 1 1000 0.0"),
    (["python3", "-c", "import socket;print(socket.gethostbyname('localhost'), socket.gethostname())"], "127.0.0.1 zvm"),
    (["python3", "-c", "import resource as r;print(r.getrlimit(r.RLIMIT_NOFILE), r.getrlimit(r.RLIMIT_STACK)[0])"], "(1024, 1024) 8388608"),
    (["perl", "-e", "print join ' ', (getpwuid $<)[0,7,8], $0"], "zvm /home/zvm /bin/sh -e"),
]


def looks(words, wanted):
    result = run_script(*words)
    squeezed = re.sub(r"[ \t]+", " ", result.out.decode())
    pattern = re.escape(re.sub(r"[ \t]+", " ", wanted))
    assert result.status == 0 and re.search(rf"(?<!\w){pattern}(?!\w)", squeezed), result


for words, wanted in LOOKING:
    add_test(f"{' '.join(words)[:70]!r} sees the box", looks, words, wanted)

try:
    main()
finally:
    shutil.rmtree(PLACE, ignore_errors=True)
