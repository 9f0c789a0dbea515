"""Real programs, unmodified, on real text: the box gives what the machine gives, byte for byte, and the same exit status.

Each command line runs natively and through `zvm run --no-cache`, on the same bytes on standard input. So that they can be compared,
the native one gets the PATH, LANG and TZ that the box gives. Standard error is compared too: an error message is output as well.
"""
import json
import shutil
from pathlib import Path

from boxed import BUILD, SCRATCH, add_test, compare, main, run_boxed, run_native, spec, test, write_script

LICENSES = Path("/usr/share/common-licenses")


def make_inputs():
    text = (LICENSES / "GPL-3").read_bytes()
    all_text = b"".join((LICENSES / name).read_bytes() for name in ("Apache-2.0", "Artistic", "GFDL-1.3", "GPL-2", "GPL-3", "MPL-2.0"))
    words = sorted(set(all_text.decode().lower().split()))
    table = "".join(f"{i},{w.replace(',', ';')},{len(w)},{(i * 7919) % 1000 / 8}\n" for i, w in enumerate(words))
    people = [{"name": w, "length": len(w), "tags": words[i : i + 3], "even": i % 2 == 0, "none": None} for i, w in enumerate(words[:400])]
    inputs = {
        "none": b"",
        "text": text,
        "long": all_text * 8,
        "words": ("\n".join(words) + "\n").encode(),
        "csv": table.encode(),
        "json": json.dumps({"people": people, "title": "Überschrift ✓"}).encode(),
        "binary": Path("/bin/sh").resolve().read_bytes(),
        "numbers": "".join(f"{(i * 48271) % 2147483647}\n" for i in range(1, 5000)).encode(),
        "sums": b"scale=50\n4*a(1)\n2^521-1\nsqrt(2)\nfor (i=1;i<20;++i) i^i\ndefine f(n) { if (n<2) return n; return f(n-1)+f(n-2); }\nf(17)\n",
        "sql": b"create table t(a integer, b text);\ninsert into t values(3,'c'),(1,'a'),(2,'b');\n"
        b"with recursive n(i) as (select 1 union all select i+1 from n where i<1000) insert into t select i, hex(i*i) from n;\n"
        b"create index x on t(b);\nselect count(*), sum(a), group_concat(b) from (select * from t order by a, b limit 20);\n"
        b".mode json\nselect * from t where a between 5 and 9 order by b desc;\nselect sqrt(2), printf('%.3f', avg(a)) from t;\n",
    }
    inputs["gzip"] = run_native(["gzip", "-9n"], inputs["long"]).out
    inputs["xz"] = run_native(["xz", "-T1", "-c"], inputs["text"]).out
    inputs["base64"] = run_native(["base64"], inputs["binary"]).out
    return inputs


