"""Every tool that people have gets the whole result, whatever its size and however the tool reads: a table of tools x sizes x states.

Three states: nothing is computed yet, it is computed, and -o stat=run with nothing computed. A tool that trusts the size a
stat told it before it opened (tar, rsync, cp --parents -a of some versions, find -size, du, test -s) can only be right in the last two.
"""

import hashlib
import http.server
import mmap
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import Mount, main, test

SIZES = (0, 1, 4095, 4096, 4097, 131071, 131072, 131073, 5 << 20)


def data_of(size):
    block = b"".join(hashlib.sha256(b"%d" % i).hexdigest().encode() + b"\n" for i in range(2048))
    return (block * (size // len(block) + 1))[:size]


def run(*words, **options):
    result = subprocess.run(words, capture_output=True, timeout=120, **options)
    assert result.returncode == 0, (words, result.returncode, result.stderr[-500:])
    return result.stdout


def shell(text, *arguments):
    return run("bash", "-c", "set -o pipefail; " + text, "bash", *arguments)


# Each gets the file and a directory of its own, and gives what it read.


def by_cp(path, work):
    run("cp", path, f"{work}/copy")
    return Path(work, "copy").read_bytes()


def by_cp_reflink(path, work):
    run("cp", "--reflink=auto", "--sparse=always", path, f"{work}/copy")
    return Path(work, "copy").read_bytes()


def by_dd(path, work):
    return run("dd", f"if={path}", "bs=5000", "status=none")


def by_dd_skip(path, work):
    head = run("dd", f"if={path}", "bs=1000", "count=3", "status=none")
    return head + run("dd", f"if={path}", "bs=1000", "skip=3", "status=none")


def by_tail(path, work):
    return run("tail", "-c", "+1", path)


def by_tail_end(path, work):
    end = run("tail", "-c", "3000", path)
    return run("head", "-c", "-3000", path) + end


def by_tac(path, work):
    return run("tac", "-s", "\x01", path)


def by_split(path, work):
    run("split", "-b", "100000", path, f"{work}/part.")
    return b"".join(p.read_bytes() for p in sorted(Path(work).glob("part.*")))


def by_redirection(path, work):
    return shell('cat <"$1"', path)


def by_python(path, work):
    shutil.copyfile(path, f"{work}/copy")
    return Path(work, "copy").read_bytes()


def by_python_copy2(path, work):
    shutil.copy2(path, f"{work}/copy")
    return Path(work, "copy").read_bytes()


def by_mapping(flags):
    def read(path, work):
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                return file.read()
            with mmap.mmap(file.fileno(), size, flags=flags, prot=mmap.PROT_READ) as mapped:
                return bytes(mapped)

    return read


def by_sendfile(path, work):
    with open(path, "rb") as source, open(f"{work}/copy", "wb") as target:
        while os.sendfile(target.fileno(), source.fileno(), None, 1 << 30):
            pass
    return Path(work, "copy").read_bytes()


def by_splice(path, work):
    got = b""
    reader, writer = os.pipe()
    with open(path, "rb") as source:
        while n := os.splice(source.fileno(), writer, 65536):
            got += os.read(reader, n)
    os.close(reader)
    os.close(writer)
    return got


def by_copy_file_range(path, work):
    with open(path, "rb") as source, open(f"{work}/copy", "wb") as target:
        try:
            while os.copy_file_range(source.fileno(), target.fileno(), 1 << 30):
                pass
        except OSError as error:
            assert error.errno in (18, 95), error  # across filesystems the kernel may say so: then tools read
            return by_redirection(path, work)
    return Path(work, "copy").read_bytes()


def by_preads_backwards(path, work):
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        parts = [os.pread(file.fileno(), 65536, at) for at in range(0, size, 65536)][::-1]
    return b"".join(parts[::-1])


def by_git(path, work):
    run("git", "init", "-q", work)
    name = run("git", "-C", work, "hash-object", "-w", path).decode().strip()
    return run("git", "-C", work, "cat-file", "blob", name)


def by_sqlite(path, work):
    return bytes.fromhex(run("sqlite3", ":memory:", f"select hex(readfile('{path}'))").decode().strip())


def by_curl(path, work):
    return run("curl", "-s", "file://" + path.replace("%", "%25").replace(" ", "%20"))


def by_zip(path, work):
    run("zip", "-q", "-j", f"{work}/a.zip", path)
    return run("unzip", "-p", f"{work}/a.zip")


def by_gzip(path, work):
    return shell('gzip -c "$1" | gzip -dc', path)


def by_zstd(path, work):
    return shell('zstd -q -c "$1" | zstd -q -dc', path)


def by_cpio(path, work):
    return shell('cd "$(dirname "$1")" && echo "$(basename "$1")" | cpio -o -H newc --quiet | (cd "$2" && cpio -i --quiet) && cat "$2/$(basename "$1")"', path, work)


def by_tar(path, work):
    shell('tar -C "$(dirname "$1")" -cf - "$(basename "$1")" | tar -C "$2" -xf -', path, work)
    return Path(work, Path(path).name).read_bytes()


def by_rsync(path, work):
    run("rsync", "-a", path, f"{work}/copy")
    return Path(work, "copy").read_bytes()


def by_cat_A(path, work):
    return shell('busybox cat "$1"', path)


def by_less(path, work):
    return shell('less "$1" | cat', path)


def by_http(path, work):
    """python's http.server sends a Content-Length that fstat told it after it opened."""
    directory, name = os.path.split(path)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=directory)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_address[1]}/{name}", timeout=60) as reply:
                return reply.read()
        finally:
            server.shutdown()


