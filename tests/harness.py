"""What mount and box tests share: a mount of one's own that always goes away, and speaking TAP."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from processes import stat_of, wait_until

ZVM = os.environ.get("ZVM", str(Path(__file__).resolve().parent.parent / "build" / "zvm"))
TESTS = []


def test(function):
    """The function's docstring is the sentence it proves."""
    TESTS.append(function)
    return function


class Skip(Exception):
    pass


class Further(Skip):
    """What is tried where somebody has it, and contrib/install-deps does not bring: no failure anywhere."""


def main():
    failed = 0
    for number, function in enumerate(TESTS, 1):
        sentence = " ".join(function.__doc__.split())
        try:
            function()
            print(f"ok {number} - {sentence}", flush=True)
        except Skip as reason:
            if os.environ.get("ZVM_MUST_MOUNT") == "1" and not isinstance(reason, Further):
                failed += 1
                print(f"not ok {number} - {sentence}\n# {reason}, and ZVM_MUST_MOUNT is set", flush=True)
            else:
                print(f"ok {number} - {sentence} # SKIP {reason}", flush=True)
        except BaseException:
            failed += 1
            print(f"not ok {number} - {sentence}", flush=True)
            print("\n".join("# " + line for line in traceback.format_exc().splitlines()), flush=True)
    print(f"1..{len(TESTS)}")
    sys.exit(1 if failed else 0)


def need_fuse():
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise Skip("there is no /dev/fuse here")


def zvm(*arguments, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    if "input" in options:
        del options["stdin"]
    return subprocess.run([ZVM, *arguments], capture_output=True, timeout=options.pop("timeout", 60), **options)


class Mount:
    """with Mount() as m: m.script("up.sh", "..."); m.put("a", b"..."); m.read("run/up.sh/a")"""

    def __init__(self, *options, scripts=True):
        need_fuse()
        self.root = Path(tempfile.mkdtemp(prefix="zvm-test-"))
        self.options = list(options)
        self.at, self.inputs, self.scripts, self.store = (self.root / n for n in ("mnt", "inputs", "scripts", "store"))
        for directory in (self.at, self.inputs, self.scripts):
            directory.mkdir()

    def mount(self):
        result = zvm("mount", *self.options, "--store", str(self.store), "--inputs", str(self.inputs), "--scripts",
                     str(self.scripts), str(self.at))
        assert result.returncode == 0, result
        return self

    def daemon(self):
        """Of the processes with its command line the one that no other has started; which is oldest, the clock is too coarse to say."""
        found = subprocess.run(["pgrep", "-f", re.escape(f"--store {self.store} ")], capture_output=True, text=True, check=True)
        pids = set(map(int, found.stdout.split()))
        return next(pid for pid in pids if int(stat_of(pid)[1]) not in pids)

    def is_mounted(self):
        """Also when its daemon is dead, where os.path.ismount says no."""
        return any(line.split()[4] == str(self.at) for line in Path("/proc/self/mountinfo").read_text().splitlines())

    def unmount(self):
        """The last readers may need a moment to be gone; a umount that goes on failing is a failure."""
        for _ in range(100):
            if not self.is_mounted():
                return
            last = zvm("umount", str(self.at))
            if last.returncode == 0:
                return
            time.sleep(0.05)
        subprocess.run(["umount", "-l", str(self.at)])
        raise AssertionError(f"it could not be unmounted: {last}")

    def __enter__(self):
        return self.mount()

    def __exit__(self, *_):
        try:
            self.unmount()
        finally:
            shutil.rmtree(self.root, ignore_errors=True)

    def script(self, name, text, mode=0o755):
        path = self.scripts / name
        path.write_text(text) if isinstance(text, str) else path.write_bytes(text)
        path.chmod(mode)
        return path

    def put(self, name, data=b"hello\n"):
        path = self.inputs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def path(self, name):
        return str(self.at / name)

    def read(self, name):
        with open(self.path(name), "rb", buffering=0) as file:
            parts = []
            while part := file.read(1 << 16):
                parts.append(part)
            return b"".join(parts)

    def error(self, name):
        """The errno of reading it, and what came before."""
        got = b""
        try:
            fd = os.open(self.path(name), os.O_RDONLY)
        except OSError as error:
            return error.errno, got
        try:
            while part := os.read(fd, 1 << 16):
                got += part
            return 0, got
        except OSError as error:
            return error.errno, got
        finally:
            os.close(fd)

    def stats(self):
        return {m[1]: int(m[2]) for m in re.finditer(r"^(\w+) (\d+)$", self.read("stats").decode(), re.M)}

    def runs(self):
        return self.stats()["zvm_box_runs_total"]

    def settle(self):
        """Readers are answered before their run is saved: for who looks into the store."""
        wait_until(lambda: self.stats()["zvm_runs_unsaved"] == 0, "a run is never saved")