# Input, then the words of the command line.
COMMANDS = [
    ("text", "cat"),
    ("long", "cat", "-"),
    ("text", "cat", "-A"),
    ("text", "cat", "-n", "-s"),
    ("binary", "cat", "-v"),
    ("none", "cat"),
    ("text", "cat", "/usr/share/common-licenses/BSD", "-"),
    ("text", "cat", "/usr/no/such/file"),
    ("text", "wc"),
    ("long", "wc", "-lwmcL"),
    ("binary", "wc", "-c"),
    ("words", "sort", "-r"),
    ("long", "sort", "-u", "-f"),
    ("numbers", "sort", "-n", "--parallel=1"),
    ("csv", "sort", "-t,", "-k3,3n", "-k2,2r", "-s"),
    ("numbers", "sort", "-c"),
    ("text", "sort", "-z"),
    ("words", "sort", "-S", "64K", "--parallel=1"),
    ("text", "uniq", "-c"),
    ("text", "uniq", "-D"),
    ("words", "uniq", "-w", "2", "-d"),
    ("long", "head", "-n", "3"),
    ("long", "head", "-c", "-1000"),
    ("long", "tail", "-n", "+40"),
    ("long", "tail", "-c", "777"),
    ("text", "tail", "-n", "5"),
    ("csv", "cut", "-d,", "-f", "2,4"),
    ("text", "cut", "-c", "1-10,20-"),
    ("csv", "cut", "-d,", "-f1", "--complement", "--output-delimiter=:"),
    ("text", "tr", "a-z", "A-Z"),
    ("text", "tr", "-cs", "[:alnum:]", "\\n"),
    ("text", "tr", "-d", "aeiou"),
    ("text", "sed", "s/GNU/gnu/g;3q"),
    ("text", "sed", "-n", "/warranty/Ip"),
    ("text", "sed", "-E", "s/([a-z]+) ([a-z]+)/\\2 \\1/;/^$/d;y/abc/xyz/"),
    ("text", "sed", "$!N;s/\\n/ | /"),
    ("text", "grep", "-c", "the"),
    ("text", "grep", "-n", "-i", "-w", "warranty"),
    ("text", "grep", "-oE", "[A-Z]{3,}"),
    ("text", "grep", "-P", "(?<=free )software"),
    ("text", "grep", "no such words in it"),
    ("text", "grep", "-e", "["),
    ("binary", "grep", "-c", "ELF"),
    ("text", "gawk", "{ n += NF } END { print NR, n, length($0) }"),
    ("long", "gawk", "{ for (i = 1; i <= NF; i++) c[tolower($i)]++ } END { PROCINFO[\"sorted_in\"] = \"@ind_str_asc\"; for (w in c) print w, c[w] }"),
    ("csv", "gawk", "-F,", "{ s += $4 } END { printf \"%.17g %s\\n\", s, sin(s) }"),
    ("none", "gawk", "BEGIN { print strftime(\"%c\", 86400), toupper(\"ä\"), substr(\"abc\", 2); exit 3 }"),
    ("text", "mawk", "length > 60 { print NR \": \" $1 }"),
    ("csv", "mawk", "-F,", "$3 > 10 { n++ } END { print n; exit 7 }"),
    ("binary", "od", "-A", "x", "-t", "x1z", "-N", "2000"),
    ("text", "od", "-c"),
    ("numbers", "od", "-t", "d2", "-w12", "-j", "100"),
    ("binary", "base64", "-w", "60"),
    ("base64", "base64", "-d"),
    ("text", "base64", "-d"),
    ("long", "sha256sum"),
    ("text", "md5sum", "--tag"),
    ("text", "b2sum"),
    ("text", "cksum"),
    ("long", "gzip", "-9", "-n", "-c"),
    ("gzip", "gzip", "-d", "-c"),
    ("text", "gzip", "-t"),
    ("long", "xz", "-T1", "-6", "-c"),
    ("xz", "xz", "-T1", "-d", "-c"),
    ("gzip", "xz", "-T1", "-d", "-c"),
    ("xz", "xz", "-T1", "-t", "-v"),
    ("json", "jq", "."),
    ("json", "jq", "-c", ".people[] | select(.length > 12) | {name, tags}"),
    ("json", "jq", "-r", ".people | group_by(.length) | map({n: .[0].length, count: length}) | .[] | \"\\(.n) \\(.count)\""),
    ("json", "jq", "-S", "[.people[].tags[]] | unique | length, (map(ascii_upcase) | .[0:5])"),
    ("json", "jq", "-e", ".nothing"),
    ("text", "jq", "."),
    ("text", "perl", "-ne", "print if /free/i && $. % 2"),
    ("long", "perl", "-lane", "$c{lc $_}++ for @F; END { print \"$_ $c{$_}\" for sort { $c{$b} <=> $c{$a} || $a cmp $b } keys %c }"),
    ("none", "perl", "-e", "printf \"%.15f %s\\n\", exp(1), join ',', map { $_ ** 2 } 1..20; exit 9"),
    ("none", "perl", "-e", "kill 15, $$"),
    ("none", "perl", "-MList::Util=sum,shuffle", "-MPOSIX=strftime,floor", "-e", "print sum(1..10), strftime('%F', gmtime 0), floor(-1.5)"),
    ("csv", "python3", "-c", "import csv,sys; print(max(csv.reader(sys.stdin), key=lambda r: float(r[3])))"),
    ("none", "python3", "-c", "import sys; sys.exit('sorry')"),
    ("none", "python3", "-c", "raise ValueError(1)"),
    ("text", "python3", "-m", "base64", "-e"),
    ("json", "python3", "-m", "json.tool", "--indent", "2"),
    ("none", "lua5.4", "-e", "for i = 1, 10 do io.write(i ^ 2, ' ', string.format('%q', i / 3), '\\n') end os.exit(4)"),
    ("text", "lua5.4", "-e", "local n = 0 for l in io.lines() do n = n + #l:gsub('%s', '') end print(n, math.type(n), utf8.char(228))"),
    ("none", "lua5.4", "-e", "error('no')"),
    ("sql", "sqlite3"),
    ("none", "sqlite3", ":memory:", "select 1+1, upper('a'), julianday('2000-01-01'); select * from nothing"),
    ("sums", "bc", "-l", "-q"),
    ("none", "bc", "-e", "1/0"),
    ("long", "openssl", "dgst", "-sha256"),
    ("text", "openssl", "dgst", "-sha3-512", "-r"),
    ("text", "openssl", "enc", "-aes-256-ctr", "-K", "00" * 32, "-iv", "00" * 16),
    ("text", "openssl", "base64"),
    ("text", "busybox", "wc"),
    ("text", "busybox", "sort", "-r"),
    ("text", "busybox", "awk", "{ print NF }"),
    ("text", "busybox", "sed", "-n", "s/the/THE/gp"),
    ("text", "busybox", "sha1sum"),
    ("text", "busybox", "sh", "-c", "n=0; while read -r l; do n=$((n + ${#l})); done; echo $n; exit 5"),
    ("none", "busybox", "no-such-applet"),
    ("none", "true"),
    ("none", "false"),
    ("none", "seq", "-w", "0", "0.25", "30"),
    ("none", "printf", "%05d|%s|%x\\n", "42", "a b", "255"),
    ("none", "echo", "-e", "a\\tb"),
    ("none", "expr", "6", "*", "7"),
    ("none", "factor", "1234567890123456789", "97"),
    ("text", "nl", "-b", "a"),
    ("text", "fold", "-s", "-w", "30"),
    ("text", "fmt", "-w", "50"),
    ("text", "tac"),
    ("text", "rev"),
    ("text", "paste", "-d+", "-", "-", "-"),
    ("text", "pr", "-2", "-t", "-l", "40"),
    ("text", "expand", "-t", "3"),
    ("words", "comm", "-12", "-", "/dev/input"),
    ("words", "join", "-", "/usr/share/common-licenses/BSD"),
    ("text", "dd", "bs=7", "count=11", "skip=2", "status=none", "iflag=fullblock"),
    ("none", "env", "-i", "A=1", "B=two words"),
    ("none", "basename", "/a/b.c", ".c"),
    ("none", "test", "3", "-gt", "4"),
    ("none", "date", "-u", "-d", "@86400", "+%F %T"),
    ("none", "cat", "--no-such-option"),
]

