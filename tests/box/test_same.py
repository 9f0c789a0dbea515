"""The same run gives the same bytes, whoever runs it, whenever, wherever.

Each program here prints something that differs natively from one run to the next, if what surrounds it differs. The test first shows that
it does, so that it is known to be able to fail. Then it runs in the box, computed anew each time, under circumstances that differ in all
that a process inherits: time, environment, working directory, umask, niceness, scheduling, processor, limits, descriptors, signals,
personality, user, a busy neighbour, the way the input arrives, the kind of box, and a copy of the scripts directory made in another order
at another time. Every run must print the same, and something.

The rows are those of the table of sources of chance that every such system has to answer.
"""
import contextlib
import ctypes
import os
import resource
import shutil
import signal
import subprocess
import threading
import time

from boxed import BOX_PATH, BUILD, SCRATCH, ZVM, Result, add_test, first_difference, main, run_boxed, spec, test

INPUT = b"".join(b"%d line number %d\n" % (n * 7919 % 3001, n) for n in range(3000))
NOBODY = 65534
LIBC = ctypes.CDLL(None, use_errno=True)
ROOT = os.geteuid() == 0

# A host program sees an empty /script, so these look at it.
SCRIPTS = {
    "look.py": "#!/usr/bin/python3\nimport os, sys\nprint(os.stat(sys.argv[1]), *[(e.name, e.inode(), e.stat()) for e in os.scandir(sys.argv[1])])\n",
    "look.pl": "#!/usr/bin/perl\nchdir shift; opendir D, '.'; print join(' ', $_, stat), qq{\\n} for readdir D;\n",
    "look.lua": "#!/usr/bin/lua5.4\nprint(arg[0], os.time(), {}, os.tmpname())\n",
    "pack.py": "#!/usr/bin/python3\nimport sys, tarfile\ntarfile.open(fileobj=sys.stdout.buffer, mode='w|').add('/script' if len(sys.argv) < 2 else sys.argv[1])\n",
    "threads.py": """#!/usr/bin/python3
import threading, time
out = []
def work(n):
    for i in range(200):
        out.append(n)
        time.sleep(0)
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print(*out)
""",
    # Takes memory until there is none: in the box only, which says how much that is.
    "hunger.pl": "#!/usr/bin/perl\n# zvm: memory=64M\nmy ($n, @all); while (1) { push @all, 'x' x 1000003; print ++$n, qq{\\n} }\n",
}
GUESTS = ["chance", "processor", "races", "moments", "structures", "first", "hello_static"]
NAMES = [*GUESTS, "alpha", "beta", "gamma", *SCRIPTS]


def make_scripts(name, order, modification):
    """The same files; another inode, time and order."""
    directory = SCRATCH / name
    directory.mkdir()
    for entry in order:
        if entry in GUESTS:
            shutil.copy(BUILD / "box" / entry, directory / entry)
        else:
            (directory / entry).write_text(SCRIPTS.get(entry, f"{entry}\n" * 300))
        (directory / entry).chmod(0o755)
        os.utime(directory / entry, (modification, modification))
    os.utime(directory, (modification, modification))
    return directory


# --- what a process inherits ---

def usual():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def unusual():
    os.chdir("/")
    os.umask(0o077)
    os.nice(1)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, 600))
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM})
    LIBC.personality(0x0060000)  # no random addresses, and a kernel that calls itself 2.6
    LIBC.prctl(29, 123456, 0, 0, 0)  # timer slack
    for number in (7, 20, 40):
        os.dup2(2, number)


def somebody_else():
    """On all processors, and, if we may choose, another user."""
    os.umask(0o027)
    if ROOT:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


@contextlib.contextmanager
def busy_processor(wanted):
    """Something that computes all the while, where the program could run as well."""
    child = os.fork() if wanted else 0
    if wanted and child == 0:
        while True:
            pass
    try:
        yield
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


# --- how the input arrives ---

def write_slowly(pipe, data):
    at, size = 0, 1
    with contextlib.suppress(BrokenPipeError), pipe:
        while at < len(data):
            pipe.write(data[at : at + size])
            pipe.flush()
            at, size = at + size, size * 7 % 8191 + 500
            time.sleep(0.0005)


