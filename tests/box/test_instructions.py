"""Instructions that tell one machine or moment from another are answered by the box, in every file that is mapped executable.

The guest is instructions.c, dynamic and static. What a processor does that cannot trap cpuid is in unit/test_instructions, which can start
boxes so.
"""
import hashlib
import json
import os
import re
import shutil
import subprocess

from boxed import BUILD, SCRATCH, ZVM, add_test, main, program_path, run_boxed, run_native, spec, test
from harness import Mount

SCRIPTS = SCRATCH / "scripts"
SCRIPTS.mkdir()
GUESTS = ("instructions", "instructions_static")
for name in GUESTS:
    shutil.copy(BUILD / "box" / name, SCRIPTS / name)
HASHES = """#!/usr/bin/python3
import hashlib, hmac, sqlite3, sys
data = sys.stdin.buffer.read()
for name in sorted(hashlib.algorithms_guaranteed):
    h = hashlib.new(name, data)
    print(name, h.hexdigest(16) if "shake" in name else h.hexdigest())
print(hmac.new(b"k", data, "sha256").hexdigest(), hashlib.pbkdf2_hmac("sha256", data, b"s", 99).hex(), hashlib.scrypt(b"p", salt=b"s", n=16, r=8, p=1).hex())
print(sqlite3.connect(":memory:").execute("select hex(?), 1.1*3, printf('%!.20g', 0.1)", (data[:9],)).fetchall())
"""
STORES = [str(SCRATCH / f"store-{i}") for i in range(2)]


def boxed(*words, data=b"", store=STORES[0]):
    return run_boxed(spec(*words), data, ("--no-cache", "--store", store, "--scripts", str(SCRIPTS)))


def native(guest, *arguments, env=None):
    return subprocess.run([str(SCRIPTS / guest), *arguments], capture_output=True, env=env, timeout=60, check=False).stdout


def differs_but_not_in_the_box(guest, aspect):
    assert native(guest, aspect) != native(guest, aspect), "natively it is the same twice"
    first, again, elsewhere = boxed(guest, aspect), boxed(guest, aspect), boxed(guest, aspect, store=STORES[1])
    assert first.status == 0 and first.out, first
    assert first.out == again.out == elsewhere.out, f"{first}\n{again}\n{elsewhere}"
    return first.out


def the_counter(guest):
    words = differs_but_not_in_the_box(guest, "counter").split()
    a, b, c, d = map(int, words[:4])
    # A microsecond for each question, one of them usleep's own where the C library asks; a millisecond for the sleep.
    assert b - a == c - b and d - c in (1001 * (b - a), 1002 * (b - a)), words
    assert words[5] == b"0", words


def the_chance(guest):
    out = differs_but_not_in_the_box(guest, "chance")
    other = boxed(guest, "chance", data=b"another input").out
    drawn = [line.split()[2] for line in out.splitlines()]
    assert len(set(drawn)) == len(drawn) == 14, "numbers repeat"
    assert all(a.split()[2] != b.split()[2] for a, b in zip(out.splitlines(), other.splitlines())), "another input draws the same"


for name in GUESTS:
    add_test(f"rdtsc and rdtscp of {name} differ natively, and follow the clock in the box", the_counter, name)
    add_test(f"rdrand and rdseed of {name} differ natively, and follow the seed in the box", the_chance, name)


@test
def libm():
    """libm computes the same bits for the dynamic and the static program, and those that glibc computes when told to use no FMA or AVX"""
    results = {guest: boxed(guest, "libm") for guest in GUESTS}
    assert all(r.status == 0 for r in results.values()), [str(r) for r in results.values()]
    assert results[GUESTS[0]].out == results[GUESTS[1]].out
    masked = native(GUESTS[0], "libm", env={"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX,-FMA,-FMA4"})
    assert results[GUESTS[0]].out == masked


@test
def digests():
    """openssl's digests and MACs over rewritten libcrypto are its native ones"""
    data = os.urandom(100_003)
    for words in (["-md5"], ["-sha1"], ["-sha256"], ["-sha512"], ["-sha3-256"], ["-blake2b512"], ["-sm3"], ["-sha256", "-hmac", "key"],
                  ["-mac", "poly1305", "-macopt", "hexkey:" + "42" * 32]):
        argv = ["openssl", "dgst", *words] if words[0] != "-mac" else ["openssl", "mac", "-macopt", words[3], "-in", "/dev/stdin", "POLY1305"]
        expected, got = run_native(argv, data), run_boxed(spec(*argv), data)
        assert expected.status == 0 and expected == got, f"{argv}: {expected}\n{got}"


@test
def ciphers():
    """openssl's ciphers over rewritten libcrypto are its native ones"""
    data = os.urandom(50_021)
    for cipher in ("aes-128-cbc", "aes-256-ctr", "chacha20", "camellia-256-cbc"):
        argv = ["openssl", "enc", f"-{cipher}", "-K", "5a" * (16 if "128" in cipher else 32), "-iv", "17" * 16]
        expected, got = run_native(argv, data), run_boxed(spec(*argv), data)
        assert expected.status == 0 and len(expected.out) >= len(data) and expected == got, f"{argv}: {expected}\n{got}"