# Natively there is no /dev/input: the lines that it has in common with standard input are all of them.
READS_INPUT_BY_PATH = {"comm"}

PIPELINES = [
    "sort | uniq -c | sort -rn | head -n 5",
    "tr a-z A-Z | grep -o WARRANTY | wc -l",
    "gzip -n | gzip -d | sha256sum",
    "grep -c nothing | cat -A",
]

PYTHON = """#!/usr/bin/python3
import collections, datetime, decimal, difflib, fractions, functools, hashlib, heapq, io, itertools, json, math
import re, sqlite3, statistics, string, struct, sys, textwrap, unicodedata, zlib, bz2, lzma, ast, random, tempfile, os
import xml.etree.ElementTree as ET
text = sys.stdin.read()
words = re.findall(r"[A-Za-z']+", text)
print(collections.Counter(w.lower() for w in words).most_common(12))
print(hashlib.sha256(text.encode()).hexdigest(), hashlib.blake2b(text.encode(), digest_size=8).hexdigest(), zlib.crc32(text.encode()))
print(statistics.mean(map(len, words)), statistics.pstdev(map(len, words)), fractions.Fraction(len(words), len(text)))
print(decimal.Decimal(2).sqrt(decimal.Context(prec=60)), math.fsum([0.1] * 10), math.lgamma(7.5), math.erf(0.3))
print(textwrap.fill(" ".join(words[:60]), 40))
print(list(difflib.unified_diff(text.splitlines()[:20], text.upper().splitlines()[:20], n=0))[:6])
db = sqlite3.connect(":memory:")
db.execute("create table w(word, n)")
db.executemany("insert into w values(?, ?)", collections.Counter(words).items())
print(db.execute("select word, n from w order by n desc, word limit 5").fetchall())
random.seed(7)
print([random.random() for _ in range(3)], random.sample(range(1000), 5), random.gauss(0, 1))
print(datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc).isoformat(), unicodedata.name("ß"), struct.pack("<If", 7, 1.5))
print(len(lzma.compress(text.encode())), len(bz2.compress(text.encode())), len(zlib.compress(text.encode(), 9)))
print(ET.tostring(ET.fromstring("<a><b c='1'>x</b></a>")), ast.dump(ast.parse("x = 1 + y")))
with tempfile.TemporaryFile("w+") as f:
    f.write(text)
    f.seek(100)
    print(f.read(20), f.tell())
print(json.dumps({"b": [1, None, 2.5], "a": "ü"}, sort_keys=True), file=sys.stderr)
sys.exit(3)
"""

