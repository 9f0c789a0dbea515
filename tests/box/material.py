"""What test_debian gives to the programs: inputs made from the texts that Debian ships, and scripts for the interpreters."""
import io
import json
import tarfile
import zlib
from pathlib import Path

from boxed import SCRATCH, program_path, run_native

LICENSES = Path("/usr/share/common-licenses")

C_SOURCE = """#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct node { struct node *next; double value; char name[16]; };
static struct node *list;
static int compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
void add(const char *name, double value) {
	struct node *n = calloc(1, sizeof *n);
	n->next = list, n->value = sqrt(value) / 3 + 0x1.8p-3;
	strncpy(n->name, name, sizeof n->name - 1);
	for (char *c = n->name; *c; c++) *c = (char)toupper(*c);
	list = n;
}
int main(int argc, char **argv) {
	qsort(argv + 1, argc - 1, sizeof *argv, compare);
	for (int i = 1; i < argc; i++) add(argv[i], i);
	switch (argc) { case 0: case 1: case 2: case 3: case 4: case 5: printf("%d\\n", argc * 7); break; default: abort(); }
	for (struct node *n = list; n; n = n->next) printf("%-16s %.17g\\n", n->name, n->value);
	return 0;
}
"""

CXX_SOURCE = """#include <algorithm>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
template <typename T> struct counter { std::map<T, int> seen; int add(const T &x) { if (x == T()) throw std::invalid_argument("empty"); return ++seen[x]; } };
int main() { counter<std::string> c; std::string w; try { while (std::cin >> w) c.add(w); c.add(""); } catch (const std::exception &e) { std::cerr << e.what(); }
	for (auto &[word, n] : c.seen) std::cout << word << ' ' << n << '\\n'; }
"""

MAN_PAGE = r""".TH BOX 1 "1 January 2000" "box 1" "User Commands"
.SH NAME
box \- a program that runs \fIother\fP programs
.SH SYNOPSIS
.B box
[\fB\-n\fP \fIcount\fP] \fIfile\fP ...
.SH DESCRIPTION
What \fBbox\fP does is explained in a paragraph that is long enough to be filled and adjusted, with an em\(emdash, \(lqquotes\(rq and \(co.
.TP
.BI \-n " count"
How often.
.IP \(bu 2
A bullet.
.TS
box center tab(;);
l r.
item;price
_
tea;1.50
coffee;12.25
.TE
.SH SEE ALSO
.BR cat (1)
"""

MARKDOWN = """# Title & more

A paragraph with *emphasis*, **strong** text, `code <b>`, a [link](http://example.org/?a=1&b=2) and ünïcode.

1. one
2. two
   - nested

> a quotation
> goes on

    code block

| no | table |
***
![image](a.png "title")
"""

HTML = """<html><head><title>A t&auml;ble</title></head><body><h1>Head</h1><p>Some <b>bold <i>and</b> italic</i> text&nbsp;&mdash; %s
<ul><li>one<li>two<li>three</ul><table border=1><tr><th>a<th>b<tr><td>1<td>2</table><a href="http://example.org/">there</a><br>
<pre>  kept   as
  it is</pre></body></html>
"""

M4 = """define(`fact', `ifelse(eval($1 < 2), 1, 1, `eval($1 * fact(decr($1)))')')dnl
fact(10) translit(`hello', `a-z', `A-Z') len(`abcdef') index(`abc', `c')
define(`for', `ifelse($2, $3, `$4', `pushdef(`$1', $2)$4`'popdef(`$1')for(`$1', incr($2), $3, `$4')')')dnl
for(`i', 1, 5, `<i>')
regexp(`GNUs not Unix', `\\w\\(\\w+\\)$', `*** \\& *** \\1 ***') format(`%05.2f|%s', `3.14159', `x')
divert(1)last
divert(0)first
"""

XML_WITH_STYLE = """<?xml version="1.0"?><?xml-stylesheet type="text/xml" href="#style"?><!DOCTYPE doc [<!ATTLIST xsl:stylesheet id ID #REQUIRED>]>
<doc><xsl:stylesheet id="style" version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:output method="text"/>
<xsl:template match="xsl:stylesheet"/><xsl:template match="/"><xsl:for-each select="doc/item"><xsl:sort select="@n" data-type="number"/>
<xsl:value-of select="concat(@n, ': ', ., ' ', format-number(@n div 3, '0.000'))"/><xsl:text>&#10;</xsl:text></xsl:for-each></xsl:template></xsl:stylesheet>
%s</doc>
"""