def run_fed_slowly(argv, data, **options):
    """In odd pieces, with pauses between them."""
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        writer = threading.Thread(target=write_slowly, args=(process.stdin, data))
        writer.start()
        errors = []
        reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
        reader.start()
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        out = process.stdout.read()
        reader.join()
        writer.join()
        process.wait()
        watchdog.cancel()
        return Result(subprocess.CompletedProcess(argv, process.returncode, out, errors[0]))


def run_from_file(argv, data, **options):
    path = SCRATCH / "input-file"
    path.write_bytes(data)
    os.utime(path, (77, 77))
    with open(path, "rb") as file:
        return Result(subprocess.run(argv, stdin=file, capture_output=True, timeout=120, check=False, **options))


def run_at_once(argv, data, **options):
    return Result(subprocess.run(argv, input=data, capture_output=True, timeout=120, check=False, **options))


class Circumstance:
    def __init__(self, name, scripts, prepare, env, feed=run_at_once, pool="1", busy=False, wrapper=()):
        self.scripts, self.prepare, self.feed, self.pool, self.busy, self.wrapper = scripts, prepare, feed, pool, busy, list(wrapper)
        self.directory = SCRATCH / name
        self.directory.mkdir()
        self.env = {"PATH": BOX_PATH, **env}
        if prepare is somebody_else and ROOT:
            os.chown(self.directory, NOBODY, NOBODY)

    def run(self, argv, data, **options):
        with busy_processor(self.busy and argv[0] == ZVM):
            return self.feed(argv, data, env=self.env, cwd=self.directory, preexec_fn=self.prepare, close_fds=False, **options)

    def native(self, argv):
        # Named without a slash it is a program; else one of the scripts.
        program = str(self.scripts / argv[0]) if (self.scripts / argv[0]).exists() else shutil.which(argv[0], path=BOX_PATH)
        assert program, f"{argv[0]} is not installed"
        words = [w.replace("/script", str(self.scripts)) for w in argv[1:]]
        if self.wrapper:
            return self.run([*self.wrapper, program, *words], INPUT)
        return self.run([argv[0], *words], INPUT, executable=program)

    def boxed(self, argv, data=INPUT):
        store = ("--no-cache", "--store", str(self.directory / "store"), "--scripts", str(self.scripts), "--pool", self.pool)
        return self.run([ZVM, "run", *store, spec(*argv)], data)


EARLY = make_scripts("scripts-a", NAMES, 1_000_000_000)
LATE = make_scripts("scripts-b", list(reversed(NAMES)), 1_500_000_000.25)
PLAIN = Circumstance("plain", EARLY, usual, {"HOME": "/root", "LANG": "C"})
OTHER = Circumstance("other-directory-with-a-longer-name", LATE, unusual,
                     {"HOME": "/", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo", "PADDING": "x" * 30000, "LD_LIBRARY_PATH": "/nowhere", "PYTHONHASHSEED": "5",
                      "RANDOM": "4", "MALLOC_ARENA_MAX": "1", "COLUMNS": "40",
                      "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F"},
                     feed=run_fed_slowly, pool="0", busy=True)
SOMEBODY = Circumstance("somebody", LATE, somebody_else, {"USER": "nobody", "HOME": "/nonexistent", "MALLOC_PERTURB_": "85"},
                        feed=run_from_file, pool="3")
CIRCUMSTANCES = [PLAIN, OTHER, SOMEBODY]

# For native runs only: another machine, as far as the kernel can play one.
ELSEWHERE = Circumstance("elsewhere", EARLY, usual, {}, wrapper=[
    "unshare", *([] if ROOT else ["--user", "--map-root-user"]), "--mount", "--uts", "--ipc", "--pid", "--fork", "--mount-proc", "sh", "-c",
    'hostname elsewhere && mount -t tmpfs -o size=7M elsewhere /mnt && mount -t tmpfs -o size=5M elsewhere /dev/shm && exec "$@"', "sh"])


def python(modules, code):
    return ("python3", "-c", f"import {modules};{code}")


