"""Programs and scripts of unusual make or size: how they are linked, named and begun, how much they read and write."""
import errno
import os
import re
import shutil
import struct
import subprocess
import threading
from pathlib import Path

from boxed import BUILD, SCRATCH, Result, add_test, compare, main, run_boxed, run_native, spec, test, write_script
from harness import Skip
from processes import wait_until

TEXT = open("/usr/share/common-licenses/GPL-3", "rb").read()
OPTIONS = ("--no-cache", "--stats", "--scripts", str(SCRATCH))


def compare_program(path, *arguments, data=TEXT):
    native = run_native([str(path), *arguments], data)
    native.err = native.err.replace(str(SCRATCH).encode(), b"/script")
    native.out = native.out.replace(str(SCRATCH).encode(), b"/script")
    compare(native, run_boxed(spec(path.name, *arguments), data, OPTIONS))
    return native


def compare_guest(name):
    shutil.copy(BUILD / "box" / name, SCRATCH)
    assert compare_program(SCRATCH / name).out


@test
def crashes():
    """a crash names the signal, the address, the file and the function: of the program, of a library, also stripped"""
    shutil.copy(BUILD / "box" / "crash", SCRATCH)
    subprocess.run(["strip", "-o", SCRATCH / "stripped", SCRATCH / "crash"], check=True)
    for words, wanted in (("crash", r" at 0x\w+ \(/script/crash\+0x\w+\), address 0x10, in read_what_is_not_there\+0x\w+$"),
                          ("crash x", r" at 0x\w+ \(/lib/x86_64-linux-gnu/libc.so.6\+0x\w+\), address 0x\w+(, in \w+\+0x\w+)?$"),
                          ("stripped", r" at 0x\w+ \(/script/stripped\+0x\w+\), address 0x10$")):
        result = run_boxed(words, b"", OPTIONS[:1] + OPTIONS[2:])
        assert result.status == 128 + 11 and not result.out, result
        (line,) = result.err.decode().splitlines()
        assert re.search("^zvm: killed by SIGSEGV" + wanted, line), line


def compare_linked(how):
    compiled = SCRATCH / "shapes.o"
    if not compiled.exists():
        subprocess.run(["g++", "-O1", "-fPIE", "-c", "-o", compiled, "tests/box/shapes.cc"], check=True)
    subprocess.run(["g++", "-" + how, "-o", SCRATCH / how, compiled, "-pthread"], check=True)
    assert compare_program(SCRATCH / how).status == 3


for linked in ("no-pie", "static", "static-pie"):
    add_test(f"a C++ program with exceptions, streams and threads, linked -{linked}, is as it is natively", compare_linked, linked)
add_test("large thread-local storage, constructors and dlopen are as they are natively", compare_guest, "storage")
add_test("a program that catches its own faults on an alternate stack is as it is natively", compare_guest, "faults")

# Name, text; run with two arguments, one of them with a blank.
BEGINNINGS = [
    ("the last line of which does not end", "open.sh", "#!/bin/sh\necho \"$0 $2\""),
    ("of one line without an end", "only.sh", "#!/bin/sh"),
    ("with blanks around its interpreter", "blanks.py", "#!  /usr/bin/env   python3  \nimport sys; print(sys.argv, __file__)\n"),
    ("whose interpreter gets one argument, blanks and all", "one.sh", "#!/bin/echo a  b\t c \n"),
    ("that env -S splits", "split.pl", "#!/usr/bin/env -S perl -w -n\nprint \"$.: $_\" if /Preamble/ .. /freedom/;\n"),
    ("for awk", "count.awk", "#!/usr/bin/awk -f\n{ n += NF }\nEND { print NR, n }\n"),
    ("for cat", "itself", "#!/bin/cat\nthe script itself\n"),
]
for how, name, text in BEGINNINGS:
    add_test(f"a script {how} is as it is natively", lambda n, t: compare_program(write_script(n, t), "x", "y z"), name, text)


@test
def link_to_script():
    """a script that is a link to another in its directory is that one, under its own name"""
    write_script("named.sh", "#!/bin/sh\necho \"${0##*/}\"\n")
    (SCRATCH / "alias.sh").symlink_to("named.sh")
    assert compare_program(SCRATCH / "alias.sh").out == b"alias.sh\n"


@test
def link_to_host():
    """a link from the scripts directory to a program of the machine runs it"""
    (SCRATCH / "counter").symlink_to("/usr/bin/wc")
    assert compare_program(SCRATCH / "counter", "-c").out == b"%d\n" % len(TEXT)


def refuse(status, name, text, mode=0o755):
    if text is not None:
        path = SCRATCH / name
        path.write_bytes(text)
        path.chmod(mode)
    result = run_boxed(spec(name), b"", ("--no-cache", "--scripts", str(SCRATCH)))
    assert result.status == status and not result.out and name.encode() in result.err, result


def with_interpreter(name):
    """Our cat, with another ELF interpreter: its path is appended, and PT_INTERP points there."""
    program = bytearray(Path("/bin/cat").read_bytes())
    table, = struct.unpack_from("<Q", program, 32)
    count, = struct.unpack_from("<H", program, 56)
    entry = next(at for at in range(table, table + 56 * count, 56) if struct.unpack_from("<I", program, at)[0] == 3)
    struct.pack_into("<Q", program, entry + 8, len(program))
    struct.pack_into("<Q", program, entry + 32, len(name) + 1)
    return bytes(program) + name + b"\0"