SQL = b"""create table w(n integer primary key, word text, size int);
with recursive c(i) as (select 1 union all select i + 1 from c where i < 500) insert into w select i, hex(i * i * 31), i % 17 from c;
create virtual table t using fts5(body); insert into t select word || ' ' || size from w;
select size, count(*), sum(n) over (order by size) from w group by size having count(*) > 29;
select json_group_array(word) from (select word from w order by word desc limit 5); .headers on
select rowid, highlight(t, 0, '[', ']') from t where t match '16' limit 3;
explain query plan select * from w where n between 3 and 9; select * from nowhere;
"""

ASSEMBLY = b"""%macro twice 2+
%rep 2
%1 %2
%endrep
%endmacro
%assign n 7*3
twice mov, eax, n
"""


def make_picture():
    """A PPM of 48 x 32: gradients, a circle and stripes, so that every converter has something to do."""
    pixels = bytearray()
    for y in range(32):
        for x in range(48):
            inside = (x - 24) ** 2 + (y - 16) ** 2 < 120
            pixels += bytes((x // 6 * 30, y // 4 * 30 if inside else 255 - y // 4 * 30, 200 if (x + y) % 7 == 0 else 40))
    return b"P6\n48 32\n255\n" + bytes(pixels)


def make_pdf():
    content = zlib.compress(b"BT /F1 18 Tf 50 100 Td (A page made by hand) Tj 0 -30 Td (with two lines.) Tj ET")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 150] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Title (By hand) /Producer (a test) /CreationDate (D:20000101000000Z) >>",
    ]
    pdf, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(pdf))
        pdf += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return pdf + b"xref\n0 7\n0000000000 65535 f \n" + table + b"trailer << /Size 7 /Root 1 0 R /Info 6 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(pdf)


def make_tar(text):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in (("d/one.txt", text[:3000]), ("d/" + "long" * 40, b"x" * 700), ("zwei-ü", b"")):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode, member.uname, member.gname = len(data), 951782400, 0o640, "somebody", "users"
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def natively(data, *argv):
    """What a program makes of it natively, as input of a row."""
    result = run_native(list(argv), data)
    assert result.status == 0 and result.out, f"{argv}: {result}"
    return result.out


def make_table(text):
    words = sorted(set(text.decode().lower().split()))
    return "".join(f"{i},{w.replace(',', ';').replace(chr(34), '_')},{len(w)},{(i * 7919) % 1000 / 8}\n" for i, w in enumerate(words))