ROWS = {
    "clocks, vDSO, vsyscall, rdtsc(p)": [
        *[("chance", aspect) for aspect in ("clocks", "counter", "vsyscall", "sleeping", "vector")],
        ("date", "+%s %N %F %T %Z"),
        ("date", "-R"),
        ("bash", "-c", "echo $EPOCHREALTIME $SECONDS; printf '%(%c)T\\n' -1; TIMEFORMAT=%3R; time :"),
        python("time", "print(time.time(), time.perf_counter_ns(), time.monotonic(), time.process_time(), time.ctime(), time.thread_time_ns())"),
        ("python3", "-c", "import datetime as d; print(d.datetime.now(), d.datetime.now().astimezone().tzname())"),
        ("perl", "-MTime::HiRes=time,clock", "-e", "print time, ' ', scalar localtime, ' ', clock, ' ', $^T, times"),
        ("gawk", "BEGIN { print systime(), strftime() }"),
        ("lua5.4", "-e", "print(os.time(), os.date(), os.clock())"),
        ("sqlite3", ":memory:", "select datetime('now'), strftime('%f','now'), julianday('now')"),
        ("jq", "-n", "now, $ENV, input_line_number"),
        ("busybox", "date"),
        ("uptime",),
        ("cat", "/proc/uptime"),
        ("stat", "-c", "%x %y %z %w", "/dev/stdin", "/proc/self/"),
        ("gzip", "-c"),
    ],
    "getrandom, AT_RANDOM, urandom, rdrand": [
        ("chance", "chance"),
        ("processor", "rdrand"),
        ("processor", "rdseed"),
        ("bash", "-c", "echo $RANDOM $RANDOM $SRANDOM"),
        python("os,secrets,random,uuid", "print(os.urandom(8), secrets.token_hex(), random.random(), uuid.uuid4(), uuid.uuid1(), random.sample(range(99), 9))"),
        ("perl", "-e", "print rand, ' ', rand 7, ' ', join ',', sort { rand() <=> .5 } 1..9"),
        ("gawk", "BEGIN { srand(); print rand(), srand() }"),
        ("mawk", "BEGIN { print rand(), srand() }"),
        ("lua5.4", "-e", "print(math.random(), math.random(1 << 60))"),
        ("sqlite3", ":memory:", "select random(), hex(randomblob(16)), abs(random()) % 100"),
        ("shuf", "-"),
        ("shuf", "-i", "1-1000", "-n", "5"),
        ("sort", "-R"),
        ("openssl", "rand", "-hex", "24"),
        ("openssl", "genpkey", "-algorithm", "ed25519"),
        ("od", "-An", "-tx1", "-N16", "/dev/urandom"),
        ("head", "-c", "40", "/dev/random"),
        ("busybox", "shuf", "-i", "1-99"),
        ("cat", "/proc/sys/kernel/random/boot_id", "/proc/uptime"),
    ],
    "cpuid, xgetbv, rdpid, lsl, hwcaps, ifuncs of libm, glibc tunables": [
        ("processor", "cpuid"),
        ("processor", "rdpid"),
        ("processor", "lsl"),
        ("processor", "libm"),
        python("math", "print(*[math.pow(1.0 + i / 97, 1.1 + i / 1000).hex() + math.expm1(i / 911).hex() for i in range(3000)])"),
        ("gawk", "BEGIN { for (i = 0; i < 3000; i++) printf \"%.17g \", sin(i / 7) * exp(i / 999) }"),
        ("perl", "-e", "printf '%.17g ', sin($_ / 7) ** 2 + ($_ + .1) ** 1.37 for 0 .. 3000"),
    ],
    "addresses, entry registers, the stack below rsp": [
        ("chance", "addresses"),
        ("chance", "leftovers"),
        ("first",),
        ("moments", "places"),
        ("moments", "leftovers"),
        ("races", "stacks"),
        ("moments", "faults"),
        python("sys", "print(id(object()), object(), print, type, (lambda: 0), id([]) - id({}))"),
        ("perl", "-e", "print \\1, sub {}, {}, []"),
        ("lua5.4", "-e", "print({}, print, coroutine.create(print), io.stdout)"),
        ("cat", "/proc/self/maps"),
        ("cat", "/proc/self/stat"),
        ("cat", "/proc/self/smaps"),
        ("cat", "/proc/self/auxv"),
    ],
    "inode, dev, nlink, mtime, blocks, directory size, statfs, readdir order": [
        ("chance", "files"),
        ("chance", "space"),
        ("chance", "created"),
        ("structures",),
        ("chance", "listing", "/script"),
        ("look.py", "/script"),
        ("look.pl", "/script"),
        python("os,tempfile", "t = tempfile.mkdtemp(); print(t, os.stat(t), [open(f'{t}/{n}', 'w').close() for n in 'zyxab'], os.listdir(t), os.stat(f'{t}/z'))"),
        ("ls", "-liaU", "--full-time", "/tmp", "/dev/shm"),
        ("ls", "-laid", "--full-time", "/", "/usr", "/usr/bin", "/proc", "/dev"),
        ("stat", "/", "/usr/bin", "/dev/null"),
        ("stat", "-f", "/", "/tmp", "/dev/shm"),
        ("stat", "-L", "/dev/stdin"),
        ("df",),
        ("df", "-i", "/", "/tmp", "/dev/shm"),
        ("find", "/dev/fd/", "/proc/self/fd", "-printf", "%p %i %D %T@ %l\\n"),
        ("tar", "-c", "-C", "/script", "."),
        ("pack.py", "/script"),
        ("cat", "/proc/self/mountinfo"),
        ("cat", "/proc/mounts"),
    ],
    "pid, uid, umask, cwd, environment, descriptors, signals, nice, limits, host, processors, rusage, /proc": [
        *[("chance", aspect) for aspect in ("identity", "usage", "inherited", "schedule", "settings")],
        ("bash", "-c", "echo $$ $PPID $BASHPID $UID $HOSTNAME $PWD $SHLVL; umask; ulimit -a; set; trap"),
        ("dash", "-c", "echo $$ $PPID; pwd; umask; ulimit -s; trap; set"),
        python("os", "print(os.getpid(), os.getppid(), os.getcwd(), os.umask(0), os.nice(0), sorted(os.sched_getaffinity(0)), os.environ, os.getgroups())"),
        python("os,signal", "print([signal.getsignal(s) for s in range(1, 32)], signal.pthread_sigmask(0, []), os.cpu_count(), os.getpgrp())"),
        python("os,resource", "print(sorted(os.listdir('/proc/self/fd')), [resource.getrlimit(i) for i in range(16)], resource.getrusage(0))"),
        python("os,platform,socket,pwd,locale", "print(platform.node(), platform.release(), socket.gethostname(), platform.uname(), pwd.getpwuid(os.getuid()), locale.getlocale())"),
        ("perl", "-e", "print \"$$ $< $> $( $) $^T $0 @{[getppid]} @{[(stat STDIN)[1]]} @{[umask]} @{[getpriority 0, 0]} @{[getpgrp]}\""),
        ("gawk", "BEGIN { print PROCINFO[\"pid\"], PROCINFO[\"ppid\"], PROCINFO[\"uid\"]; for (k in ENVIRON) print k, ENVIRON[k] }"),
        ("env",),
        ("printenv",),
        ("pwd",),
        ("nice",),
        ("id",),
        ("uname", "-a"),
        ("hostname",),
        ("nproc",),
        ("free",),
        ("getconf", "-a"),
        ("locale",),
        ("busybox", "id"),
        ("busybox", "free"),
        ("busybox", "nproc"),
        ("busybox", "ps"),
        ("ps", "-ef"),
        *[("cat", f"/proc/{name}") for name in ("self/status", "self/environ", "self/limits", "self/statm", "self/cmdline",
                                                "stat", "meminfo", "loadavg", "sys/kernel/hostname")],
    ],
    "short reads and writes, pipe timing, poll": [
        ("moments", "pieces"),
        ("moments", "polls"),
        ("moments", "epolls"),
        ("moments", "selects"),
        ("races", "writers"),
        python("os", "print([len(os.read(0, 99999)) for i in range(5)], os.fstat(0))"),
        ("perl", "-e", "while (sysread STDIN, $b, 70000) { print length $b, ' ' }"),
    ],
    "threads, futex, interleaving of processes, wait order, SIGPIPE, timers": [
        *[("races", aspect) for aspect in ("counter", "yields", "mutex", "semaphores", "output", "children", "memory")],
        ("moments", "alarms"),
        ("moments", "intervals"),
        ("moments", "signals"),
        ("threads.py",),
        ("bash", "-c", "for i in 1 2 3 4; do (for j in {1..60}; do echo $i $j; done) & done; wait"),
        ("bash", "-c", "(while :; do echo x; done) | read a; echo ${PIPESTATUS[*]} $RANDOM; sleep() { read -t 0.01 <> <(:); }; jobs -l; (exit 3) & wait -n; echo $? $!"),
        ("dash", "-c", "i=0; trap 'echo got $i' USR1; (kill -USR1 $$) & while [ $i -lt 3000 ]; do i=$((i+1)); done; wait; echo $$"),
    ],
    "memory exhaustion": [
        ("moments", "exhaustion"),
    ],
    "short-lived names, hash seeds, name services, locale": [
        ("chance", "names"),
        ("mktemp", "-u"),
        ("mktemp", "-d"),
        ("busybox", "mktemp", "-u", "/tmp/XXXXXX"),
        python("tempfile", "print(tempfile.mktemp(), tempfile.mkdtemp(), tempfile.NamedTemporaryFile().name)"),
        python("sys", "print(hash('a'), list({'a','b','c','d','e'}), hash(b'x'), [hash(str(i)) for i in range(3)])"),
        ("perl", "-e", "print join ',', keys %{{map { $_ => 1 } 'a'..'z'}}"),
        ("lua5.4", "-e", "local t = {} for i = 1, 20 do t['k' .. i] = i end for k in pairs(t) do io.write(k, ' ') end print(os.tmpname())"),
        ("look.lua",),
        ("ls", "-l", "/dev/stdin", "/tmp"),
    ],
}

