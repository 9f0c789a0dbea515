"""zvm run --verify runs a program several times under different circumstances and compares all that can be seen of it.

That it finds a difference is shown by making one from outside: a file beside the script that is written anew, with another number in
it, all the while. Every run reads another number, so every run is different, though each for itself is a perfectly good run.
"""
import contextlib
import os
import re
import subprocess
import threading
import time

from boxed import SCRATCH, STORE, ZVM, Result, main, run_boxed, run_native, spec, test, write_script
from processes import adopt_orphans, survivors

WORDS = b"the cat\nthe dog\na bird\n" * 50
SCRIPTS = SCRATCH / "scripts"
SCRIPTS.mkdir()

adopt_orphans()


def verify(spec_text, data=b"", runs=3, **options):
    argv = [ZVM, "run", "--verify", str(runs), "--store", STORE, "--scripts", str(SCRIPTS), spec_text]
    return Result(subprocess.run(argv, input=data, capture_output=True, timeout=120, check=False, **options))


@contextlib.contextmanager
def restless():
    """The file /script/number as the guest sees it, and another one each time somebody looks."""
    stop = threading.Event()

    def write():
        number = 100
        while not stop.is_set():
            number += 1
            (SCRIPTS / "next").write_text("x" * number)
            (SCRIPTS / "next").rename(SCRIPTS / "number")
            time.sleep(0.001)

    (SCRIPTS / "number").write_text("x")
    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def script(name, text):
    return write_script(f"scripts/{name}", text).name


def differs(name, *arguments, data=b""):
    """Runs it beside the restless file: the report, once it is known that nothing else was printed."""
    with restless():
        result = verify(spec(name, *arguments), data)
    assert result.status == 125, result
    assert result.out == b"", f"a result that is not sure was printed: {result}"
    return result.err.decode()


READ = "import sys, os; n = len(open('/script/number').read())"


@test
def agreement():
    """a program whose runs agree is printed once, with its own exit status"""
    result = verify("sort | uniq -c", WORDS, 5)
    native = run_native(["sh", "-c", "sort | uniq -c"], WORDS)
    assert result == native and result.err == b"", result


@test
def chance_agrees():
    """programs full of chance, time, threads and processes agree with themselves"""
    for argv in (["python3", "-c", "import os,random,time; print(os.urandom(9), random.random(), time.time(), id([]), os.getpid(), os.environ, os.umask(0))"],
                 ["bash", "-c", "for i in 1 2 3; do echo $RANDOM $$ & done; wait; umask; ulimit -a; pwd"], ["sort", "-R"]):
        result = verify(spec(*argv), WORDS, 4)
        assert result.status == 0 and result.out and not result.err, result


@test
def status_and_error_of_agreeing_runs():
    """standard error is printed once as well, and exit status and signal are the guest's"""
    name = script("fails.py", "#!/usr/bin/python3\nimport sys\nprint('some'); sys.stderr.write('trouble\\n'); sys.exit(7)\n")
    result = verify(name)
    assert (result.out, result.err, result.status) == (b"some\n", b"trouble\n", 7), result
    result = verify(spec("bash", "-c", "echo before; kill -SEGV $$"))
    assert (result.out, result.status) == (b"before\n", 128 + 11), result


@test
def ways_to_give_the_input():
    """the input may be a file, a pipe, or closed, and the script a path, as for zvm run"""
    path = SCRATCH / "input"
    path.write_bytes(WORDS)
    with open(path, "rb") as file:
        argv = [ZVM, "run", "--verify", "3", "--store", STORE, "wc -c"]
        assert Result(subprocess.run(argv, stdin=file, capture_output=True, check=False)).out == b"%d\n" % len(WORDS)
    assert verify("wc -c", WORDS).out == b"%d\n" % len(WORDS)
    result = Result(subprocess.run(["sh", "-c", 'exec "$0" run --verify 3 --store "$1" "wc -c" <&-', ZVM, STORE], capture_output=True, check=False))
    assert (result.out, result.status) == (b"0\n", 0), result
    text = "#!/bin/dash\ncat $0; echo $0\n"
    script("here.sh", text)
    result = Result(subprocess.run([ZVM, "run", "--verify", "3", "--store", "store", "scripts/here.sh"], cwd=SCRATCH, stdin=subprocess.DEVNULL,
                                   capture_output=True, check=False))
    assert (result.out, result.status) == (f"{text}/script/here.sh\n".encode(), 0), result


@test
def nothing_to_run():
    """what cannot be run is told as zvm run tells it"""
    assert verify("no-such-script").status == 127
    plain = SCRIPTS / "plain"
    plain.write_text("hello\n")
    plain.chmod(0o755)
    assert verify("plain").status == 126