def make_inputs():
    text = (LICENSES / "GPL-3").read_bytes()
    table = make_table(text)
    items = "".join(f'<item n="{(i * 37) % 101}" lang="{"de" if i % 3 else "en"}">w{i}&amp;</item>\n' for i in range(60))
    shell = Path(program_path("dash")).read_bytes()
    inputs = {
        "none": b"",
        "text": text,
        "long": b"".join((LICENSES / name).read_bytes() for name in ("Apache-2.0", "GFDL-1.3", "GPL-2", "GPL-3", "MPL-2.0")),
        "lines": b"".join(line[:40] + b"\n" for line in text.splitlines()[:60]),
        "latin": "Grüße aus Köln, café, naïve; 10 €\n".replace("€", "EUR").encode("latin-1") * 9,
        "utf8": "Grüße, Κόσμε, мир, 日本語, ﬁn — “quoted” ¼ é\n".encode() * 7,
        "dos": text[:4000].replace(b"\n", b"\r\n"),
        "tabs": text.replace(b"    ", b"\t"),
        "csv": table.encode(),
        "columns": "\n".join(" ".join(f"{(i * k * 7919) % 997}" for k in (1, 2, 3)) for i in range(1, 200)).encode() + b"\n",
        "numbers": "".join(f"{(i * 48271) % 2147483647}\n" for i in range(1, 300)).encode(),
        "pairs": "".join(f"n{i} n{(i * 7) % 61 + i + 1}\n" for i in range(80)).encode(),
        "dates": b"2024-02-29 12:00 UTC\n@0\n1999-12-31 + 1 day\nnot a date\n",
        "json": json.dumps([{"id": i, "name": w, "tags": w.split("e"), "x": i / 7} for i, w in enumerate(text.decode().split()[:300])]).encode(),
        "xml": f'<?xml version="1.0" encoding="UTF-8"?><list xmlns:x="urn:x"><!-- c -->{items}<x:e>ü</x:e></list>'.encode(),
        "bad-xml": b"<a><b></a>",
        "style": (XML_WITH_STYLE % items).encode(),
        "html": (HTML % text[:900].decode()).encode(),
        "markdown": MARKDOWN.encode(),
        "man": MAN_PAGE.encode(),
        "overstruck": b"N\x08NA\x08AM\x08ME\x08E\n\t_\x08wo_\x08rd and x\x1b[1mbold\x1b[0m\n" * 5,
        "c": C_SOURCE.encode(),
        "m4": M4.encode(),
        "sql": SQL,
        "asm": ASSEMBLY,
        "elf": shell,
        "tar": make_tar(text),
        "pdf": make_pdf(),
        "ppm": make_picture(),
        "names": b"_ZNSt6vectorIiSaIiEE9push_backERKi\n_ZN3fooC2Ev: _Z3barPKcz\nplain\n",
        "word": b"three miles\n",
        "md5list": natively(b"", "md5sum", *(str(LICENSES / name) for name in ("BSD", "GPL-2", "MPL-2.0"))).replace(b"f", b"e", 1),
    }
    changed = [line.replace(b"software", b"hardware") for line in text.splitlines(True) if b"patent" not in line]
    (SCRATCH / "changed").write_bytes(b"".join(changed))
    inputs["changed"] = b"".join(changed)
    inputs["diff"] = run_native(["diff", "-u", "--label", "a", "--label", "b", str(LICENSES / "GPL-3"), str(SCRATCH / "changed")]).out
    inputs["old-diff"] = run_native(["diff", str(LICENSES / "GPL-3"), str(SCRATCH / "changed")]).out
    inputs["i"] = natively(inputs["c"], "gcc", "-E", "-P", "-x", "c", "-")
    inputs["ii"] = natively(CXX_SOURCE.encode(), "g++", "-E", "-P", "-x", "c++", "-")
    inputs["s"] = natively(inputs["i"], "gcc", "-S", "-O1", "-x", "c", "-", "-o", "-")
    for key, program, *options in (("bz2", "bzip2"), ("xz", "xz"), ("lzma", "lzma"), ("zst", "zstd"), ("lz4", "lz4"), ("br", "brotli"),
                                   ("Z", "compress"), ("lz", "lzip"), ("gz", "gzip", "-n")):
        inputs[key] = natively(text, program, *options, "-c")
    inputs["base32"], inputs["ascii85"] = natively(text, "base32"), natively(text[:4000], "basenc", "--z85")
    inputs["hex"], inputs["uu"] = natively(text, "xxd"), natively(text, "busybox", "uuencode", "-")
    inputs["pgm"] = natively(inputs["ppm"], "ppmtopgm")
    inputs["pbm"] = natively(inputs["pgm"], "pamditherbw", "-threshold")
    for key, program in (("png", "pnmtopng"), ("jpeg", "pnmtojpeg"), ("gif", "pamtogif"), ("tiff", "pamtotiff"), ("bmp", "ppmtobmp"), ("xpm", "ppmtoxpm")):
        inputs[key] = natively(inputs["ppm"], program)
    inputs["webp"] = natively(inputs["png"], "cwebp", "-quiet", "-lossless", "-o", "-", "--", "-")
    inputs["rsa"] = natively(b"", "openssl", "genrsa", "1024")
    inputs["csr"] = natively(inputs["rsa"], "openssl", "req", "-new", "-key", "/dev/stdin", "-subj", "/CN=box/O=Örg", "-utf8")
    return inputs