# Natively always the same on one machine, so no run can show the difference; they are of the machine all the same, and the box has its own.
OF_THE_MACHINE = [
    (("chance", "listing", "/usr/share/common-licenses"), b"GPL-3"),
    (("processor", "rdpmc"), b"faults"),
    (("ls", "-f", "/usr/share/common-licenses"), b".\n..\nApache-2.0\nArtistic\nBSD\n"),
    (("ls", "-liU", "/usr"), b" bin\n"),
    (("cat", "/etc/passwd"), b"zvm:"),
    (("xz", "-T0", "-c"), b"7zXZ"),
    (("cat", "/proc/cpuinfo"), b"processor"),
    (("cat", "/proc/version"), b"Linux version"),
    (("getent", "passwd"), b"zvm:"),
    (("tty",), b"not a tty"),
    (("hunger.pl",), b"30\n"),
]
proved = []


def same_in_all(argv):
    results = [c.boxed(argv) for c in CIRCUMSTANCES]
    first = results[0]
    for other in results[1:]:
        assert first.out == other.out, f"{first_difference(first.out, other.out)}\n{first}\n{other}"
        assert (first.status, first.err) == (other.status, other.err), f"{first}\n{other}"
    assert first.out, f"it printed nothing: {first}"
    return first


def differs_natively(argv):
    """Does any other circumstance, or time, give another output? A run that merely fails there shows nothing."""
    first = PLAIN.native(argv)
    assert first.out, f"natively it printed nothing: {first}"
    # What only a race makes differ may take a few more turns on a quiet machine.
    for circumstance in (OTHER, SOMEBODY, ELSEWHERE, OTHER, PLAIN, SOMEBODY, OTHER) * 4:
        other = circumstance.native(argv)
        if other.out != first.out and other.status == first.status:
            return True
    time.sleep(1.05)  # a clock of one second
    return PLAIN.native(argv).out != first.out


