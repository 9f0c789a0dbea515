"""What may change, and what must come of it: the table of test_changes.py. Each row is one script with what it needs, and one change."""

import ctypes
import mmap
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import Skip  # noqa: E402

SETTLE_S = 3.1  # a stat is believed once a file's times are more than two whole seconds old
OFTEN = 8  # reads: more than it takes to raise every guard of what is asked about again and again
UNIQUE = f"zvm-test-{os.getpid()}"
TOOL = Path("/usr/local/bin") / UNIQUE  # where PATH looks first; a name that nobody else has
LIBRARY = Path("/usr/local/lib") / UNIQUE

AGAIN, KEPT, EITHER = "again", "kept", "either"
ROWS = []


class Row:
    """One script with what it needs, one change, and what must come of it. In its script, @ is the guest's name of `home`."""

    def __init__(self, what, expected, change, before, after, script, files, undo, own, name):
        self.what, self.expected, self.change, self.before, self.after = what, expected, change, before, after
        self.script_text, self.files, self.undo, self.own = script, files, undo, own
        self.name = name
        self.spec = name

    def prepare(self, m):
        self.m = m
        self.scripts = m.root / f"scripts-{self.name}" if self.own else m.scripts
        self.home = self.scripts if self.own else self.scripts / f"{self.name}.d"
        self.backup = m.root / "backup" / self.name
        self.home.mkdir(exist_ok=True, parents=True)
        self.backup.mkdir(parents=True)
        guest = "/script" if self.own else f"/script/{self.name}.d"
        self.script = self.scripts / self.name
        self.script.write_text(self.script_text.replace("@", guest))
        self.script.chmod(0o755)
        self.input = m.put(f"{self.name}/x", b"input\n")
        for name, content in self.files.items():
            self.put(name, content)
        if callable(self.setup):
            self.setup()

    setup = None

    def put(self, name, content):
        """A file; a directory where the name ends in a slash; a link where the content is a Path."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        elif isinstance(content, Path):
            path.symlink_to(content)
        else:
            path.write_bytes(content)
        return path

    def read(self):
        """(bytes or errno, number of runs that took)"""
        before = self.m.runs()
        error, data = self.m.error(f"run/{self.spec}/{self.name}/x")
        return error or data, self.m.runs() - before


def row(what, expected, before, after, script, files=None, undo=None, own=False, setup=None):
    """A row of the table: the function changes something. Where it returns a function, that takes the change back."""

    def add(change):
        r = Row(what, expected, change, before, before if after is None else after, script, files or {}, undo, own, f"r{len(ROWS):02}")
        r.setup = setup and (lambda: setup(r))
        ROWS.append(r)
        return change

    return add


def times_of(path):
    st = os.stat(path, follow_symlinks=False)
    return st.st_atime_ns, st.st_mtime_ns


def write(path, data):
    """In place: the same inode."""
    with open(path, "r+b") as file:
        file.truncate(0)
        file.write(data)


def write_secretly(path, data):
    """In place, and the times are set back."""
    times = times_of(path)
    write(path, data)
    os.utime(path, ns=times)


def replace(path, data):
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    new.chmod(path.stat().st_mode & 0o7777)
    new.rename(path)


def relink(path, to):
    new = path.with_name(path.name + ".new")
    new.symlink_to(to)
    new.rename(path)


def exchange(a, b):
    assert ctypes.CDLL(None, use_errno=True).renameat2(-100, os.fsencode(a), -100, os.fsencode(b), 2) == 0, os.strerror(ctypes.get_errno())


def everything(r):
    yield from (r.script, r.input)
    for parent, directories, files in os.walk(r.home):
        yield from (Path(parent) / name for name in [*directories, *files])


# --- the scripts ---

PERL = "#!/usr/bin/perl\n"
CAT = PERL + 'print <STDIN>; open F, "@/helper"; print <F>\n'
HELPER = {"helper": b"one\n"}
CAT_ONE, CAT_TWO = b"input\none\n", b"input\ntwo\n"
IMPORT = "#!/usr/bin/env python3\nimport helper\nprint(helper.word)\n"
MODULE = {"helper.py": b"word = 'one'\n"}
MODULE_TWO = b"word = 'two'\n"
PACKAGE = "#!/usr/bin/env python3\nimport sys\nsys.path.insert(0, '@/lib')\nfrom package.inner import word\nprint(word)\n"
PACKAGE_FILES = {"lib/package/__init__.py": b"", "lib/package/inner.py": MODULE["helper.py"]}
LOOK = "#!/bin/sh\nif [ -e @/a/b/option ]; then echo two; else echo one; fi\n"
TRY = PERL + 'my $line = open(F, "<", "@/option") && <F>; print $line // "one\n"\n'
LIST = PERL + 'opendir(D, "@/d") or print "no directory\n"; print map {"$_\n"} sort grep !/^\\./, readdir D\n'
LIST_FILES = {"d/a": b"", "d/b": b""}
MODE = "#!/bin/sh\nif [ -x @/helper ]; then echo two; else echo one; fi\n"
LINK = PERL + 'open F, "@/link"; print <F>\n'
LINK_FILES = {"1": b"one\n", "2": b"two\n", "same": b"one\n", "link": Path("1")}
READLINK = PERL + 'print readlink("@/link") // "no link", "\n"\n'
SIZE = PERL + 'print -s "@/helper", "\n"\n'
BITS = PERL + 'printf "%o\n", (stat "@/helper")[2] & 0777\n'
COUNT = PERL + """sub count {
    my ($n, $at) = (0, shift);
    return 1 if -f $at;
    opendir(my $d, $at);
    $n += count("$at/$_") for grep !/^\\./, readdir $d;
    return $n;
}
print count("@/d"), "\n";
"""
COPY = PERL + "print <STDIN>\n"
ONE, TWO = b"one\n", b"two\n"


# --- must be computed again ---


@row("a module edited in the script's directory", AGAIN, ONE, b"three\n", IMPORT, MODULE, own=True)
def _(r):
    write(r.home / "helper.py", b"word = 'three'\n")
    return lambda: write(r.home / "helper.py", MODULE["helper.py"])


@row("a module edited to the same size", AGAIN, ONE, TWO, IMPORT, MODULE, own=True)
def _(r):
    write(r.home / "helper.py", MODULE_TWO)
    return lambda: write(r.home / "helper.py", MODULE["helper.py"])


@row("a module edited to the same size, with its times set back", AGAIN, ONE, TWO, IMPORT, MODULE, own=True)
def _(r):
    write_secretly(r.home / "helper.py", MODULE_TWO)
    return lambda: write_secretly(r.home / "helper.py", MODULE["helper.py"])


@row("a module of a package in a library directory edited", AGAIN, ONE, TWO, PACKAGE, PACKAGE_FILES, own=True)
def _(r):
    write(r.home / "lib/package/inner.py", MODULE_TWO)
    return lambda: write(r.home / "lib/package/inner.py", MODULE["helper.py"])


@row("a library that is a link to a directory, led to the next version", AGAIN, ONE, TWO, PACKAGE,
     {"lib": Path("v1"), "v1/package/__init__.py": b"", "v1/package/inner.py": MODULE["helper.py"],
      "v2/package/__init__.py": b"", "v2/package/inner.py": MODULE_TWO}, own=True)
def _(r):
    relink(r.home / "lib", "v2")
    return lambda: relink(r.home / "lib", "v1")


@row("a module behind a link to a directory edited", AGAIN, ONE, TWO, PACKAGE,
     {"lib": Path("v1"), "v1/package/__init__.py": b"", "v1/package/inner.py": MODULE["helper.py"]}, own=True)
def _(r):
    write_secretly(r.home / "v1/package/inner.py", MODULE_TWO)
    return lambda: write_secretly(r.home / "v1/package/inner.py", MODULE["helper.py"])


@row("a package that comes to hide a module", AGAIN, ONE, TWO, IMPORT, MODULE, own=True)
def _(r):
    r.put("helper/__init__.py", MODULE_TWO)
    return lambda: shutil.rmtree(r.home / "helper")


@row("a module that comes to hide one of the library", AGAIN, ONE, TWO, "#!/usr/bin/env python3\nimport colorsys\nprint(getattr(colorsys, 'word', 'one'))\n", own=True)
def _(r):
    path = r.put("colorsys.py", MODULE_TWO)
    return path.unlink


@row("a compiled module that comes to stand for its source", AGAIN, ONE, TWO, IMPORT, MODULE, own=True)
def _(r):
    import importlib.util
    import py_compile
    tag = subprocess.run(["/usr/bin/python3", "-c", "import sys; print(sys.implementation.cache_tag)"], capture_output=True, text=True, check=True).stdout.strip()
    if tag != sys.implementation.cache_tag:
        raise Skip("another python runs the tests")
    other = r.backup / "helper.py"
    other.write_bytes(MODULE_TWO)
    cached = r.home / "__pycache__" / f"helper.{tag}.pyc"
    py_compile.compile(str(other), str(cached), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    assert importlib.util
    return lambda: shutil.rmtree(r.home / "__pycache__")


@row("a helper replaced by rename", AGAIN, CAT_ONE, CAT_TWO, CAT, HELPER)
def _(r):
    replace(r.home / "helper", TWO)
    return lambda: replace(r.home / "helper", ONE)


@row("a helper exchanged with another file", AGAIN, CAT_ONE, CAT_TWO, CAT, {"helper": ONE, "other": TWO})
def _(r):
    exchange(r.home / "helper", r.home / "other")
    return lambda: exchange(r.home / "helper", r.home / "other")


@row("a helper written through another of its names", AGAIN, CAT_ONE, CAT_TWO, CAT, HELPER, setup=lambda r: os.link(r.home / "helper", r.backup / "name"))
def _(r):
    write_secretly(r.backup / "name", TWO)
    return lambda: write_secretly(r.backup / "name", ONE)


@row("a helper written through a mapping", AGAIN, CAT_ONE, CAT_TWO, CAT, HELPER)
def _(r):
    def scribble(data):
        with open(r.home / "helper", "r+b") as file, mmap.mmap(file.fileno(), 0) as m:
            m[:] = data
    scribble(TWO)
    return lambda: scribble(ONE)


@row("a helper emptied", AGAIN, CAT_ONE, b"input\n", CAT, HELPER)
def _(r):
    os.truncate(r.home / "helper", 0)
    return lambda: write(r.home / "helper", ONE)


@row("a helper that grew by a hole", AGAIN, CAT_ONE, CAT_ONE + bytes(5000), CAT, HELPER)
def _(r):
    os.truncate(r.home / "helper", 5004)
    return lambda: os.truncate(r.home / "helper", 4)


@row("another file mounted over a helper", AGAIN, CAT_ONE, CAT_TWO, CAT, {"helper": ONE, "other": TWO})
def _(r):
    if subprocess.run(["mount", "--bind", str(r.home / "other"), str(r.home / "helper")], capture_output=True).returncode:
        raise Skip("nothing can be mounted here")
    return lambda: subprocess.run(["umount", str(r.home / "helper")], check=True)


@row("a part of a shell script that lies beside it", AGAIN, ONE, TWO, "#!/bin/sh\n. @/tool\n", {"tool": b"echo one\n"})
def _(r):
    replace(r.home / "tool", b"echo two\n")
    return lambda: replace(r.home / "tool", b"echo one\n")


@row("a file created where the run had only looked", AGAIN, ONE, TWO, LOOK, {"a/b/": None})
def _(r):
    return r.put("a/b/option", b"").unlink


@row("a directory created on the way to where the run had looked", AGAIN, ONE, TWO, LOOK)
def _(r):
    r.put("a/b/option", b"")
    return lambda: shutil.rmtree(r.home / "a")


@row("a link created on the way to where the run had looked", AGAIN, ONE, TWO, LOOK, {"elsewhere/b/option": b""})
def _(r):
    return r.put("a", Path("elsewhere")).unlink


@row("a file created where the run had opened in vain", AGAIN, ONE, TWO, TRY)
def _(r):
    return r.put("option", TWO).unlink


@row("a dangling link that comes to lead somewhere", AGAIN, ONE, TWO, TRY, {"option": Path("target")})
def _(r):
    return r.put("target", TWO).unlink


@row("a file renamed to where the run had opened in vain", AGAIN, ONE, TWO, TRY, {"here": TWO})
def _(r):
    (r.home / "here").rename(r.home / "option")
    return lambda: (r.home / "option").rename(r.home / "here")


@row("a file that has gone", AGAIN, TWO, ONE, TRY, {"option": TWO})
def _(r):
    shutil.move(r.home / "option", r.backup / "option")
    return lambda: shutil.move(r.backup / "option", r.home / "option")


@row("a FIFO in the place of a file", AGAIN, TWO, ONE, TRY, {"option": TWO})
def _(r):
    shutil.move(r.home / "option", r.backup / "option")
    os.mkfifo(r.home / "option")
    return lambda: shutil.move(r.backup / "option", r.home / "option")


@row("a directory in the place of a file", AGAIN, TWO, ONE, TRY, {"option": TWO})
def _(r):
    shutil.move(r.home / "option", r.backup / "option")
    (r.home / "option").mkdir()

    def back():
        (r.home / "option").rmdir()
        shutil.move(r.backup / "option", r.home / "option")
    return back


@row("a file in the place of a directory", AGAIN, b"a\nb\n", b"no directory\n", LIST, LIST_FILES)
def _(r):
    shutil.move(r.home / "d", r.backup / "d")
    r.put("d", b"")

    def back():
        (r.home / "d").unlink()
        shutil.move(r.backup / "d", r.home / "d")
    return back


@row("a listing that gained an entry", AGAIN, b"a\nb\n", b"a\nb\nc\n", LIST, LIST_FILES)
def _(r):
    return r.put("d/c", b"").unlink


@row("a listing that lost an entry", AGAIN, b"a\nb\n", b"a\n", LIST, LIST_FILES)
def _(r):
    (r.home / "d/b").unlink()
    return lambda: r.put("d/b", b"")


@row("a listing with an entry renamed", AGAIN, b"a\nb\n", b"a\nz\n", LIST, LIST_FILES)
def _(r):
    (r.home / "d/b").rename(r.home / "d/z")
    return lambda: (r.home / "d/z").rename(r.home / "d/b")


@row("a listing with an entry renamed, and the directory's times set back", AGAIN, b"a\nb\n", b"a\nz\n", LIST, LIST_FILES)
def _(r):
    def rename(a, b):
        times = times_of(r.home / "d")
        (r.home / "d" / a).rename(r.home / "d" / b)
        os.utime(r.home / "d", ns=times)
    rename("b", "z")
    return lambda: rename("z", "b")


@row("an entry that became a directory, where the listing tells", AGAIN, b"a\nb\n", b"a\nb/\n", LIST.replace('"$_\n"', '-d "@/d/$_" ? "$_/\n" : "$_\n"'), LIST_FILES)
def _(r):
    (r.home / "d/b").unlink()
    (r.home / "d/b").mkdir()

    def back():
        (r.home / "d/b").rmdir()
        r.put("d/b", b"")
    return back


@row("an entry deep in a tree that was searched", AGAIN, b"2\n", b"3\n", COUNT, {"d/a/b/c/1": b"", "d/2": b""})
def _(r):
    return r.put("d/a/b/c/3", b"").unlink


@row("a directory replaced by a link to one with other entries", AGAIN, b"a\nb\n", b"c\n", LIST, {**LIST_FILES, "other/c": b""})
def _(r):
    (r.home / "d").rename(r.home / "was")
    (r.home / "d").symlink_to("other")

    def back():
        (r.home / "d").unlink()
        (r.home / "was").rename(r.home / "d")
    return back


@row("a directory moved out of the scripts, a link to it in its place, which leads nowhere for the guest", AGAIN, TWO, ONE, TRY.replace("@/option", "@/d/option"),
     {"d/option": TWO})
def _(r):
    (r.home / "d").rename(r.backup / "d")
    (r.home / "d").symlink_to(r.backup / "d")

    def back():
        (r.home / "d").unlink()
        (r.backup / "d").rename(r.home / "d")
    return back


@row("permission bits that the guest sees", AGAIN, ONE, TWO, MODE, HELPER)
def _(r):
    (r.home / "helper").chmod(0o755)
    return lambda: (r.home / "helper").chmod(0o644)


@row("permission bits that the guest prints", AGAIN, b"644\n", b"640\n", BITS, HELPER)
def _(r):
    (r.home / "helper").chmod(0o640)
    return lambda: (r.home / "helper").chmod(0o644)


@row("the size of a file that was only asked for its size", AGAIN, b"4\n", b"6\n", SIZE, HELPER)
def _(r):
    write(r.home / "helper", b"three\n")
    return lambda: write(r.home / "helper", ONE)


@row("a link led to other content", AGAIN, ONE, TWO, LINK, LINK_FILES)
def _(r):
    relink(r.home / "link", "2")
    return lambda: relink(r.home / "link", "1")


@row("a link led elsewhere, where the guest reads the link", AGAIN, b"1\n", b"same\n", READLINK, LINK_FILES)
def _(r):
    relink(r.home / "link", "same")
    return lambda: relink(r.home / "link", "1")


@row("a link replaced by a copy of what it led to, where the guest reads the link", AGAIN, b"1\n", b"no link\n", READLINK, LINK_FILES)
def _(r):
    (r.home / "link").unlink()
    r.put("link", ONE)

    def back():
        (r.home / "link").unlink()
        (r.home / "link").symlink_to("1")
    return back


@row("the interpreter behind #!/usr/bin/env", AGAIN, ONE, TWO, f"#!/usr/bin/env {UNIQUE}-a\n",
     setup=lambda r: install(f"{TOOL}-a", "#!/bin/sh\necho one\n"))
def _(r):
    install(f"{TOOL}-a", "#!/bin/sh\necho two\n")
    return lambda: install(f"{TOOL}-a", "#!/bin/sh\necho one\n")


@row("an interpreter that comes to be earlier in PATH", AGAIN, ONE, TWO, f"#!/usr/bin/env {UNIQUE}-b\n# zvm: env=PATH=@/bin:/usr/local/bin:/usr/bin:/bin\n", {"bin/": None},
     setup=lambda r: install(f"{TOOL}-b", "#!/bin/sh\necho one\n"))
def _(r):
    install(r.home / f"bin/{UNIQUE}-b", "#!/bin/sh\necho two\n")
    return (r.home / f"bin/{UNIQUE}-b").unlink


@row("a command that comes to hide another in /usr/local/bin", AGAIN, ONE, TWO, f"#!/bin/sh\n# zvm: env=PATH=/usr/local/bin:@/bin\n. {UNIQUE}-c\n",
     {f"bin/{UNIQUE}-c": b"#!/bin/sh\necho one\n"}, setup=lambda r: (r.home / f"bin/{UNIQUE}-c").chmod(0o755))
def _(r):
    install(f"{TOOL}-c", "#!/bin/sh\necho two\n")
    return lambda: os.unlink(f"{TOOL}-c")


@row("a library of the machine edited", AGAIN, ONE, TWO, f"#!/bin/sh\n. {LIBRARY}-d\n", setup=lambda r: install(f"{LIBRARY}-d", "echo one\n"))
def _(r):
    install(f"{LIBRARY}-d", "echo two\n")
    return lambda: install(f"{LIBRARY}-d", "echo one\n")


@row("a library of the machine that a link of the machine leads to, upgraded", AGAIN, ONE, TWO, f"#!/bin/sh\n. {LIBRARY}-e\n",
     setup=lambda r: (install(f"{LIBRARY}-e.1", "echo one\n"), install(f"{LIBRARY}-e.2", "echo two\n"), os.symlink(f"{LIBRARY}-e.1", f"{LIBRARY}-e")))
def _(r):
    relink(Path(f"{LIBRARY}-e"), f"{LIBRARY}-e.2")
    return lambda: relink(Path(f"{LIBRARY}-e"), f"{LIBRARY}-e.1")


@row("a configuration that appears where the machine had none", AGAIN, ONE, TWO, TRY.replace('@/option', f'{LIBRARY}-f/etc/conf'))
def _(r):
    os.makedirs(f"{LIBRARY}-f/etc")
    install(f"{LIBRARY}-f/etc/conf", "two\n")
    return lambda: shutil.rmtree(f"{LIBRARY}-f")


@row("the script edited", AGAIN, ONE, b"three\n", "#!/bin/sh\necho one\n")
def _(r):
    write(r.script, b"#!/bin/sh\necho three\n")
    return lambda: write(r.script, b"#!/bin/sh\necho one\n")


@row("the script edited to the same size, with its times set back", AGAIN, ONE, TWO, "#!/bin/sh\necho one\n")
def _(r):
    write_secretly(r.script, b"#!/bin/sh\necho two\n")
    return lambda: write_secretly(r.script, b"#!/bin/sh\necho one\n")


@row("a directive edited", AGAIN, ONE, TWO, "#!/bin/sh\n# zvm: env=WORD=one\necho $WORD\n")
def _(r):
    write(r.script, b"#!/bin/sh\n# zvm: env=WORD=two\necho $WORD\n")
    return lambda: write(r.script, b"#!/bin/sh\n# zvm: env=WORD=one\necho $WORD\n")


@row("the script's permission bits, which it sees", AGAIN, b"755\n", b"555\n", BITS.replace('"@/helper"', '$0'))
def _(r):
    r.script.chmod(0o555)
    return lambda: r.script.chmod(0o755)


@row("a script that is a link, led to another", AGAIN, ONE, TWO, "#!/bin/sh\necho one\n", {"other": b"#!/bin/sh\necho two\n"}, setup=lambda r: (r.home / "other").chmod(0o755))
def _(r):
    r.script.rename(r.backup / "script")
    r.script.symlink_to(r.home / "other")
    return lambda: (r.backup / "script").rename(r.script)


@row("another argument", AGAIN, b"\n", b"two\n", "#!/bin/sh\necho $1\n")
def _(r):
    r.spec = f"{r.name} two"

    def back():
        r.spec = r.name
    return back


@row("the input appended to", AGAIN, b"input\n", b"input\nmore\n", COPY)
def _(r):
    with open(r.input, "ab") as file:
        file.write(b"more\n")
    return lambda: os.truncate(r.input, 6)


@row("the input cut short", AGAIN, b"input\n", b"in", COPY)
def _(r):
    os.truncate(r.input, 2)
    return lambda: write(r.input, b"input\n")


@row("the input written in place through a mapping", AGAIN, b"input\n", b"other\n", COPY)
def _(r):
    def scribble(data):
        with open(r.input, "r+b") as file, mmap.mmap(file.fileno(), 0) as m:
            m[:] = data
    scribble(b"other\n")
    return lambda: scribble(b"input\n")


@row("the input replaced by rename", AGAIN, b"input\n", b"other\n", COPY)
def _(r):
    replace(r.input, b"other\n")
    return lambda: replace(r.input, b"input\n")


@row("the input edited to the same size, with its times set back", AGAIN, b"input\n", b"other\n", COPY)
def _(r):
    write_secretly(r.input, b"other\n")
    return lambda: write_secretly(r.input, b"input\n")


@row("the input replaced by a link to another", AGAIN, b"input\n", b"other\n", COPY, setup=lambda r: r.m.put(f"{r.name}/other", b"other\n"))
def _(r):
    r.input.rename(r.backup / "input")
    r.input.symlink_to("other")
    return lambda: (r.backup / "input").rename(r.input)


# --- must not ---


@row("everything touched", KEPT, CAT_ONE, None, CAT, HELPER)
def _(r):
    for path in everything(r):
        os.utime(path)


@row("everything dated back to 1970", KEPT, ONE, None, IMPORT, MODULE, own=True)
def _(r):
    for path in everything(r):
        os.utime(path, (0, 0))


@row("everything copied with cp -p and moved back", KEPT, CAT_ONE, None, CAT, HELPER)
def _(r):
    for path in (r.script, r.input, r.home / "helper"):
        subprocess.run(["cp", "-p", str(path), f"{path}.copy"], check=True)
        os.rename(f"{path}.copy", path)


@row("the whole directory renamed away and back", KEPT, CAT_ONE, None, CAT, HELPER)
def _(r):
    r.home.rename(r.backup / "home")
    (r.backup / "home").rename(r.home)


@row("the whole directory restored from a backup", KEPT, ONE, None, PACKAGE, PACKAGE_FILES, own=True)
def _(r):
    subprocess.run(["cp", "-a", f"{r.home}/.", str(r.backup)], check=True)
    for entry in r.home.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    subprocess.run(["cp", "-r", f"{r.backup}/.", str(r.home)], check=True)


@row("a helper rewritten with the bytes that it had", KEPT, CAT_ONE, None, CAT, HELPER)
def _(r):
    write(r.home / "helper", ONE)


@row("a helper, the script and the input given to another user", KEPT, CAT_ONE, None, CAT, HELPER)
def _(r):
    for path in everything(r):
        os.chown(path, 65534, 65534)
    return lambda: [os.chown(path, 0, 0) for path in everything(r)]


@row("a second name for a helper, the script and the input", KEPT, CAT_ONE, None, CAT, HELPER)
def _(r):
    for number, path in enumerate(list(everything(r))):
        os.link(path, r.backup / str(number))


@row("extended attributes", KEPT, CAT_ONE, None, CAT, HELPER)
def _(r):
    for path in everything(r):
        os.setxattr(path, "user.comment", b"seen")


@row("bits that the guest does not see: setuid", KEPT, CAT_ONE, None, CAT, HELPER)
def _(r):
    (r.home / "helper").chmod(0o4644)
    return lambda: (r.home / "helper").chmod(0o644)


@row("another file in the directory of a script that saw no listing", KEPT, CAT_ONE, None, CAT, HELPER, own=True)
def _(r):
    return r.put("unrelated", b"new").unlink


@row("another file in a directory of which one was opened", KEPT, ONE, None, LINK.replace('link', 'd/helper'), {"d/helper": ONE})
def _(r):
    return r.put("d/unrelated", b"new").unlink


@row("another file beside one that was looked for in vain", KEPT, ONE, None, LOOK, {"a/": None})
def _(r):
    return r.put("a/unrelated", b"").unlink


@row("the contents of files of which only the listing was seen", KEPT, b"a\nb\n", None, LIST, LIST_FILES)
def _(r):
    write(r.home / "d/a", b"other content")


@row("the bytes of a file that was only asked for its size", KEPT, b"4\n", None, SIZE, HELPER)
def _(r):
    write(r.home / "helper", TWO)


@row("the entries of a listing taken away and put back in another order", KEPT, b"a\nb\n", None, LIST, LIST_FILES)
def _(r):
    for name in ("a", "b"):
        (r.home / "d" / name).unlink()
    for name in ("b", "a"):
        r.put(f"d/{name}", b"")


@row("the input's neighbours", KEPT, CAT_ONE, None, CAT, HELPER)
def _(r):
    return r.m.put(f"{r.name}/neighbour", b"other\n").unlink


@row("a link removed and made again", KEPT, ONE, None, LINK, LINK_FILES)
def _(r):
    (r.home / "link").unlink()
    (r.home / "link").symlink_to("1")


@row("a program of the machine that nobody asked for", KEPT, CAT_ONE, None, CAT, HELPER)
def _(r):
    install(f"{TOOL}-unasked", "#!/bin/sh\n")
    return lambda: os.unlink(f"{TOOL}-unasked")


@row("the same content from another filesystem", KEPT, CAT_ONE, None, CAT, HELPER)
def _(r):
    copy = Path("/dev/shm") / f"{UNIQUE}-{r.name}"
    copy.write_bytes(ONE)
    if subprocess.run(["mount", "--bind", str(copy), str(r.home / "helper")], capture_output=True).returncode:
        raise Skip("nothing can be mounted here")
    copy.unlink()
    return lambda: subprocess.run(["umount", str(r.home / "helper")], check=True)


# --- may be ---


@row("a link led to a file with the same content, which the guest reads", EITHER, ONE, ONE, LINK, LINK_FILES)
def _(r):
    relink(r.home / "link", "same")
    return lambda: relink(r.home / "link", "1")


def install(path, text):
    new = Path(f"{path}.new")
    new.write_text(text)
    new.chmod(0o755)
    new.rename(path)
