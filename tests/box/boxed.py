"""What the box tests share: running the same program natively and in the box."""
import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import ZVM, main, test  # noqa: E402,F401

BUILD = Path(os.environ.get("ZVM_BUILD", Path(__file__).resolve().parents[2] / "build")).resolve()

# What the box tells its guests, as far as native programs heed it; so the two can be compared.
BOX_PATH = "/usr/local/bin:/usr/bin:/bin"
BOX_LIKE = {"PATH": BOX_PATH, "LANG": "C.UTF-8", "TZ": "UTC", "HOME": "/nonexistent"}

# All that a test makes lies here, and the store with it.
SCRATCH = Path(tempfile.mkdtemp(prefix="zvm-box-"))
SCRATCH.chmod(0o755)
STORE = str(SCRATCH / "store")
OPTIONS = os.environ.get("ZVM_RUN_OPTIONS", "").split()
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)


def add_test(sentence, function, *arguments):
    """A test for each row of a table."""

    def run():
        function(*arguments)

    run.__doc__ = sentence
    test(run)


def word(text):
    """A word of a spec: what would be taken for something else becomes %XX."""
    data = text.encode() if isinstance(text, str) else text
    return "".join(chr(b) if b > 0x20 and b < 0x7F and chr(b) not in "%/|" else f"%{b:02X}" for b in data)


def spec(*words):
    return " ".join(word(w) for w in words)


class Result:
    """How a program ended: what it wrote, and its exit status as a shell would tell it."""

    def __init__(self, process):
        self.out, self.err = process.stdout, process.stderr
        self.status = process.returncode if process.returncode >= 0 else 128 - process.returncode

    def __eq__(self, other):
        return (self.out, self.status) == (other.out, other.status)

    def __str__(self):
        return f"status {self.status}, {len(self.out)} bytes: {self.out[-300:]!r}\nstandard error: {self.err[-300:]!r}"


def program_path(name):
    return shutil.which(name, path=BOX_PATH)


def run_native(argv, data=b"", env=None, **options):
    """A program named without a slash is found, and named to itself, as the box does it."""
    if "/" not in argv[0]:
        options["executable"] = program_path(argv[0])
        assert options["executable"], f"{argv[0]} is not installed, so it cannot be compared"
    return Result(subprocess.run(argv, input=data, capture_output=True, env=BOX_LIKE if env is None else env, timeout=120, check=False, **options))


def run_boxed(spec_text, data=b"", arguments=("--no-cache",), env=None, **options):
    """`zvm run`, computed and not remembered unless the arguments say otherwise."""
    argv = [ZVM, "run", *OPTIONS, "--store", STORE, *arguments, spec_text]
    return Result(subprocess.run(argv, input=data, capture_output=True, env=env, timeout=120, check=False, **options))


def write_script(name, text):
    path = SCRATCH / name
    path.write_text(text)
    path.chmod(0o755)
    return path


def first_difference(a, b):
    for at, (x, y) in enumerate(zip(a, b)):
        if x != y:
            return f"they differ at byte {at}: {a[max(0, at - 40) : at + 40]!r} against {b[max(0, at - 40) : at + 40]!r}"
    return f"one is a beginning of the other: {len(a)} against {len(b)} bytes"


def without_stats(result):
    """The guest's standard error, and what stats say of how often a box ran."""
    at = result.err.find(b"# HELP zvm_box_runs_total")
    runs = [line.split()[1] for line in result.err[at:].splitlines() if line.startswith(b"zvm_box_runs_total ")]
    result.err = result.err[:at]
    return runs


def compare(native, boxed, runs=1):
    """Both gave the same, and the boxed one, run with --stats, by running that many boxes."""
    counted = without_stats(boxed)
    assert native.out == boxed.out, f"{first_difference(native.out, boxed.out)}\nnative: {native}\nboxed: {boxed}"
    assert native.status == boxed.status, f"native: {native}\nboxed: {boxed}"
    assert native.err == boxed.err, f"native: {native}\nboxed: {boxed}"
    assert counted == [str(runs).encode()], f"a box ran {counted} times"