READERS = [by_cp, by_cp_reflink, by_dd, by_dd_skip, by_tail, by_tail_end, by_tac, by_split, by_redirection, by_python, by_python_copy2, by_sendfile, by_splice,
           by_copy_file_range, by_preads_backwards, by_git, by_sqlite, by_curl, by_zip, by_gzip, by_zstd, by_cat_A, by_less, by_http]
TRUST_STAT = [by_tar, by_rsync, by_cpio]


def named(function, name):
    function.__name__ = name
    return function


READERS += [named(by_mapping(mmap.MAP_PRIVATE), "by_private_mapping"), named(by_mapping(mmap.MAP_SHARED), "by_shared_mapping")]


def try_all(m, readers, tree, computed):
    bad = []
    for size in SIZES:
        for reader in readers:
            name = f"{reader.__name__}-{size}"
            content = data_of(size)
            m.put(name, content)  # of its own name, so that nobody has looked at it before; the result itself may be there
            path = m.path(f"{tree}/{name}")
            if computed:
                m.read(f"{tree}/{name}")
            work = m.root / "work"
            work.mkdir()
            try:
                got = reader(path, str(work))
                if got != content:
                    bad.append((name, len(got)))
            except BaseException as error:
                bad.append((name, repr(error)[:300]))
            shutil.rmtree(work, ignore_errors=True)
    assert not bad, bad


@test
def tools_that_read_before_anything_is_computed():
    """tools that read what they open get all of it, of every size, when nothing is computed yet"""
    for reader in READERS:  # nobody else has computed that content in this store
        with Mount() as m:
            try_all(m, [reader], "run/cat", False)


@test
def tools_after_it_is_computed():
    """once it is computed, so do those that trust a size which they were told before"""
    with Mount() as m:
        try_all(m, READERS + TRUST_STAT, "run/cat", True)


@test
def tools_with_stat_run():
    """with -o stat=run all of them do, before anything is computed"""
    for reader in [by_cp, by_python_copy2, by_http, *TRUST_STAT]:
        with Mount("-o", "stat=run") as m:
            try_all(m, [reader], "run/cat", False)