DASH = """#!/bin/dash
# zvm: ok=0,4
set -u
lines=0 chars=0 longest=
while IFS= read -r line; do
	lines=$((lines + 1)) chars=$((chars + ${#line} + 1))
	[ ${#line} -gt ${#longest} ] && longest=$line
	case $line in *[Ww]arranty*) printf '%4d: %s\\n' $lines "${line#"${line%%[! ]*}"}" ;; esac
done
printf '%s\\n' "$lines $chars" "$longest" "${longest%% *}"
f() { local x=$1; [ $x -lt 2 ] && { r=$x; return; }; f $((x - 1)); local a=$r; f $((x - 2)); r=$((r + a)); }
f 12; echo "fib $r" "$#" "$1"
trap 'echo leaving' EXIT
exit 4
"""

BASH = """#!/bin/bash
declare -A count
while read -ra words; do for w in "${words[@]}"; do w=${w,,} w=${w//[^a-z]/}; [[ $w ]] && ((count[$w]++)); done; done
mapfile -t top < /dev/null
for w in the of and to you; do printf '%s=%d ' "$w" "${count[$w]}"; done; echo
echo "${#count[@]} ${BASH_VERSINFO[0]} ${#top[@]}"
a=(5 3 9 1); for ((i = 0; i < ${#a[@]}; i++)); do for ((j = i + 1; j < ${#a[@]}; j++)); do
	((a[i] > a[j])) && { t=${a[i]} a[i]=${a[j]} a[j]=$t; }; done; done; echo "${a[*]}"
[[ "key=value" =~ ^([a-z]+)=(.*)$ ]] && echo "${BASH_REMATCH[@]:1}"
printf -v x '%(%F)T' 0; echo "$x" $((16#ff ** 2)) {a..e} $'\\x41'
echo "to the other one" >&2
exit $((${#1} + 10))
"""