# Programs too long for a command line: script name -> text.
TEXTS = {
    "wrap.pl": r"""#!/usr/bin/perl -w
use Text::Wrap; use Unicode::Normalize; use List::Util qw(reduce pairs); use POSIX qw(strtol fmod);
local $/; $_ = <>; $Text::Wrap::columns = 50;
print wrap('> ', '| ', NFD(substr $_, 0, 1500)), "\n", unpack('%32C*', $_), "\n", (reduce { ($a * 31 + $b) % 65521 } unpack 'C*', $_), fmod(7.5, 2), "\n";
our @l;
format STDOUT =
@<<<<<<< @>>>>> @##.## ^<<<<<<<~~
$l[0], $l[1], $l[2], $l[3]
.
for (pairs map { length } (split /\n/)[0 .. 39]) { @l = (@$_, $$_[0] / 3, "some more words"); write }
printf STDERR "%vd %s\n", "1.22", strtol("ff", 16); warn "low"; exit 4
""",
    "big.pl": r"""#!/usr/bin/perl
use Math::BigInt; use Math::BigFloat; use Time::Piece; use Data::Dumper; use bigint; $Data::Dumper::Sortkeys = 1;
print 2 ** 300, "\n", Math::BigFloat->bpi(60), "\n", gmtime(951782400)->strftime("%F %T"), "\n", Dumper([1, {a => undef}]);
my $pid = open my $child, '-|'; if (!$pid) { print "from the child\n"; exit 3 } print <$child>; close $child; print $? >> 8, "\n";
eval { die { code => 5 } }; print $@->{code}, "\n"; die "enough"
""",
    "pack.pl": r"""#!/usr/bin/env -S perl -0777 -n
use Compress::Zlib; use Digest::MD5 qw(md5_hex); use Storable qw(freeze thaw); use IO::Compress::Bzip2 qw(bzip2); use Encode;
my $c = compress($_, 9); my $b; bzip2 \$_ => \$b; print length $c, md5_hex($c), length $b, "\n";
print thaw(freeze({a => [1, $_]}))->{a}[1] eq uncompress($c) ? 'same' : 'other', "\n", encode('UTF-16LE', "\x{20ac}"), crc32($_)
""",
    "tags.py": r"""#!/usr/bin/python3
import html.parser, sys
class Parser(html.parser.HTMLParser):
    def handle_starttag(self, tag, attributes): print(self.getpos(), tag, attributes)
    def handle_data(self, data): print(repr(data[:30]))
Parser().feed(sys.stdin.read())
""",
    "foreign.py": r"""#!/usr/bin/python3
import array, cmath, ctypes, mmap, struct
libm = ctypes.CDLL("libm.so.6")
libm.floor.restype = ctypes.c_double
print(libm.floor(ctypes.c_double(-2.5)), libm.abs(-3))
libc = ctypes.CDLL(None)
numbers = (ctypes.c_int * 5)(5, 2, 9, 1, 7)
order = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
libc.qsort(numbers, 5, 4, order(lambda a, b: a[0] - b[0]))
print(list(numbers), array.array("d", [1.5]).tobytes(), cmath.polar(1j))
with mmap.mmap(-1, 8192) as m: m[4090:4100] = b"0123456789"; print(m.find(b"567"), m[4095:4098])
""",
    "threads.py": r"""#!/usr/bin/python3
import concurrent.futures, queue, sys, threading
q, out = queue.Queue(), []
workers = [threading.Thread(target=lambda: [out.append(len(x)) for x in iter(q.get, None)]) for _ in range(4)]
[w.start() for w in workers], [q.put(l) for l in sys.stdin], [q.put(None) for _ in workers], [w.join() for w in workers]
print(sum(out), len(out))
with concurrent.futures.ThreadPoolExecutor(3) as pool: print(list(pool.map(lambda n: n ** 5, range(9))))
""",
    "tasks.py": r"""#!/usr/bin/python3
import asyncio
async def late(n): await asyncio.sleep(n / 50); print(n); return n
async def main():
    print(await asyncio.wait_for(asyncio.gather(*map(late, [3, 1, 2])), 5))
    try: await asyncio.wait_for(asyncio.Event().wait(), 0.01)
    except asyncio.TimeoutError: print("timeout")
asyncio.run(main())
""",
    "fork.py": r"""#!/usr/bin/python3
import multiprocessing, os, signal, sys
r, w = os.pipe()
if os.fork() == 0:
    os.write(w, b"from the child"); os._exit(7)
print(os.read(r, 99), os.waitstatus_to_exitcode(os.wait()[1]))
signal.signal(signal.SIGUSR1, lambda n, f: print("signal", n)); os.kill(os.getpid(), signal.SIGUSR1)
sys.stdout.flush()
with multiprocessing.get_context("fork").Pool(2) as pool: print(pool.map(abs, [-1, 2, -3]))
sys.exit(9)
""",
    "world.py": r"""#!/usr/bin/python3
import codecs, datetime, email.message, email.utils, locale, zoneinfo, ipaddress, urllib.parse, zipfile, io
print(locale.setlocale(locale.LC_ALL, ""), codecs.lookup("idna").name, email.utils.format_datetime(email.utils.parsedate_to_datetime("Tue, 29 Feb 2000 00:00:00 -0500")))
print(datetime.datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")).astimezone(datetime.timezone.utc), len(zoneinfo.available_timezones()) > 300)
print("bücher.example".encode("idna"), list(ipaddress.ip_network("10.0.0.0/30")), urllib.parse.parse_qs("a=1&a=%C3%BC"), "ß".encode("cp037", "replace"))
m = email.message.EmailMessage(); m["Subject"] = "Grüße"; m.set_content("Köln"); print(m)
z = io.BytesIO()
with zipfile.ZipFile(z, "w", zipfile.ZIP_DEFLATED) as f: f.writestr(zipfile.ZipInfo("a"), b"x" * 999)
print(len(z.getvalue()), zipfile.ZipFile(z).infolist())
""",
    "words.lua": r"""#!/usr/bin/lua5.4
local c, k = {}, {}
for w in io.read('a'):gmatch('%a+') do c[w] = (c[w] or 0) + 1 end
for w in pairs(c) do k[#k + 1] = w end
table.sort(k)
for i = 1, 30 do io.write(k[i], ' ', c[k[i]], '\n') end
local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i * 1.5) end end)
print(co(), co() // 1, string.pack('>I4', 7):byte(1, -1), os.date('!%F', 951782400), #arg, string.format('%a %g', 1 / 3, 2 ^ 53))
error({})
""",
    "words.tcl": r"""#!/usr/bin/tclsh8.6
set counts [dict create]
while {[gets stdin line] >= 0} { foreach word [regexp -all -inline {[A-Za-z]+} $line] { dict incr counts [string tolower $word] } }
foreach {word n} [lrange [lsort -stride 2 -index 1 -integer -decreasing [lsort -stride 2 $counts]] 0 19] { puts [format "%-12s %5d" $word $n] }
puts [expr {2**200}][clock format 951782400 -gmt 1 -format { %Y-%m-%d %A}]
puts [encoding convertto utf-8 \u00e4][binary encode hex [binary format Iw 7 -1]]
if {[catch {expr {1/0}} message]} { puts stderr $message; exit 3 }
""",
    "arrays.bash": r"""#!/bin/bash
f() { local -n r=$1; r+=($(printf '%s ' {1..5})); }
a=(0); f a; echo "${#a[@]} ${a[@]@Q} $#"
cat() { while IFS= read -r l; do echo "<$l>"; done; }
cat <<< $'a\nb' | cat
declare -A m=([x]=1 [y]=2); for k in x y z; do echo "$k=${m[$k]-none}"; done
cat < <(for w in "$@"; do echo "${w^^}"; done)
coproc { read -r x; echo "got $x"; }; echo to >&"${COPROC[1]}"; read -r y <&"${COPROC[0]}"; echo "$y"
exit 6
""",
    "split.bash": r"""#!/bin/bash
n=0
while read -r a b; do [[ $a == *[[:upper:]]* ]] && { echo "$a" >&3; ((n++)); }; done 3> >(i=0; while read -r x; do ((i++)); done; echo "got $i $x" >&2)
wait $!; printf '%(%Y)T %d\n' 0 $n; trap 'echo usr1' USR1; kill -USR1 $$; ((n > 10)) || exit 1
nowhere-to-be-found
""",
    "pipes.bash": r"""#!/bin/bash
mapfile -t l
for i in "${!l[@]}"; do printf '%3d %s\n' $((i * i)) "${l[i]^^}"; done | { read -r x; read -r y; echo "$y"; echo "$x"; mapfile -t; }
set -e -o pipefail; (exit 3) | true || echo "${PIPESTATUS[*]}"; false; echo never
""",
    "pipes.sh": r"""#! /bin/sh -u
n=$(while read -r l; do echo $l; done | { i=0; while read -r l; do i=$((i + 1)); done; echo $i; })
echo "$n lines"; (exit 3) || echo $?
while read -r l; do echo "$l"; done <<END
here $n
END
trap 'echo bye; exit 4' TERM; kill -TERM $$; echo "$nothing"
""",
}