@test
def sizes_that_tools_ask_for():
    """find -size, du, test -s and ls see the true size once it is computed, and with -o stat=run from the first"""
    for options, read in ((("-o", "stat=run"), False), ((), True)):
        with Mount(*options) as m:
            m.put("big", data_of(200000))
            m.put("empty", b"")
            if read:
                m.read("run/cat/big"), m.read("run/cat/empty")
            assert run("find", m.path("run/cat"), "-size", "+190k").decode().split() == [m.path("run/cat/big")]
            assert run("find", m.path("run/cat"), "-type", "f", "-empty").decode().split() == [m.path("run/cat/empty")]
            assert int(run("du", "-b", m.path("run/cat/big")).split()[0]) == 200000
            assert int(run("du", "--block-size=1", m.path("run/cat/big")).split()[0]) >= 200000
            shell('test -s "$1" && ! test -s "$2"', m.path("run/cat/big"), m.path("run/cat/empty"))
            assert b" 200000 " in run("ls", "-l", m.path("run/cat/big"))


@test
def whole_directories():
    """grep -r, sort, wc, diff -r, cp -r, rsync -a (with stat=run), tar and zip of a directory give what they give of plain files"""
    with Mount("-o", "stat=run") as m:
        for i in range(20):
            m.put(f"d{i % 3}/f{i}", data_of(i * 1000) + b"needle %d\n" % i)
        mounted, plain = m.path("run/cat"), str(m.inputs)
        for command in ('cd "$1" && grep -rc needle . | sort', 'cd "$1" && find . -type f | sort | xargs sha256sum', 'cd "$1" && cat d0/* | sort | sha256sum',
                        'cd "$1" && wc -c d1/*', 'cd "$1" && find . -type f -size +5k | sort', 'cd "$1" && zip -q -r - . | funzip | wc -c >/dev/null; find . -type f -printf "%p %s\\n" | sort'):
            assert shell(command, mounted) == shell(command, plain), command
        for copy in ('cp -r "$1" "$2"', 'rsync -a "$1/" "$2/"', 'mkdir "$2" && tar -C "$1" -cf - . | tar -C "$2" -xf -', 'cd "$1" && zip -q -r "$2.zip" . && unzip -q "$2.zip" -d "$2"'):
            target = str(m.root / "copy")
            shell(copy, mounted, target)
            shell('chmod -R u+w "$2"; diff -r "$1" "$2"', plain, target)
            shutil.rmtree(target)
            (m.root / "copy.zip").unlink(missing_ok=True)
        shell('diff -r "$1" "$2"', plain, mounted)


@test
def makers():
    """a make rule may depend on a result, a C file may include one, and parallel may read many"""
    with Mount() as m:
        m.script("header.py", "#!/usr/bin/python3\nimport sys\nprint('#define WORDS', len(sys.stdin.read().split()))\n")
        m.put("a", b"one two three\n")
        header = m.path("run/header.py/a")
        (m.root / "main.c").write_text('#include <stdio.h>\nint main(void) { printf("%d\\n", WORDS); }\n')
        (m.root / "Makefile").write_text(f"main: main.c {header}\n\tgcc -include {header} -o main main.c\n")
        run("make", "-s", "-C", str(m.root))
        assert run(str(m.root / "main")) == b"3\n"
        assert b"up to date" in run("make", "-C", str(m.root))
        for i in range(30):
            m.put(f"p/{i}", b"x" * i)
        out = shell('ls "$1" | parallel -j4 -k "cat \\"$1\\"/{} | wc -c"', m.path("run/cat/p")).decode().split()
        assert sorted(map(int, out)) == list(range(30))


@test
def editors_and_pagers():
    """vim and less open a result as they open a file, and cannot write it"""
    with Mount() as m:
        m.put("a", data_of(10000))
        editor = next(filter(shutil.which, ("vim", "vim.tiny")))
        run(editor, "-u", "NONE", "-es", "-c", f"w! {m.root}/copy", "-c", "qa!", m.path("run/cat/a"))
        assert (m.root / "copy").read_bytes().rstrip(b"\n") == data_of(10000).rstrip(b"\n")
        assert m.runs() == 1


main()