@test
def bad_numbers():
    """a number of runs that compares nothing, or that is none, is refused"""
    for runs in ("1", "0", "-3", "two", "", "3x", "1001"):
        result = verify("true", runs=runs)
        assert result.status == 125 and b"--verify takes a number" in result.err, result
    assert run_boxed("true", arguments=("--verify", "2", "--stats")).status == 125


@test
def different_output():
    """another byte of standard output is found, with its place and what stands there"""
    report = differs(script("prints.py", f"#!/usr/bin/python3\n{READ}; print('same beginning', n)\n"))
    assert re.search(r"run 2 differs from run 1 in standard output, at byte 1[567]:\n    run 1: \"same beginning \d+\\n\"\n    run 2: \"same", report), report


@test
def different_error():
    """standard error counts as well"""
    report = differs(script("complains.py", f"#!/usr/bin/python3\n{READ}; sys.stderr.write(str(n)); print('same')\n"))
    assert "differs from run 1 in standard error, at byte" in report and "standard output" not in report, report


@test
def different_status():
    """so does the exit status"""
    report = differs(script("leaves.py", f"#!/usr/bin/python3\n{READ}; sys.exit(n % 120 + 1)\n"))
    assert "in exit status: " in report and "standard" not in report, report


@test
def different_calls():
    """and so does what no output shows: the first system call with another argument or answer is named"""
    report = differs(script("silent.py", f"#!/usr/bin/python3\n{READ}; print('same')\n"))
    found = re.search(r"differs from run 1 in system call (\d+) of stage 1:\n    run 1: (.*)\n    run 2: (.*)\n", report)
    assert found and found[2] != found[3] and int(found[1]) > 50, report
    assert "standard" not in report and "exit status" not in report, report


@test
def different_stage():
    """in a pipeline the stage is told, also when the last one hides the difference"""
    name = script("prints.py", f"#!/usr/bin/python3\n{READ}; print('same beginning', n)\n")
    with restless():
        result = verify(f"cat | {name} | wc -l", WORDS)
    assert result.status == 125 and b" of stage 2:\n" in result.err and b"standard output" not in result.err, result


@test
def quiet_again():
    """the same script agrees with itself once its file stands still"""
    name = script("prints.py", f"#!/usr/bin/python3\n{READ}; print('same beginning', n)\n")
    (SCRIPTS / "number").write_text("x" * 50)
    result = verify(name)
    assert (result.out, result.err, result.status) == (b"same beginning 50\n", b"", 0), result


@test
def ended_by_the_clock():
    """a run that its time limit ended is compared with nothing, and one that only exits like it is"""
    result = verify(script("endless.py", "#!/usr/bin/python3\n# zvm: timeout=1\nwhile True: pass\n"))
    assert result.status == 124 and b"run 1 was ended by its time limit" in result.err and not result.out, result
    result = verify(spec("bash", "-c", "echo x; exit 124"))
    assert (result.out, result.err, result.status) == (b"x\n", b"", 124), result


@test
def nothing_is_left():
    """a verification leaves no process, and nothing in the store's tmp"""
    result = verify("sort", WORDS)
    assert result.status == 0, result
    assert os.listdir(f"{STORE}/tmp") == [], os.listdir(f"{STORE}/tmp")
    assert not (left := survivors()), left


@test
def traces():
    """zvm run --trace writes a line for each system call and one for the end of each stage, the same ones every time"""
    texts = []
    for number in range(2):
        path = SCRATCH / f"trace{number}"
        result = run_boxed("head -n 1 | cat", b"one\ntwo\n", ("--trace", str(path)))
        assert result.out == b"one\n", result
        texts.append(path.read_text())
    assert texts[0] == texts[1]
    lines = texts[0].splitlines()
    assert [line.split(",")[0] for line in lines if line.startswith("== ")] == ["== head: exit status 0", "== cat: exit status 0"]
    assert any(re.fullmatch(r"1 \d+\.\d{6} read\(0x0, .*\) = 0x8", line) for line in lines), lines
    assert len(lines) > 40 and all(line.startswith(("== ", "1 ")) for line in lines)


@test
def pools():
    """a box made for the run and one that has waited give the same"""
    results = [run_boxed("sort -R | cat | cat", WORDS, ("--no-cache", "--pool", str(n))) for n in (0, 1, 2, 5)]
    assert all(r.status == 0 and r.out == results[0].out for r in results) and len(results[0].out) == len(WORDS), [str(r) for r in results]
    for bad in ("-1", "17", "x", ""):
        assert run_boxed("true", arguments=("--pool", bad)).status == 125


main()
