"""The same run gives the same bytes, whoever runs it, whenever, wherever.

Each program here prints something that differs natively between two runs: the test first shows that it does, so that it is known to be
able to fail. Then it runs in the box, computed anew each time, under circumstances that differ in all that a process
inherits: time, environment, working directory, umask, niceness, processor, limits, descriptors, signals, user, and a copy of the scripts
directory made in another order at another time. Every run must print the same, and something.
"""
import os
import resource
import shutil
import signal
import subprocess
import time

from boxed import BOX_PATH, BUILD, SCRATCH, ZVM, Result, add_test, first_difference, main, run_boxed, spec, test

INPUT = b"one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n"
NOBODY = 65534


# A host program sees an empty /script, so these list it.
SCRIPTS = {
    "look.py": "#!/usr/bin/python3\nimport os, sys\nprint(os.stat(sys.argv[1]), *[(e.name, e.inode(), e.stat()) for e in os.scandir(sys.argv[1])])\n",
    "look.pl": "#!/usr/bin/perl\nchdir shift; opendir D, '.'; print join(' ', $_, stat), qq{\\n} for readdir D;\n",
}


def make_scripts(name, order, modification):
    """The same files; another inode, time and order."""
    directory = SCRATCH / name
    directory.mkdir()
    for entry in order:
        if entry == "chance":
            shutil.copy(BUILD / "box/chance", directory / entry)
        else:
            (directory / entry).write_text(SCRIPTS.get(entry, f"{entry}\n"))
        (directory / entry).chmod(0o755)
        os.utime(directory / entry, (modification, modification))
    os.utime(directory, (modification, modification))
    return directory


def usual():
    pass


def unusual():
    os.chdir("/")
    os.umask(0o077)
    os.nice(5)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, 600))
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGALRM})
    for number in (7, 20, 40):
        os.dup2(2, number)


def somebody_else():
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    os.umask(0o027)


class Circumstance:
    def __init__(self, name, scripts, prepare, env):
        self.scripts, self.prepare = scripts, prepare
        self.directory = SCRATCH / name
        self.directory.mkdir()
        self.env = {"PATH": BOX_PATH, **env}
        if prepare is somebody_else:
            os.chown(self.directory, NOBODY, NOBODY)

    def options(self):
        return {"env": self.env, "cwd": self.directory, "preexec_fn": self.prepare, "close_fds": False}

    def native(self, argv):
        # Named without a slash it is a program; else one of the scripts.
        program = str(self.scripts / argv[0]) if (self.scripts / argv[0]).exists() else shutil.which(argv[0], path=BOX_PATH)
        assert program, f"{argv[0]} is not installed"
        words = [str(self.scripts) if w == "/script" else w for w in argv[1:]]
        return Result(subprocess.run([argv[0], *words], executable=program, input=INPUT, capture_output=True, timeout=60, check=False, **self.options()))

    def boxed(self, argv, data=INPUT):
        store = ("--no-cache", "--store", str(self.directory / "store"), "--scripts", str(self.scripts))
        return run_boxed(spec(*argv), data, store, **self.options())


FILES = ["chance", "alpha", "beta", "gamma", "look.py", "look.pl"]
EARLY = make_scripts("scripts-a", FILES, 1_000_000_000)
LATE = make_scripts("scripts-b", list(reversed(FILES)), 1_500_000_000.25)
CIRCUMSTANCES = [
    Circumstance("plain", EARLY, usual, {"HOME": "/root", "LANG": "C"}),
    Circumstance("other-directory-with-a-longer-name", LATE, unusual,
                 {"HOME": "/", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo", "PADDING": "x" * 30000, "LD_LIBRARY_PATH": "/nowhere", "PYTHONHASHSEED": "5",
                  "RANDOM": "4", "MALLOC_ARENA_MAX": "1", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}),
]
if os.geteuid() == 0:
    CIRCUMSTANCES.append(Circumstance("nobody", LATE, somebody_else, {"USER": "nobody", "HOME": "/nonexistent"}))