# Status, what it is, name, text, mode.
NOT_RUN = [
    (127, "a line end of DOS after its interpreter", "dos.sh", b"#!/bin/sh\r\necho hi\r\n"),
    (126, "neither ELF nor #!", "bare.sh", b"echo hi\n"),
    (126, "no byte", "empty", b""),
    (126, "#! and no more", "marks", b"#!"),
    (126, "an interpreter's name of 400 bytes", "long", b"#!/bin/" + b"x" * 400 + b"\n"),
    (126, "four bytes of ELF", "tiny", b"\x7fELF"),
    (126, "half an ELF file", "half", (BUILD / "box/hello_static").read_bytes()[:20000]),
    (126, "no permission to execute", "mode.sh", b"#!/bin/sh\n", 0o644),
    (127, "an interpreter that is not there", "lost.sh", b"#!/bin/no-such-interpreter\n"),
    (127, "an ELF interpreter that is not there", "lost", with_interpreter(b"/lib64/no-such-interpreter")),
]
for number, what, *file in NOT_RUN:
    add_test(f"a script with {what} is not run: status {number}", refuse, number, *file)


@test
def long_interpreter():
    """a script whose ELF interpreter's name no file can have is to blame for it, not zvm"""
    path = SCRATCH / "longer"
    path.write_bytes(with_interpreter(b"/lib64/" + b"x" * 400))
    path.chmod(0o755)
    result = run_boxed(spec("longer"), b"", OPTIONS)
    assert result.status and b"the interpreter named by /script/longer, cannot be opened" in result.err, result


@test
def outside():
    """a script is found by its name alone: not in a directory, not through a link that leads nowhere or around"""
    (SCRATCH / "below").mkdir()
    write_script("below/deep.sh", "#!/bin/sh\necho deep\n")
    for name, target in (("nowhere", "no/such"), ("round", "around"), ("around", "round")):
        (SCRATCH / name).symlink_to(target)
    assert run_boxed("below%2Fdeep.sh", b"", OPTIONS).status not in (0, 1)
    for name, status in (("below", 126), ("nowhere", 127), ("round", 127), (".", 127), ("..", 127)):
        refuse(status, name, None)


@test
def setuid():
    """a setuid program runs as the box's user, without privilege and without a hint of it"""
    path = SCRATCH / "owner"
    shutil.copy(BUILD / "box/owner", path)
    path.chmod(0o6755)
    result = run_boxed("owner", b"", ("--no-cache", "--scripts", str(SCRATCH)))
    assert result.out == b"1000 1000 1000 1000 1000 0\n%d %d\n" % (errno.EPERM, errno.ENOENT), result


@test
def long_spec():
    """a spec of 255 bytes runs, one of 256 does not"""
    longest = "echo " + "%61" * 83 + "b"
    assert len(longest) == 255
    assert run_boxed(longest, b"").out == b"a" * 83 + b"b\n"
    result = run_boxed(longest + "c", b"")
    assert result.status and not result.out and os.strerror(errno.ENAMETOOLONG).encode() in result.err, result


@test
def large():
    """100 MB go in and come out as they were, in any order"""
    data = bytes(range(251)) * (100_000_000 // 251)
    assert run_boxed("cat", data).out == data
    reverse = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"
    assert run_boxed(spec("python3", "-c", reverse), data).out == data[::-1]


SOMEBODY = 54323  # whose processes nobody else's tests count among their own


def limited(processes, *words):
    """The words of a command that runs `zvm run` as a user who may have so many processes."""
    home = SCRATCH / "somebody"
    home.mkdir(exist_ok=True)
    become = []
    if os.geteuid() == 0:
        os.chown(home, SOMEBODY, SOMEBODY)
        become = ["setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups"]
    return [*become, "prlimit", f"--nproc={processes}", os.environ["ZVM"], "run", "--store", str(home / "store"), "--scripts", str(SCRATCH), *words]


def run_limited(processes, *words):
    return Result(subprocess.run(limited(processes, *words), input=b"", capture_output=True, timeout=60))


@test
def shortage():
    """what the machine cannot give for a moment, a process, makes no result that would be remembered"""
    write_script("forks.py", "#!/usr/bin/python3\nimport os, sys\nr, w = os.pipe()\nfor i in range(40):\n    try:\n        if not os.fork():\n"
                 "            os.read(r, 1)\n            os._exit(0)\n    except OSError as e:\n        sys.exit(print(i, e))\nprint('all')\nos.write(w, b'x' * 40)\n")
    short = run_limited(40, "forks.py")
    assert short.status == 125 and not short.out and b"no box can be made" not in short.err, short
    enough = run_limited(400, "forks.py")
    assert (enough.status, enough.out) == (0, b"all\n"), enough


@test
def no_process_at_all():
    """where the user whom boxes run as may have no more processes, it is said that this is the reason"""
    result = Result(subprocess.run(["prlimit", "--nproc=1", os.environ["ZVM"], "run", "--store", str(SCRATCH / "short"), "true"], input=b"", capture_output=True))
    assert result.status == 125 and not result.out and b"no box can be made here" in result.err and b"RLIMIT_NPROC" in result.err, result


@test
def a_moment_without_processes():
    """a box that cannot be made because of processes that are about to end is made when they have"""
    if os.geteuid() != 0:
        raise Skip("only root can have processes of another user")
    least = next(number for number in range(1, 60) if run_limited(number, "--no-cache", "true").status == 0)
    # With zvm itself, its launcher and the zygote there are as many as there may be, so what fails is the box.
    others = [subprocess.Popen([*limited(least)[:4], "cat"], stdin=subprocess.PIPE) for _ in range(least - 3)]
    wait_until(lambda: all(os.stat(f"/proc/{other.pid}").st_uid == SOMEBODY for other in others), "they do not become somebody")
    end = threading.Timer(0.3, lambda: [other.communicate() for other in others])  # dead, but not buried, they would still count
    end.start()
    result = run_limited(least, "--no-cache", "true")
    end.join()
    assert result.status == 0, result



main()
