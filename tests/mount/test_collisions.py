"""Forged contents: different bytes with the same XXH3-128. Whichever came first, each gets its own results."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import Mount, main, test, zvm  # noqa: E402

ASSETS = Path(__file__).resolve().parent.parent / "assets"
SETTLE_S = 3.1
PERL = "#!/usr/bin/perl\n"
COPY = PERL + "print <STDIN>\n"
HEAD = PERL + "read STDIN, $_, 40; print\n"
OPEN = PERL + 'print <STDIN>; open F, "/script/$ARGV[0]"; print <F>\n'

# --- forging ---

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")
STRIPES, FREE = 16, 5  # stripes of 64 bytes in a block; how many of them, at its end, pay for what is before
LOW, ALL = (1 << 32) - 1, (1 << 64) - 1


def secret(stripe, lane):
    return int.from_bytes(SECRET[8 * (stripe + lane):8 * (stripe + lane) + 8], "little")


def sums(block, lane, stripes):
    """What XXH3 adds up in a lane: the words, and the products of the halves of each word mixed with the secret."""
    total = product = 0
    for stripe in range(stripes):
        word = int.from_bytes(block[64 * stripe + 8 * lane:64 * stripe + 8 * lane + 8], "little")
        key = word ^ secret(stripe, lane)
        total, product = total + word, product + (key & LOW) * (key >> 32)
    return total & ALL, product & ALL


def payment(lane, total, product):
    """Five words that add up to `total`, and whose products add up to `product`: three make the product, two the rest of the sum."""
    secrets = [secret(stripe, lane) for stripe in range(STRIPES - FREE, STRIPES)]
    upper = product >> 32 << 32 | 1 << 31
    words = [key ^ s for key, s in zip(((product & LOW) << 32 | 1, upper, upper), secrets)]
    rest = (total - sum(words)) & ALL
    low = (rest - secrets[3]) & LOW
    carry = (low + (secrets[3] & LOW)) >> 32
    high = ((rest >> 32) - (secrets[4] >> 32) - carry) & LOW
    return [*words, high << 32 | secrets[3] & LOW, secrets[4] >> 32 << 32 | low]


def forge(content, beginning):
    """Other bytes with the hash and the size of `content` (of more than 1 KiB) that begin as one likes."""
    block = bytearray(beginning.ljust(64 * (STRIPES - FREE), b"#") + bytes(64 * FREE))
    assert len(block) == 1024 < len(content) - 64
    for lane in range(8):
        wanted, paid = sums(content, lane, STRIPES), sums(block, lane, STRIPES - FREE)
        words = payment(lane, wanted[0] - paid[0], (wanted[1] - paid[1]) & ALL)
        for stripe, word in enumerate(words, STRIPES - FREE):
            block[64 * stripe + 8 * lane:64 * stripe + 8 * lane + 8] = word.to_bytes(8, "little")
    return bytes(block) + content[1024:]


A, B = ((ASSETS / f"xxh128-pair-{name}").read_bytes() for name in "ab")
C = forge(A, b"id,name,amount\n0,another,1000\n")
PAIR = {"a": A, "b": B}
ALL_THREE = {**PAIR, "c": C}


def script_pair():
    """Two scripts with one hash."""
    genuine = (PERL + 'print "genuine ", <STDIN>;\n__END__\n').encode().ljust(1200, b"-")
    return genuine, forge(genuine, (PERL + 'print "forged ", <STDIN>;\n__END__\n').encode())


def orders():
    return ("ab", "ba")


def digest_of(path):
    return os.getxattr(path, "user.zvm.digest").decode()


def objects(m, digest):
    """The stored files with this hash, by number."""
    return sorted((m.store / "objects" / digest[:2]).glob(f"{digest.split('.')[0]}*"))


def hash_of(data):
    return subprocess.run(["xxh128sum"], input=data, capture_output=True, check=True).stdout.split()[0].decode()


@test
def they_collide():
    """the pair, a third that is forged here, and two scripts have each the same hash and size, and are different"""
    for group in (list(ALL_THREE.values()), list(script_pair())):
        assert len({hash_of(data) for data in group}) == 1 and len({len(data) for data in group}) == 1
        assert len(set(group)) == len(group)


@test
def as_inputs():
    """as inputs and outputs, in both orders: each its own bytes, name, info and object, also again, and after a remount"""
    for order in orders():
        with Mount() as m:
            m.script("copy", COPY)
            for name in order:
                m.put(name, PAIR[name])
            for _ in range(3):
                for name in order:
                    assert m.read(f"run/copy/{name}") == PAIR[name], (order, name)
            assert m.runs() == 2
            names = {name: digest_of(m.path(f"run/copy/{name}")) for name in order}
            assert names[order[0]] == hash_of(A) and names[order[1]] == hash_of(A) + ".1", names
            for name in order:
                assert m.read(f"cas/{names[name]}") == PAIR[name]
                info = json.loads(m.read(f"info/copy/{name}"))
                assert info["stdout"]["digest"] == names[name], info
            m.unmount()
            m.mount()
            for name in reversed(order):
                assert m.read(f"run/copy/{name}") == PAIR[name], (order, name)
            assert m.runs() == 0


@test
def in_one_place():
    """one file that is now the one and now the other, its times set back: each read is of what it is then"""
    with Mount() as m:
        m.script("copy", COPY)
        path = m.put("x", A)
        times = path.stat().st_atime_ns, path.stat().st_mtime_ns
        for wait in (0, SETTLE_S):
            time.sleep(wait)
            for data in (A, B, B, A, C, A, B):
                with open(path, "r+b") as file:
                    file.write(data)
                os.utime(path, ns=times)
                assert m.read("run/copy/x") == data
        assert m.runs() == 3


@test
def in_pipelines():
    """through pipelines: a stage that writes the one or the other, and stages that go on from it"""
    for order in orders():
        with Mount() as m:
            m.script("copy", COPY)
            m.script("head", HEAD)
            m.script("open", OPEN)
            m.put("empty", b"")
            for name in order:
                m.put(name, PAIR[name])
                m.script(f"data-{name}", PAIR[name], 0o644)
            for _ in range(2):
                for name in order:
                    assert m.read(f"run/copy | copy | copy/{name}") == PAIR[name]
                    assert m.read(f"run/copy | head/{name}") == PAIR[name][:40]
                    assert m.read(f"run/open data-{name} | copy/empty") == PAIR[name]
                    assert m.read(f"run/open data-{name} | head/empty") == PAIR[name][:40]
            assert m.runs() == 6, m.runs()  # copying what was copied is the same action


@test
def as_scripts():
    """as scripts, in both orders, and one name that is now the one and now the other"""
    for order in ((0, 1), (1, 0)):
        with Mount() as m:
            pair, words = script_pair(), (b"genuine x\n", b"forged x\n")
            m.put("x", b"x\n")
            for number in order:
                m.script(f"script-{number}", pair[number])
            for number in (*order, *order):
                assert m.read(f"run/script-{number}/x") == words[number]
            assert m.runs() == 2
            path = m.script("changing", pair[0])
            times = path.stat().st_atime_ns, path.stat().st_mtime_ns
            for wait in (0, SETTLE_S):
                time.sleep(wait)
                for number in (0, 1, 1, 0):
                    with open(path, "r+b") as file:
                        file.write(pair[number])
                    os.utime(path, ns=times)
                    assert m.read("run/changing/x") == words[number]


@test
def as_dependencies():
    """as what a script opens: by argument, and under one name that is now the one and now the other"""
    for order in orders():
        with Mount() as m:
            m.script("open", OPEN)
            m.put("x", b"")
            for name in order:
                m.script(f"data-{name}", PAIR[name], 0o644)
            for name in order * 2:
                assert m.read(f"run/open data-{name}/x") == PAIR[name]
            assert m.runs() == 2
            path = m.script("data", A, 0o644)
            times = path.stat().st_atime_ns, path.stat().st_mtime_ns
            for wait in (0, SETTLE_S):
                time.sleep(wait)
                for data in (A, B, B, A):
                    with open(path, "r+b") as file:
                        file.write(data)
                    os.utime(path, ns=times)
                    for _ in range(5):
                        assert m.read("run/open data/x") == data
            dependencies = json.loads(m.read("info/open data/x"))["dependencies"]
            assert any(d["path"] == "/script/data" and d.get("digest", "").startswith(hash_of(A)) for d in dependencies), dependencies


def run_alone(m, spec, data):
    return zvm("run", "--store", str(m.store), "--scripts", str(m.scripts), spec, input=data)


@test
def with_run():
    """through `zvm run`, from a pipe, on the store that a daemon uses as well: in both orders, and read through the mount afterwards without a run"""
    for order in orders():
        with Mount() as m:
            m.script("copy", COPY)
            m.script("head", HEAD)
            for name in order:
                m.put(name, PAIR[name])
                assert run_alone(m, "copy", PAIR[name]).stdout == PAIR[name]
                assert run_alone(m, "head", PAIR[name]).stdout == PAIR[name][:40]
            for name in order:
                assert m.read(f"run/copy/{name}") == PAIR[name]
                assert m.read(f"run/head/{name}") == PAIR[name][:40]
            assert m.runs() == 0


@test
def with_two_daemons():
    """two daemons on one store, one beginning with the one, the other with the other, many at a time: each its own bytes"""
    with Mount() as first, Mount() as second:
        second.unmount()
        second.store, second.scripts = first.store, first.scripts
        second.mount()
        first.script("copy", COPY)
        first.script("head", HEAD)
        wrong = []

        def read(m, name, place):
            for spec, size in (("copy", None), ("head", 40)):
                got = m.error(f"run/{spec}/{place}")
                if got != (0, ALL_THREE[name][:size]):
                    wrong.append((spec, place, got[0], got[1][:40]))

        threads = []
        for number in range(8):
            for m, names in ((first, "abc"), (second, "cba")):
                for name in names:
                    m.put(f"{name}{number}", ALL_THREE[name])
                    threads.append(threading.Thread(target=read, args=(m, name, f"{name}{number}")))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not wrong, wrong
        # A new content has no number before it is stored, which is after its first run; one that turns out to be another's twin is run once more as such.
        runs = first.runs() + second.runs()
        assert 6 <= runs <= 12, (first.runs(), second.runs())
        for m in (first, second):
            m.settle()
        assert len(objects(first, hash_of(A))) == 3
        for thread in [threading.Thread(target=read, args=(m, name, f"{name}{number}")) for m in (first, second) for name in "abc" for number in range(8)]:
            thread.start()
            thread.join(60)
        assert not wrong and first.runs() + second.runs() == runs, (wrong, runs, first.runs(), second.runs())


def harm(path, how):
    if how == "deleted":
        path.unlink()
        return
    path.chmod(0o600)
    with open(path, "r+b") as file:
        if how == "cut short":
            file.truncate(100)
        else:
            file.seek(2000)
            file.write(b"rotten")
    path.chmod(0o400)


@test
def with_harm_done():
    """one or both of their objects damaged, cut short or deleted, noticed by the running daemon or by the next: each still gets its own, and so does a third"""
    for how in ("rotten", "cut short", "deleted"):
        for which in ((0,), (1,), (0, 1)):
            for remount in (False, True):
                with Mount() as m:
                    m.script("copy", COPY)
                    m.script("head", HEAD)
                    for name in "ab":
                        m.put(name, PAIR[name])
                        assert m.read(f"run/copy/{name}") == PAIR[name] and m.read(f"run/head/{name}") == PAIR[name][:40]
                    if remount:
                        m.unmount()
                    found = objects(m, hash_of(A))
                    for number in which:
                        harm(found[number], how)
                    if remount:
                        m.mount()
                    m.put("c", C)
                    for name in "cba":
                        for _ in range(2):
                            for spec, size in (("copy", None), ("head", 40)):
                                got = m.error(f"run/{spec}/{name}")
                                assert got == (0, ALL_THREE[name][:size]), (how, which, remount, spec, name, got[0], got[1][:40])


@test
def alone_and_gone():
    """the only object of a hash damaged or deleted, and then a forged one: it is not given what was computed for the other, nor taken for what was written with that hash"""
    for how in ("rotten", "deleted"):
        with Mount() as m:
            m.script("unhex", PERL + 'print pack "H*", <STDIN>\n')
            m.put("hex", A.hex().encode())
            m.script("head", HEAD)
            m.script("open", PERL + 'read STDIN, $_, 1; open F, "/script/data"; read F, $_, 40; print\n')
            data = m.script("data", A, 0o644)
            m.put("a", A)
            m.put("x", b"x")
            assert m.read("run/head/a") == A[:40] and m.read("run/open/x") == A[:40] and m.read("run/unhex/hex") == A
            m.unmount()
            (path,) = objects(m, hash_of(A))
            harm(path, how)
            m.mount()
            m.put("b", B)
            data.write_bytes(B)
            for _ in range(2):
                assert m.read("run/head/b") == B[:40], how
                assert m.read("run/open/x") == B[:40], how
                assert m.read("run/head/a") == A[:40], how
                assert m.read("run/unhex/hex") == A, how


# --- inputs that change while they are read ---


@test
def one_snapshot():
    """an input that is written to all the time: each run sees one state of it, info names that one, and cas/ has exactly those bytes"""
    with Mount() as m:
        m.script("copy", COPY)
        size = 1 << 20
        path = m.put("x", b"\0" * size)
        stop = threading.Event()

        def write():
            number = 0
            with open(path, "r+b", buffering=0) as file:
                while not stop.is_set():
                    number += 1
                    os.pwrite(file.fileno(), bytes([number % 251]) * size, 0)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            seen = set()
            deadline = time.monotonic() + 8
            while time.monotonic() < deadline and len(seen) < 40:
                with open(m.path("run/copy/x"), "rb") as file:
                    got = file.read()
                seen.add(hash_of(got))
                assert len(got) == size
        finally:
            stop.set()
            thread.join()
        assert len(seen) > 3, "it was never changed while it was read"
        info = json.loads(m.read("info/copy/x"))
        assert m.read(f"cas/{info['input_digest']}") == m.read("run/copy/x") == path.read_bytes()


@test
def the_record_names_the_snapshot():
    """an input appended to while the run of it goes on: the run does not see that, its record names what it saw, and the next open is of the new state"""
    with Mount() as m:
        m.script("slow", "#!/usr/bin/gawk -f\n{ for (i = 0; i < 6000000; i++) x += i; print }\n")
        path = m.put("x", b"before\n")
        got = []
        reader = threading.Thread(target=lambda: got.append(m.read("run/slow/x")))
        reader.start()
        while m.stats()["zvm_runs_in_flight"] == 0:
            time.sleep(0.01)
        with open(path, "ab") as file:
            file.write(b"after\n")
        reader.join(60)
        assert got == [b"before\n"]
        path.write_bytes(b"before\n")
        info = json.loads(m.read("info/slow/x"))
        assert m.read(f"cas/{info['input_digest']}") == b"before\n" and m.runs() == 1
        path.write_bytes(b"before\nafter\n")
        assert m.read("run/slow/x") == b"before\nafter\n" and m.runs() == 2


if __name__ == "__main__":
    main()