PYTHON = "import os,sys,time,uuid,random,secrets,tempfile,threading,platform,hashlib,socket,stat;"
COMMANDS = [
    # the program in C, aspect by aspect
    *[("chance", aspect) for aspect in ("clocks", "counter", "vsyscall", "chance", "addresses", "identity", "usage", "inherited", "names", "leftovers")],
    # clock
    ("date", "+%s %N %F %T %Z"),
    ("bash", "-c", "echo $EPOCHREALTIME $SECONDS; printf '%(%c)T\\n' -1; TIMEFORMAT=%3R; time :"),
    ("python3", "-c", "import time; print(time.time(), time.perf_counter_ns(), time.monotonic(), time.process_time(), time.ctime())"),
    ("python3", "-c", "import datetime as d; print(d.datetime.now(), d.datetime.now().astimezone().tzname())"),
    ("perl", "-MTime::HiRes=time,clock", "-e", "print time, ' ', scalar localtime, ' ', clock"),
    ("gawk", "BEGIN { srand(); print systime(), srand(), rand(), strftime() }"),
    ("sqlite3", ":memory:", "select datetime('now'), strftime('%f','now'), random(), hex(randomblob(16))"),
    ("jq", "-n", "now, $ENV, input_line_number"),
    ("cat", "/proc/uptime"),
    ("stat", "-c", "%x %y %z %w", "/dev/stdin", "/proc/self/"),
    # chance
    ("bash", "-c", "echo $RANDOM $RANDOM $SRANDOM"),
    ("python3", "-c", PYTHON + "print(os.urandom(8), secrets.token_hex(), random.random(), uuid.uuid4(), uuid.uuid1())"),
    ("python3", "-c", "print(hash('a'), list({'a','b','c','d','e'}), hash(b'x'), [hash(str(i)) for i in range(3)])"),
    ("perl", "-e", "print rand, ' ', join ',', keys %{{map { $_ => 1 } 'a'..'z'}}"),
    ("lua5.4", "-e", "print(math.random(), math.random(1 << 60), os.time(), os.clock(), {}, print, os.tmpname())"),
    ("shuf", "-"),
    ("sort", "-R"),
    ("openssl", "rand", "-hex", "24"),
    ("od", "-An", "-tx1", "-N16", "/dev/urandom"),
    ("mktemp", "-u"),
    ("busybox", "mktemp", "-u", "/tmp/XXXXXX"),
    ("mawk", "BEGIN { print rand(), srand() }"),
    # addresses
    ("python3", "-c", "print(id(object()), object(), print, type, (lambda: 0), id([]) - id({}))"),
    ("perl", "-e", "print \\1, sub {}, {}, []"),
    ("cat", "/proc/self/maps"),
    ("cat", "/proc/self/stat"),
    # identity and what is inherited
    ("bash", "-c", "echo $$ $PPID $BASHPID $UID $HOSTNAME $PWD $SHLVL; umask; ulimit -a; set"),
    ("dash", "-c", "echo $$ $PPID; pwd; umask; ulimit -s; trap; set"),
    ("python3", "-c", PYTHON + "print(os.getpid(), os.getppid(), os.getcwd(), os.umask(0), os.nice(0), sorted(os.sched_getaffinity(0)), os.environ)"),
    ("python3", "-c", "import signal; print([signal.getsignal(s) for s in range(1, 32)], signal.pthread_sigmask(0, []))"),
    ("python3", "-c", "import os,resource; print(sorted(os.listdir('/proc/self/fd')), [resource.getrlimit(i) for i in range(16)])"),
    ("env",),
    ("pwd",),
    ("nice",),
    ("cat", "/proc/self/status"),
    ("cat", "/proc/self/environ"),
    ("cat", "/proc/self/limits"),
    ("perl", "-e", "print \"$$ $< $> $^T $0 @{[getppid]} @{[(stat STDIN)[1]]} @{[umask]}\""),
    # inode numbers, times and order of a directory that was copied
    ("chance", "listing", "/script"),
    ("look.py", "/script"),
    ("look.pl", "/script"),
]

# Natively these are the same from one run to the next on one machine; they are still of the machine, and the box has its own.
OF_THE_MACHINE = [
    (("chance", "files"), b"946684800"),
    (("chance", "listing", "/usr/share/common-licenses"), b"GPL-3"),
    (("chance", "sleeping"), b"21001000\n"),
    (("uname", "-a"), b"Linux zvm "),
    (("hostname",), b"zvm\n"),
    (("id",), b"uid=1000(zvm) gid=1000(zvm)"),
    (("nproc",), b"1\n"),
    (("python3", "-c", "import os, platform; print(platform.node(), os.cpu_count(), os.getlogin.__name__)"), b"zvm 1 "),
    (("ls", "-liU", "/usr"), b" bin\n"),
    (("ls", "-f", "/usr/share/common-licenses"), b".\n..\nApache-2.0\nArtistic\nBSD\n"),
    (("tty",), b"not a tty\n"),
    (("cat", "/etc/passwd"), b"zvm:"),
    (("cat", "/proc/sys/kernel/random/boot_id"), b"-"),
]


def same_in_all(argv):
    results = [c.boxed(argv) for c in CIRCUMSTANCES] + [CIRCUMSTANCES[0].boxed(argv)]
    first = results[0]
    for other in results[1:]:
        assert first.out == other.out, f"{first_difference(first.out, other.out)}\n{first}\n{other}"
        assert (first.status, first.err) == (other.status, other.err), f"{first}\n{other}"
    assert first.out, f"it printed nothing: {first}"
    return first


def differs_natively(argv):
    outputs = {CIRCUMSTANCES[i % 2].native(argv).out for i in range(2)}
    if len(outputs) == 1:  # a clock of one second may need another
        time.sleep(1.05)
        outputs.add(CIRCUMSTANCES[0].native(argv).out)
    return len(outputs) > 1


def compare(argv):
    assert differs_natively(argv), f"natively it is always {CIRCUMSTANCES[0].native(argv)}"
    same_in_all(argv)


def compare_with_box(argv, has):
    result = same_in_all(argv)
    assert has in result.out, result


for command in COMMANDS:
    add_test(f"{' '.join(command)[:100]!r} differs natively and is always the same in the box", compare, command)
for command, expected in OF_THE_MACHINE:
    add_test(f"{' '.join(command)[:100]!r} tells of the box, not of the machine", compare_with_box, command, expected)


@test
def chance_is_the_actions():
    """runs that differ in input or argument draw different numbers: the generator is seeded, not constant"""
    c = CIRCUMSTANCES[0]
    draw = "import os,sys; print(os.urandom(8).hex(), hash('a'))"
    drawn = [c.boxed(("python3", "-c", draw), b"a"), c.boxed(("python3", "-c", draw), b"b"), c.boxed(("python3", "-c", draw, "x"), b"a")]
    assert len({r.out for r in drawn}) == 3 and all(r.status == 0 for r in drawn), [str(r) for r in drawn]


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


main()