PERL = """#!/usr/bin/env perl
use strict; use warnings; use Data::Dumper; use Digest::SHA qw(sha1_hex); use MIME::Base64; use Time::Local; use Encode;
local $/; my $t = <STDIN>; $Data::Dumper::Sortkeys = 1; $Data::Dumper::Indent = 1;
my %c; $c{length $_}++ for split ' ', $t; print Dumper(\\%c), sha1_hex($t), "\\n", encode_base64(substr $t, 0, 50), timegm(0, 0, 0, 1, 0, 100), "\\n";
print encode('UTF-8', "\\x{263a}"), sprintf("%vd", "1.22.333"), "\\n"; warn "careful\\n"; exit 2;
"""

AWK = """#!/usr/bin/gawk -f
{ for (i = 1; i <= NF; i++) { w = tolower($i); gsub(/[^a-z]/, "", w); if (w != "") count[w]++ } }
END { n = asorti(count, names); for (i = 1; i <= n; i++) if (count[names[i]] > 9) print names[i], count[names[i]] }
"""

# Name, text, arguments, input; run as a script, natively by its path, in the box by its name.
SCRIPTS = [
    ("library.py", PYTHON, ["x"], "text"),
    ("lines.sh", DASH, ["argument"], "text"),
    ("count.bash", BASH, ["abc"], "text"),
    ("digest.pl", PERL, [], "text"),
    ("builtin.awk", AWK, [], "long"),
    ("pass.sed", "#!/bin/sed -nf\n/free/ { s/free/FREE/g; p }\n", [], "text"),
    ("plain.lua", "#!/usr/bin/env lua5.4\nprint(#io.read('a'), arg[1], ('x'):rep(3), os.getenv('NOTHING'))\n", ["one two"], "text"),
    ("empty.sh", "#!/bin/sh\n", [], "none"),
    ("no-newline.py", "#!/usr/bin/env python3\nprint('no end of line', end='')", [], "none"),
    ("crash.py", "#!/usr/bin/python3\nimport os\nprint('before', flush=True)\nos.abort()\n", [], "none"),
]


INPUTS = make_inputs()


def compare_command(key, words):
    boxed = run_boxed(spec(*words), INPUTS[key], ("--no-cache", "--stats"))
    if words[0] in READS_INPUT_BY_PATH:
        assert (boxed.out, boxed.status) == (INPUTS[key], 0), boxed
    else:
        compare(run_native(list(words), INPUTS[key]), boxed)


def compare_script(name, text, arguments, key):
    path = write_script(name, text)
    native = run_native([str(path), *arguments], INPUTS[key])
    compare(native, run_boxed(spec(name, *arguments), INPUTS[key], ("--no-cache", "--stats", "--scripts", str(SCRATCH))))


def compare_pipeline(text):
    native = run_native(["sh", "-c", text], INPUTS["text"])
    boxed = run_boxed(text, INPUTS["text"])
    assert native == boxed, f"native: {native}\nboxed: {boxed}"
    assert boxed.out, "nothing was compared"


for input_key, *command in COMMANDS:
    add_test(f"{' '.join(command)[:90]!r} on {input_key} is as it is natively", compare_command, input_key, command)
for row in SCRIPTS:
    add_test(f"the script {row[0]} on {row[3]} is as it is natively", compare_script, *row)
for pipeline in PIPELINES:
    add_test(f"the pipeline {pipeline!r} is as it is in a shell", compare_pipeline, pipeline)


@test
def static_program():
    """a static C program, which no dynamic loader helps, is as it is natively"""
    program = str(shutil.copy(BUILD / "box/hello_static", SCRATCH / "hello"))
    assert b"INTERP" not in run_native(["readelf", "-l", program]).out
    native = run_native([program, "a", "b c"], INPUTS["text"])
    assert native.status == 42 and native.out
    boxed = run_boxed(spec("hello", "a", "b c"), INPUTS["text"], ("--no-cache", "--stats", "--scripts", str(SCRATCH)))
    compare(native, boxed)


main()