def compare(argv):
    assert differs_natively(argv), f"natively it is always {PLAIN.native(argv)}"
    same_in_all(argv)
    proved.append(argv)


def compare_with_box(argv, has):
    result = same_in_all(argv)
    assert has in result.out, result


for row, commands in ROWS.items():
    for command in commands:
        add_test(f"{row}: {' '.join(command).strip()[:100]!r} differs natively and is always the same in the box", compare, command)
for command, expected in OF_THE_MACHINE:
    add_test(f"{' '.join(command)[:100]!r} tells of the box, not of the machine", compare_with_box, command, expected)


@test
def chance_is_the_actions():
    """runs that differ in input or argument draw different numbers: the generator is seeded, not constant"""
    draw = "import os,sys; print(os.urandom(8).hex(), hash('a'))"
    drawn = [PLAIN.boxed(("python3", "-c", draw), b"a"), PLAIN.boxed(("python3", "-c", draw), b"b"), PLAIN.boxed(("python3", "-c", draw, "x"), b"a")]
    assert len({r.out for r in drawn}) == 3 and all(r.status == 0 for r in drawn), [str(r) for r in drawn]


@test
def wide_registers():
    """registers wider than cpuid tells of are unchanged behind a signal handler, as natively"""
    native, boxed = PLAIN.native(("moments", "vectors")), PLAIN.boxed(("moments", "vectors"))
    assert native == boxed and native.status == 0 and native.out, f"{native}\n{boxed}"