@test
def signatures():
    """signatures made natively verify in the box, and a changed text does not, for each kind of key"""
    data = b"text to be signed\n" * 99
    kinds = [("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), ("ec", "-pkeyopt", "ec_paramgen_curve:P-521"), ("rsa",)]
    shutil.copy(program_path("openssl"), SCRIPTS / "openssl")
    for number, (kind, *options) in enumerate(kinds):
        key, public, signature = (str(SCRIPTS / f"{number}.{suffix}") for suffix in ("key", "public", "signature"))
        subprocess.run(["openssl", "genpkey", "-algorithm", kind, *options, "-out", key], check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
        subprocess.run(["openssl", "dgst", "-sha256", "-sign", key, "-out", signature], input=data, check=True)
        words = ("openssl", "dgst", "-sha256", "-verify", f"/script/{number}.public", "-signature", f"/script/{number}.signature")
        good, bad = boxed(*words, data=data), boxed(*words, data=data + b"!")
        assert good.status == 0 and good.out == b"Verified OK\n", f"{kind}: {good}"
        assert bad.status == 1 and b"Verified OK" not in bad.out, f"{kind}: {bad}"


@test
def python_hashes():
    """every hash of Python's hashlib, and its sqlite and its HMAC, are right in the box"""
    data = b"some input\n" * 5000
    script = SCRIPTS / "hashes.py"
    script.write_text(HASHES)
    script.chmod(0o755)
    expected, got = run_native(["python3", str(script)], data), boxed("hashes.py", data=data)
    assert expected.status == 0 and expected == got, f"{expected}\n{got}"
    assert hashlib.sha256(data).hexdigest().encode() in got.out


@test
def sqlite():
    """sqlite3 computes in the box what it computes natively"""
    query = "with recursive n(i) as (select 1 union all select i+1 from n where i<3000) select sum(i*1.1), total(i/7.0), group_concat(hex(i),'') from n"
    expected, got = run_native(["sqlite3", ":memory:", query]), run_boxed(spec("sqlite3", ":memory:", query))
    assert expected.status == 0 and expected == got, f"{expected}\n{got}"


@test
def store_without_images():
    """a store that lost its images, or the table of them, makes them again"""
    store = str(SCRATCH / "losing")
    first = boxed("instructions", "chance", store=store)
    assert os.path.getsize(f"{store}/stat/derived") > 0
    os.truncate(f"{store}/stat/derived", 100)
    assert boxed("instructions", "chance", store=store) == first
    shutil.rmtree(f"{store}/objects")
    os.mkdir(f"{store}/objects", 0o700)
    assert boxed("instructions", "chance", store=store) == first and first.status == 0


@test
def information():
    """info names files with unproven places, and says whether the guest made code of its own"""
    with Mount() as m:
        shutil.copy(BUILD / "box/instructions", m.scripts / "instructions")
        m.put("a")
        told = {what: json.loads(m.read(f"info/instructions {what}/a")) for what in ("cpuid", "anonymous-later", "private-later", "by-hand-later")}
        assert told["cpuid"]["unproven"] == ["/script/instructions: 3"], told["cpuid"]
        assert {what: t["not_vetted"] for what, t in told.items()} == {"cpuid": False, "anonymous-later": True, "private-later": True, "by-hand-later": False}
        pipeline = json.loads(m.read("info/instructions anonymous-later | cat/a"))
        assert pipeline["not_vetted"] is True and pipeline["unproven"] == ["/script/instructions: 3"], "a later stage hides what an earlier one did"
        digest = json.loads(m.read("info/sha256sum/a"))
        assert digest["not_vetted"] is False and isinstance(digest["unproven"], list)
        paths = [d["path"] for d in told["cpuid"]["dependencies"]]
        assert any(path.endswith("libc.so.6") for path in paths), paths
        native_digest = subprocess.run(["xxhsum", "-H2", "/lib/x86_64-linux-gnu/libc.so.6"], capture_output=True, check=True).stdout.split()[0]
        recorded = [d["digest"] for d in told["cpuid"]["dependencies"] if d["path"].endswith("libc.so.6") and d["kind"] == "file"]
        assert recorded == [native_digest.decode()], "the dependency is not the original content"


@test
def vet():
    """zvm vet counts what is rewritten and what stays unproven, and knows the libraries and the interpreter"""
    result = subprocess.run([ZVM, "vet", "--json", str(SCRIPTS / "instructions")], capture_output=True, check=True)
    files = {os.path.basename(f["path"]): f for f in json.loads(result.stdout)["files"]}
    own = files["instructions"]
    assert own["rewritten"] == {"cpuid": 2, "rdtsc": 3, "rdtscp": 1, "rdrand": 7, "rdseed": 7, "rdpid": 2, "xgetbv": 1, "rdpru": 1, "lsl": 3}, own
    assert len(own["unproven"]) == 3 and all(u["instruction"] in ("cpuid", "rdtsc", "rdrand") and u["offset"] > 0 for u in own["unproven"]), own
    assert files["ld-linux-x86-64.so.2"]["role"] == "interpreter" and files["ld-linux-x86-64.so.2"]["rewritten"]["cpuid"] > 20
    assert files["libc.so.6"]["role"] == "library" and files["libc.so.6"]["unproven"] == []
    calls, jumps = files["libc.so.6"]["syscall_sites"], files["libc.so.6"]["syscall_jumps"]
    assert calls > jumps > calls * 0.9, (calls, jumps)
    text = subprocess.run([ZVM, "vet", str(SCRIPTS / "instructions")], capture_output=True, check=True).stdout.decode()
    assert re.search(r"/instructions +\d+K +\d+% +0 +0 +27 +3 ", text) and "instructions+0x" in text, text


main()
