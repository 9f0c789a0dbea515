"""A mount and zvm run are two ways to the same box: what a program prints depends on neither, nor on how the daemon was started."""
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import ZVM, Mount, main, need_fuse, test  # noqa: E402

BUILD = Path(os.environ.get("ZVM_BUILD", "build")).resolve()
INPUT = b"one\ntwo\nthree\n" * 500
SPECS = ["chance clocks", "chance vector", "chance inherited", "chance settings", "chance usage", "chance created", "races writers", "races yields",
         "moments signals", "moments exhaustion", "first", "structures", "sort -R | shuf -", "python3 -c import%20os;print(os.urandom(9),os.environ,id(os))",
         "bash -c echo%20$RANDOM%20$$;ulimit%20-a;set"]


def in_the_box(m, spec):
    argv = [ZVM, "run", "--no-cache", "--store", str(m.root / "other-store"), "--scripts", str(m.scripts), spec]
    result = subprocess.run(argv, input=INPUT, capture_output=True, check=False, timeout=60)
    assert result.returncode == 0 and result.stdout, result
    return result.stdout


def fill(m):
    m.put("x", INPUT)
    for guest in ("chance", "races", "moments", "first", "structures"):
        shutil.copy(BUILD / "box" / guest, m.scripts / guest)


@test
def same_as_run():
    """fifteen programs full of chance print through a mount what they print under zvm run"""
    with Mount() as m:
        fill(m)
        for spec in SPECS:
            through, direct = m.read(f"run/{spec}/x"), in_the_box(m, spec)
            assert through == direct, f"{spec}: {through[:300]!r}\n{direct[:300]!r}"


def strangely():
    os.umask(0o077)
    os.nice(3)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGUSR2})
    os.dup2(2, 30)


@test
def strange_daemon():
    """a daemon started in a strange environment, with a mask, blocked signals and open descriptors, gives the same as well"""
    need_fuse()
    m = Mount()
    argv = [ZVM, "mount", "--store", str(m.store), "--inputs", str(m.inputs), "--scripts", str(m.scripts), str(m.at)]
    env = {"PATH": os.environ["PATH"], "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Tokyo", "LD_BIND_NOW": "1", "MALLOC_PERTURB_": "7"}
    result = subprocess.run(argv, env=env, cwd="/", preexec_fn=strangely, close_fds=False, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert result.returncode == 0, result
    try:
        fill(m)
        for spec in SPECS[:8]:
            assert m.read(f"run/{spec}/x") == in_the_box(m, spec), spec
    finally:
        m.__exit__()


main()