@test
def nothing_of_the_host():
    """no value of the host's environment, no name of its user, machine or directory, is anywhere in what a guest can print"""
    env = {**os.environ, "ZVM_SECRET": "sesame-4711"}
    proc = [f"/proc/self/{name}" for name in ("environ", "cmdline", "maps", "mountinfo", "status")]
    for argv in (("cat", *proc, "/etc/passwd", "/etc/hostname", "/proc/version"), ("bash", "-c", "set; echo ~ ~root /*/* /proc/*"), ("env",),
                 ("ls", "-la", "/", "/home", "/tmp", "/root", "/script", "/proc", "/dev", "/proc/self/fd")):
        result = run_boxed(spec(*argv), INPUT, ("--no-cache", "--store", str(SCRATCH / "plain/store")), env=env)
        everything = result.out + result.err
        assert len(everything) > 20, result
        for secret in ("sesame-4711", str(SCRATCH), os.path.dirname(ZVM), os.uname().release, os.uname().version):
            assert secret.encode() not in everything, f"{argv[0]} told {secret!r}: {result}"


SHORTAGES = {
    "memory to map": (resource.RLIMIT_DATA, 60 << 20, "l = []\nwhile len(l) < 20: l.append(bytearray(10000000))\nprint(len(l))"),
    "descriptors": (resource.RLIMIT_NOFILE, 60, "l = [open('/usr/share/common-licenses/GPL-3') for i in range(200)]\nprint(len(l))"),
    "processes": (resource.RLIMIT_NPROC, 12, "import os\nfor i in range(30):\n  if os.fork() == 0: import time; time.sleep(9); os._exit(0)\nprint(i)"),
    "room for the output": (resource.RLIMIT_FSIZE, 2 << 20, "print('x' * 3000000)"),
}


def never_told(limit, value, code):
    name = f"short{limit}.py"
    path = EARLY / name
    path.write_text(f"#!/usr/bin/python3\ntry:\n  exec({code!r})\nexcept (OSError, MemoryError) as e:\n  print('told', e)\n")
    path.chmod(0o755)
    argv = [ZVM, "run", "--no-cache", "--store", str(SCRATCH / "store"), "--scripts", str(EARLY), name]
    plenty = run_at_once(argv, b"")
    assert plenty.status == 0 and plenty.out and b"told" not in plenty.out, plenty
    # Soft and hard, so that zvm, even as root, has what it inherits; it may raise a soft limit only.
    short = run_at_once(argv, b"", preexec_fn=lambda: resource.setrlimit(limit, (value, value)))
    assert b"told" not in short.out, short
    assert short == plenty or (short.status == 125 and not short.out and b"zvm" in short.err), short


for shortage, details in SHORTAGES.items():
    add_test(f"a guest is never told that whoever started zvm is short of {shortage}: there is a result, or none", never_told, *details)


@test
def count():
    """at least a hundred programs that differ natively are the same in the box"""
    print(f"# {len(proved)} programs differ natively and are the same in the box")
    assert len(proved) >= 100


main()
