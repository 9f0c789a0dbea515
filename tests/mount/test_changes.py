"""What changed, and must it be computed again? A table of changes, each through a real mount, with its bytes and its number of runs."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from changes import AGAIN, CAT, EITHER, KEPT, LIBRARY, OFTEN, ROWS, SETTLE_S, TOOL, times_of  # noqa: E402
from harness import Mount, Skip, main, test  # noqa: E402
from processes import is_alive  # noqa: E402


def is_nobodys(path):
    """Ours, or of a test that was killed and could not remove it."""
    number = re.match(r"zvm-test-(\d+)", path.name)
    return number and (int(number[1]) == os.getpid() or not is_alive(int(number[1])))


def clean_machine():
    for parent in (TOOL.parent, LIBRARY.parent, Path("/dev/shm")):
        for path in filter(is_nobodys, parent.glob("zvm-test-*")):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


class Table(Mount):
    """A mount with every row prepared. What the rows find wrong is collected: one fault must not hide another."""

    def __init__(self):
        super().__init__()
        self.faults, self.undos = [], {}

    def __enter__(self):
        if os.geteuid() != 0 or not os.access(TOOL.parent, os.W_OK) or not os.access(LIBRARY.parent, os.W_OK):
            raise Skip("only root can change programs of the machine")
        clean_machine()
        for r in ROWS:
            r.prepare(self)
            if r.own:
                self.options += ["--scripts", str(r.scripts)]
        return super().__enter__()

    def __exit__(self, *arguments):
        for undo in self.undos.values():
            if callable(undo):
                undo()
        clean_machine()
        super().__exit__(*arguments)

    def expect(self, r, when, wanted, expected):
        got, runs = r.read()
        right = {AGAIN: runs == 1, KEPT: runs == 0, EITHER: True}[expected]
        if got != wanted:
            self.faults.append(f"{r.what}: {when} it gave {got!r}, not {wanted!r}")
        if not right:
            self.faults.append(f"{r.what}: {when} it took {runs} runs, and should be {expected}")

    def change(self, r):
        try:
            self.undos[r] = r.change(r)
        except Skip as reason:
            print(f"# {r.what}: left out, as {reason}")
            self.undos[r] = Skip

    def undo(self, r):
        undo = self.undos.pop(r, None)
        if callable(undo):
            undo()
            return True
        return undo is None and False

    def rows(self):
        return [r for r in ROWS if self.undos.get(r) is not Skip]

    def report(self):
        assert not self.faults, "\n".join([f"{len(self.faults)} faults", *self.faults])


@test
def table_size():
    """the table has at least forty rows that must be computed again and twenty that must not"""
    count = {kind: sum(r.expected == kind for r in ROWS) for kind in (AGAIN, KEPT)}
    assert count[AGAIN] >= 40 and count[KEPT] >= 20, count


@test
def at_once():
    """each change right after the first read: what must be is computed again, what need not is not, and the change undone is the old result without a run"""
    with Table() as m:
        for r in ROWS:
            m.expect(r, "at first", r.before, AGAIN)
            m.expect(r, "read twice", r.before, KEPT)
            m.change(r)
            if m.undos[r] is Skip:
                continue
            m.expect(r, "changed", r.after, r.expected)
            m.expect(r, "changed and read twice", r.after, KEPT)
            if m.undo(r):
                m.expect(r, "undone", r.before, KEPT)
        m.report()


@test
def when_all_is_settled():
    """the same with files old enough for every shortcut: before the change, after it, undone, after a remount, and after the daemon was killed"""
    with Table() as m:
        time.sleep(SETTLE_S)
        for r in ROWS:
            m.expect(r, "at first", r.before, AGAIN)
        for r in ROWS * OFTEN:
            m.expect(r, "read again", r.before, KEPT)
        for r in ROWS:
            m.change(r)
        for r in m.rows():
            m.expect(r, "changed", r.after, r.expected)
        time.sleep(SETTLE_S)
        for r in m.rows() * OFTEN:
            m.expect(r, "changed and settled", r.after, KEPT)
        m.unmount()
        m.mount()
        for r in m.rows() * OFTEN:
            m.expect(r, "changed and remounted", r.after, KEPT)
        undone = [r for r in m.rows() if m.undo(r)]
        for r in undone:
            m.expect(r, "undone", r.before, KEPT)
        os.kill(m.daemon(), signal.SIGKILL)
        subprocess.run(["umount", "-l", str(m.at)], check=True)
        m.mount()
        for r in undone:
            m.expect(r, "undone and the daemon killed", r.before, KEPT)
        m.report()


def deploy(m, word):
    """The scripts directory becomes another one, of another content."""
    new, old = m.root / "new", m.root / f"old-{word}"
    new.mkdir()
    shutil.copy(m.scripts / "reads.pl", new)
    (new / "helper").write_text(f"{word}\n")
    m.scripts.rename(old)
    new.rename(m.scripts)


@test
def a_whole_scripts_directory():
    """a scripts directory that is renamed away, another in its place: scripts and what lies beside them are the new one's, at the next open; the old one's count no more"""
    with Mount() as m:
        m.script("reads.pl", CAT.replace("@", "/script"))
        m.script("helper", "one\n", 0o644)
        m.put("x", b"input\n")
        runs = 0
        for word, after in (("one", "two"), ("two", "three")):
            for _ in range(OFTEN):
                assert m.read("run/reads.pl/x") == f"input\n{word}\n".encode()
            runs += 1
            deploy(m, after)
            assert m.read("run/reads.pl/x") == f"input\n{after}\n".encode()
            time.sleep(SETTLE_S)
            for _ in range(OFTEN):
                assert m.read("run/reads.pl/x") == f"input\n{after}\n".encode()
            (m.root / f"old-{after}" / "helper").write_text("no longer\n")
            assert m.read("run/reads.pl/x") == f"input\n{after}\n".encode()
            assert m.runs() == runs + 1, m.runs()
        (m.scripts / "reads.pl").unlink()
        assert m.error("run/reads.pl/x")[0] == errno.ENOENT


@test
def within_one_tick():
    """a helper, a script and an input rewritten to the same size within the same tick of the clock, the times set back, also while they are read: never the bytes of before, in fifty rounds"""
    with Mount() as m:
        script = m.script("reads.sh", CAT.replace('@', '/script') + '; print "00\n"\n')
        helper, file = m.script("helper", "00\n", 0o644), m.put("x", b"00\n")
        text = script.read_bytes()

        def rewrite_all(digits):
            for path, data in ((helper, digits), (file, digits), (script, text.replace(b"00\n", digits))):
                times = times_of(path)
                fd = os.open(path, os.O_WRONLY)
                os.pwrite(fd, data, 0)
                os.utime(fd, ns=times)
                os.close(fd)

        for number in range(1, 51):
            rewrite_all(b"%02d\n" % (100 - number))
            # Whoever looks at them now may meet the old and the new; what he remembers of that must not count afterwards.
            reader = threading.Thread(target=m.error, args=("run/reads.sh/x",))
            reader.start()
            time.sleep(number % 8 / 4000)
            digits = b"%02d\n" % number
            rewrite_all(digits)
            reader.join()
            assert m.read("run/reads.sh/x") == digits * 3, number


if __name__ == "__main__":
    main()
