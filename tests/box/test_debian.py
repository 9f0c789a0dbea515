"""What Debian packages do with real input: text, compression, archives, conversion, images, documents, compilers, interpreters.

Each row is a command line, or a pipeline of them, run natively and through `zvm run --no-cache` on the same bytes. Standard output, exit
status and standard error are compared. The rows are chosen so that the native output depends on nothing but program and input.
"""
import subprocess

from boxed import SCRATCH, add_test, compare, main, run_boxed, run_native, spec
from material import TEXTS, make_inputs

SCRIPTS = SCRATCH / "scripts"
LIBGCC = subprocess.run(["gcc", "-print-libgcc-file-name"], capture_output=True, check=True, text=True).stdout.strip()
LIBPYTHON = subprocess.run(["/usr/bin/python3", "-c", "import stat; print(stat.__file__)"], capture_output=True, check=True, text=True).stdout.strip()[:-7]

# Input, then the words of the command line; "|" between the stages of a pipeline.
ROWS = [
    # Text, one coreutil after the other.
    ("text", "sum"),
    ("text", "sum", "-s"),
    ("text", "sha1sum", "--tag", "-"),
    ("long", "sha224sum"),
    ("long", "sha384sum", "-z"),
    ("long", "sha512sum", "-b"),
    ("md5list", "md5sum", "-c"),
    ("text", "cksum", "-a", "sm3", "--untagged"),
    ("text", "b2sum", "-l", "128"),
    ("text", "base32", "-w", "50"),
    ("base32", "base32", "-d"),
    ("text", "base32", "-d"),
    ("text", "basenc", "--base64url"),
    ("text", "basenc", "--base2lsbf", "-w", "64"),
    ("ascii85", "basenc", "--z85", "-d"),
    ("tabs", "expand", "-i", "-t", "4,9,20"),
    ("text", "unexpand", "-a", "-t", "4"),
    ("text", "fold", "-b", "-w", "17"),
    ("text", "fmt", "-u", "-c", "-w", "40"),
    ("text", "nl", "-b", "pthe", "-s", ": ", "-w", "3", "-n", "rz"),
    ("lines", "pr", "-3", "-h", "title", "-D", "a day", "-l", "30", "-w", "100"),
    ("lines", "pr", "-m", "-t", "-n", "-w", "90", "-", "/usr/share/common-licenses/BSD"),
    ("lines", "ptx", "-w", "60", "-g", "2"),
    ("lines", "ptx", "-O", "-f"),
    ("pairs", "tsort"),
    ("lines", "tsort"),
    ("text", "shuf", "-n", "20", "--random-source=/usr/share/common-licenses/GPL-2"),
    ("none", "shuf", "-i", "1-50", "--random-source=/usr/share/common-licenses/GPL-3"),
    ("text", "sort", "-R", "--random-source=/usr/share/common-licenses/GPL-2"),
    ("columns", "sort", "-k2,2nr", "-k1,1", "--debug"),
    ("numbers", "sort", "-g", "-r"),
    ("numbers", "numfmt", "--to=iec-i", "--suffix=B", "--format=%12.2f"),
    ("columns", "numfmt", "--field=2-", "--to=si", "--round=down", "--padding=8"),
    ("text", "numfmt"),
    ("numbers", "factor"),
    ("none", "seq", "-f", "%+.3e", "-s", ";", "0", ".37", "5"),
    ("none", "expr", "substring and more", ":", r"sub\(.*\) and"),
    ("none", "expr", "2", "*", "(", "3", "+", "4", ")", ">", "13"),
    ("dates", "date", "-u", "-f", "-", "+%A %j %s"),
    ("none", "date", "-u", "-d", "2024-02-29 +1 year 3 days ago", "--rfc-3339=seconds"),
    ("none", "stat", "-c", "%n %F %a %s", "/usr/bin/env", "/usr/share", "/usr/share/common-licenses/GPL"),
    ("none", "ls", "-1F", "/usr/share/common-licenses", "/usr/share/no-such-directory"),
    ("none", "ls", "-RmQ", "/usr/share/perl5"),
    ("none", "readlink", "-f", "/bin/sh", "/usr/share/common-licenses/GPL"),
    ("none", "realpath", "-m", "--relative-to=/usr/lib", "/usr/share/../bin/x"),
    ("none", "dirname", "-z", "/a/b/c", "d", "/"),
    ("none", "pathchk", "-p", "a" * 20),
    ("none", "printenv", "LANG", "TZ", "NOTHING"),
    ("none", "uname", "-sm"),
    ("none", "tty"),
    ("none", "[", "-d", "/usr/bin/env", "-o", "-f", "/usr/share", "]"),
    ("none", "dircolors", "-p"),
    ("none", "cp", "/usr/share/common-licenses/BSD", "/dev/stdout"),
    ("text", "tee", "/dev/stderr"),
    ("text", "dd", "conv=ucase,swab", "bs=100", "count=30", "iflag=fullblock", "status=none"),
    ("lines", "dd", "conv=block,ebcdic", "cbs=50", "status=none"),
    ("elf", "od", "-t", "f8", "-A", "d", "-j", "64", "-N", "640"),
    ("elf", "od", "-S", "12", "-A", "x"),
    ("text", "comm", "-3", "--nocheck-order", "--output-delimiter=|", "-", "/usr/share/common-licenses/GPL-2"),
    ("columns", "join", "-j", "1", "-a", "1", "-o", "0,1.2,2.3", "-e", "none", "--nocheck-order", "-", "/usr/share/common-licenses/BSD"),
    ("text", "csplit", "-f", "part", "-", "/Preamble/", "/TERMS/+2", "%END%"),
    ("text", "tail", "-n", "+20", "-", "/usr/share/common-licenses/BSD"),
    ("text", "cat", "/nothing", "-", "/usr"),
    # Searching, editing, comparing.
    ("text", "grep", "-nbo", "-m", "7", "-E", r"\b[a-z]{9,}\b"),
    ("text", "grep", "-A2", "-B1", "-e", "patent", "--group-separator=##", "--color=always"),
    ("utf8", "grep", "-oP", r"\p{Cyrillic}+|\p{Greek}+"),
    ("text", "grep", "-F", "-f", "/usr/share/common-licenses/BSD", "-c"),
    ("none", "grep", "-rlw", "warranty", "/usr/share/common-licenses", "|", "sort"),
    ("elf", "grep", "-a", "-o", "-E", "[A-Za-z_]{8,}"),
    ("text", "sed", "-n", "1!G;h;$p"),
    ("text", "sed", "-E", r":a;s/^(\s*)([0-9]+)\.(.*)$/\1\2)\3/;/[^.]$/{N;s/\n/ /;ta};="),
    ("text", "sed", "--debug", "-e", "/Preamble/,/TERMS/{s/\\w/\\U&/g;l 20", "-e", "}", "-e", "w /dev/stdout", "-e", "20q5"),
    ("none", "find", "/usr/share/common-licenses", "-type", "f", "-size", "+20k", "-printf", "%f %s %m %y %d\\n", "|", "sort"),
    ("none", "find", "/usr/bin", "-name", "x*", "-type", "l", "-printf", "%p -> %l\\n", "|", "sort"),
    ("changed", "diff", "-u", "--label", "a", "--label", "b", "/usr/share/common-licenses/GPL-3", "-"),
    ("changed", "diff", "-y", "-W", "90", "--suppress-common-lines", "/usr/share/common-licenses/GPL-3", "-"),
    ("changed", "diff", "-e", "-b", "-", "/usr/share/common-licenses/GPL-3"),
    ("changed", "cmp", "-l", "-n", "9000", "/usr/share/common-licenses/GPL-3", "-"),
    ("text", "cmp", "/usr/share/common-licenses/GPL-2"),
    ("diff", "patch", "-s", "-f", "--read-only=ignore", "-o", "-", "/usr/share/common-licenses/GPL-3"),
    ("old-diff", "patch", "-s", "-f", "--read-only=ignore", "-R", "-o", "-", "/usr/share/common-licenses/GPL-2"),
    ("diff", "diffstat", "-p0"),
    ("diff", "colordiff"),
    ("text", "gawk", "-v", "FPAT=[^ ]+ing", "NF { for (i = 1; i <= NF; i++) print gensub(/(.)ing/, \"<\\\\1>\", \"g\", $i) }"),
    ("none", "gawk", "BEGIN { while ((getline l < \"/usr/share/common-licenses/BSD\") > 0) n += length(l); printf \"%d %c %s\\n\", n, 252, sprintf(\"%x\", compl(0)) }"),
    ("text", "gawk", "--lint", "{ a[$1]++ } END { PROCINFO[\"sorted_in\"] = \"@val_num_desc\"; for (k in a) if (a[k] > 3) print k, a[k], x }"),
    ("columns", "mawk", "{ s = s + $1 * $2; t[$3 % 7] += log($1 + 1) } END { printf \"%.15g\\n\", s; for (i = 0; i < 7; i++) printf \"%d %.12f\\n\", i, t[i]; exit 9 }"),
    ("columns", "datamash", "-W", "sum", "1", "mean", "2", "pstdev", "3", "median", "1", "unique", "3"),
    ("columns", "datamash", "-W", "groupby", "1", "count", "2"),
    # Columns, terminals, line ends and character sets.
    ("overstruck", "col", "-b"),
    ("overstruck", "col", "-x"),
    ("overstruck", "ul", "-t", "xterm"),
    ("text", "colrm", "5", "12"),
    ("csv", "column", "-t", "-s", ",", "-R", "3", "-o", " | "),
    ("csv", "column", "-J", "-s", ",", "--table-name", "words", "-N", "n,word,size,x"),
    ("elf", "hexdump", "-C", "-n", "1500"),
    ("elf", "hexdump", "-v", "-e", "4/4 \"%08x \" \"\\n\"", "-n", "640"),
    ("text", "xxd", "-i"),
    ("text", "xxd", "-b", "-l", "300"),
    ("hex", "xxd", "-r"),
    ("none", "getopt", "-o", "ab:c::", "-l", "long,with:", "--", "-a", "x", "-bval", "--wi", "th", "-c", "it's"),
    ("none", "getopt", "-o", "a", "--", "-z"),
    ("none", "namei", "-m", "/usr/share/common-licenses/GPL"),
    ("utf8", "iconv", "-f", "UTF-8", "-t", "UTF-16"),
    ("utf8", "iconv", "-f", "UTF-8", "-t", "ASCII//TRANSLIT"),
    ("utf8", "iconv", "-f", "UTF-8", "-t", "ISO-8859-1"),
    ("latin", "iconv", "-f", "LATIN1", "-t", "IBM037"),
    ("utf8", "iconv", "-c", "-t", "EUC-JP", "|", "iconv", "-f", "EUC-JP", "-t", "ISO-2022-JP"),
    ("none", "iconv", "-l"),
    ("latin", "recode", "latin1..html"),
    ("utf8", "recode", "-f", "utf8..utf-7"),
    ("utf8", "uni2ascii", "-a", "U", "-q"),
    ("utf8", "uni2ascii", "-q", "|", "ascii2uni", "-q"),
    ("dos", "dos2unix"),
    ("text", "unix2dos"),
    ("none", "locale"),
    ("none", "getconf", "PATH"),
    # Compression, in both directions.
    ("long", "gzip", "-1", "-n"),
    ("gz", "gzip", "-d", "-v"),
    ("long", "bzip2", "-9", "-c"),
    ("bz2", "bunzip2", "-c"),
    ("bz2", "bzcat"),
    ("text", "bzcat"),
    ("long", "lzma", "-3", "-c"),
    ("lzma", "lzcat"),
    ("xz", "unxz", "-c"),
    ("xz", "xzcat", "--robot", "-v"),
    ("long", "xz", "--check=sha256", "--lzma2=dict=64KiB", "-c"),
    ("long", "zstd", "-19", "-c", "-q"),
    ("text", "zstd", "--ultra", "-22", "--long", "-c", "-q", "--single-thread"),
    ("zst", "unzstd", "-c"),
    ("gz", "zstd", "-d", "-c"),
    ("text", "zstdcat"),
    ("long", "lz4", "-9", "-c"),
    ("lz4", "unlz4", "-c"),
    ("lz4", "lz4cat"),
    ("text", "lz4", "-d", "-c"),
    ("long", "brotli", "-q", "11", "-w", "20", "-c"),
    ("br", "brotli", "-d", "-c"),
    ("text", "compress", "-c"),
    ("Z", "gzip", "-dc"),
    ("text", "lzip", "-6", "-c"),
    ("lz", "lzip", "-dc"),
    ("long", "gzip", "-n", "|", "zstd", "-3", "-c", "|", "zstd", "-d", "-c", "|", "gzip", "-d", "|", "md5sum"),
    # Archives and objects.
    ("tar", "tar", "-tvf", "-"),
    ("tar", "tar", "-xOf", "-", "d/one.txt"),
    ("text", "tar", "-tf", "-"),
    ("none", "tar", "-C", "/usr/share/common-licenses", "--sort=name", "--mtime=@0", "--owner=a:1", "--group=b:2", "-cf", "-", "BSD", "GPL-2", "GPL"),
    ("tar", "cpio", "-itvn", "--quiet"),
    ("tar", "cpio", "-i", "--to-stdout", "--quiet", "d/one*"),
    ("none", "ar", "tv", LIBGCC),
    ("none", "ar", "p", LIBGCC, "_popcountsi2.o"),
    ("none", "nm", LIBGCC),
    ("none", "nm", "-D", "--defined-only", "/usr/bin/dash"),
    ("none", "objdump", "-d", "/usr/lib/x86_64-linux-gnu/crt1.o"),
    ("none", "objdump", "-dr", "--no-show-raw-insn", "-M", "intel", "/usr/bin/true"),
    ("none", "objdump", "-s", "-j", ".rodata", "/usr/bin/true"),
    ("none", "readelf", "-aW", "/usr/bin/dash"),
    ("none", "readelf", "-wf", "/usr/lib/x86_64-linux-gnu/crt1.o"),
    ("none", "size", "-A", "-x", "/usr/bin/dash"),
    ("elf", "strings", "-n", "10", "-t", "x", "-"),
    ("names", "c++filt", "-n"),
    ("none", "objcopy", "-O", "binary", "-j", ".rodata", "/usr/bin/true", "/dev/stdout"),
    ("none", "addr2line", "-f", "-e", "/usr/bin/true", "0x100"),
    ("none", "ld", "--verbose"),
    ("none", "elfedit", "--help"),
    ("elf", "file", "-"),
    ("png", "file", "-b", "-i", "-"),
    ("tar", "file", "-k", "-"),
    ("none", "file", "-L", "/bin/sh", "/usr/share/common-licenses/GPL-3"),
    # Compilers and their relatives.
    ("i", "cc1", "-quiet", "-fpreprocessed", "-O2", "-fverbose-asm", "-o", "-", "-"),
    ("i", "cc1", "-quiet", "-fpreprocessed", "-O3", "-march=x86-64-v3", "-Wall", "-fanalyzer", "-o", "-", "-"),
    ("c", "cc1", "-quiet", "-E", "-dM", "-imultiarch", "x86_64-linux-gnu", "-"),
    ("ii", "cc1plus", "-quiet", "-fpreprocessed", "-std=c++17", "-O1", "-o", "-", "-"),
    ("text", "cc1", "-quiet", "-fpreprocessed", "-o", "-", "-"),
    ("s", "as", "-al", "-o", "/dev/null", "-"),
    ("text", "as", "-o", "/dev/null", "-"),
    ("m4", "m4", "-"),
    ("m4", "m4", "-DX=1", "-dV", "-P"),
    ("c", "indent", "-kr", "-l100"),
    ("c", "indent", "-gnu"),
    ("asm", "nasm", "-E", "-"),
    # Numbers and data.
    ("none", "dc", "-e", "100 k 2 v p 16 o 255 p [la1+dsa*pla10>y]sy 0sa1 lyx"),
    ("none", "dc", "-e", "1 0 / p"),
    ("json", "jq", "-r", "map(select(.x > 40)) | .[] | [.id, .name, .x] | @csv"),
    ("json", "jq", "-c", "--stream", "select(length == 2 and .[0][1] == \"tags\") | .[1]"),
    ("none", "jq", "-n", "[range(10) | pow(2; . * 7)] , (946684800 | todate), (\"a,b\" / \",\"), ({} | .a.b[2] = 1)"),
    ("sql", "sqlite3", "-batch"),
    ("csv", "sqlite3", "-csv", ":memory:", ".import /dev/stdin t", "select * from t limit 20 offset 7"),
    ("none", "sqlite3", "-json", ":memory:", "select value, typeof(value), printf('%q', value) from json_each('[1, 2.5, \"it''s\", null]')"),
    ("xml", "xmllint", "--format", "-"),
    ("xml", "xmllint", "--c14n", "-"),
    ("xml", "xmllint", "--xpath", "string(sum(//item[@lang='de']/@n))", "-"),
    ("bad-xml", "xmllint", "--noout", "-"),
    ("html", "xmllint", "--html", "--xmlout", "-"),
    ("style", "xsltproc", "-"),
    ("xml", "xmlstarlet", "sel", "-t", "-m", "//item[@n>90]", "-s", "D:N:-", "@n", "-v", "@n", "-o", " ", "-v", ".", "-n"),
    ("xml", "xmlstarlet", "el", "-u"),
    ("xml", "xmlstarlet", "ed", "-d", "//item[@lang='en']", "-u", "//item/@n", "-v", "0"),
    # Keys and sums.
    ("text", "openssl", "dgst", "-hmac", "key", "-sha512"),
    ("text", "openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-S", "0011223344556677", "-pass", "pass:secret", "-a"),
    ("text", "openssl", "enc", "-camellia128", "-K", "11" * 16, "-iv", "22" * 16, "|", "openssl", "enc", "-d", "-camellia128", "-K", "11" * 16, "-iv", "22" * 16),
    ("rsa", "openssl", "pkey", "-text", "-noout"),
    ("rsa", "openssl", "rsa", "-outform", "DER", "|", "openssl", "asn1parse", "-inform", "DER", "-i"),
    ("csr", "openssl", "req", "-text", "-noout", "-verify", "-nameopt", "utf8"),
    ("none", "openssl", "passwd", "-6", "-salt", "abcd", "password"),
    ("none", "openssl", "prime", "-hex", "FFFFFFFFFFFFFFC5"),
    ("none", "openssl", "ciphers", "-v", "HIGH"),
    ("none", "openssl", "errstr", "0A000086"),
    ("text", "rhash", "--all", "-"),
    # Images.
    ("png", "pngtopnm"),
    ("png", "pngtopam", "-alphapam"),
    ("jpeg", "jpegtopnm"),
    ("gif", "giftopnm"),
    ("tiff", "tifftopnm"),
    ("bmp", "bmptopnm"),
    ("xpm", "xpmtoppm"),
    ("ppm", "pnmtopng", "-interlace", "-compression", "9"),
    ("ppm", "pnmtojpeg", "-quality=70", "-progressive"),
    ("ppm", "pamtotiff", "-lzw"),
    ("ppm", "pamtogif"),
    ("ppm", "pamscale", "-xsize", "100", "-filter=sinc"),
    ("ppm", "pamcut", "-left", "3", "-top", "4", "-width", "20", "-height", "10"),
    ("ppm", "pamflip", "-rotate90"),
    ("ppm", "pnmcolormap", "16", "|", "pamtopnm"),
    ("ppm", "ppmhist", "-nomap"),
    ("ppm", "ppmtopgm", "|", "pamedge", "|", "pnminvert", "|", "pamtopng"),
    ("ppm", "pnmgamma", "2.2"),
    ("ppm", "pnmnorm"),
    ("ppm", "pamsharpness"),
    ("ppm", "pamdepth", "3"),
    ("ppm", "pamfile"),
    ("ppm", "pamsumm", "-mean", "-brief"),
    ("ppm", "ppmtoxpm", "-name", "picture"),
    ("pbm", "pbmtoascii"),
    ("pbm", "pbmtoxbm", "-name", "picture"),
    ("pgm", "pgmhist"),
    ("pgm", "pgmenhance"),
    ("lines", "pbmtext"),
    ("text", "pngtopnm"),
    ("ppm", "ppmtopgm", "|", "pgmtopgm", "|", "pnmtops", "-noturn", "-nocenter"),
    ("ppm", "cjpeg", "-optimize", "-grayscale"),
    ("jpeg", "djpeg", "-bmp"),
    ("jpeg", "jpegtran", "-rotate", "90", "-trim"),
    ("jpeg", "rdjpgcom", "-verbose"),
    ("png", "cwebp", "-q", "60", "-quiet", "-o", "-", "--", "-"),
    ("webp", "dwebp", "-quiet", "-ppm", "-o", "-", "--", "-"),
    ("gif", "gifsicle", "-I"),
    ("gif", "gifsicle", "--rotate-90", "--colors", "8"),
    ("lines", "qrencode", "-o", "-", "-t", "UTF8", "-l", "L"),
    ("word", "qrencode", "-o", "-", "-t", "PNG", "-s", "4"),
    ("word", "qrencode", "-o", "-", "-t", "SVG", "-8"),
    # Documents.
    ("man", "preconv", "|", "tbl", "|", "troff", "-man", "-Tutf8", "|", "grotty"),
    ("man", "tbl", "|", "troff", "-man", "-Tascii", "-ww", "|", "grotty", "-c"),
    ("man", "soelim"),
    ("man", "eqn", "-Tutf8"),
    ("markdown", "cmark"),
    ("markdown", "cmark", "--to", "latex"),
    ("markdown", "cmark", "--to", "man", "--width", "60"),
    ("markdown", "markdown"),
    ("html", "tidy", "-q", "-asxml", "-i"),
    ("html", "html2text", "-utf8"),
    ("html", "w3m", "-dump", "-T", "text/html"),
    ("pdf", "pdftotext", "-layout", "-", "-"),
    ("pdf", "pdfinfo", "-"),
    ("text", "pdftotext", "-", "-"),
    ("lines", "figlet", "-w", "100"),
    ("none", "figlet", "-f", "slant", "box"),
    ("none", "cowsay", "-f", "tux", "deterministic"),
    ("lines", "cowsay", "-n"),
    # Interpreters.
    ("text", "wrap.pl"),
    ("none", "big.pl"),
    ("text", "pack.pl"),
    ("json", "json_pp", "-json_opt", "pretty,canonical,utf8"),
    ("text", "shasum", "-a", "512224"),
    ("none", "corelist", "-v", "5.36.0"),
    ("utf8", "piconv", "-f", "utf8", "-t", "UTF-16BE"),
    ("none", "pod2text", "-w", "70", "/usr/bin/corelist"),
    ("none", "pod2man", "-d", "2000-01-01", "-r", "1", "-c", "x", "-n", "CORELIST", "/usr/bin/corelist"),
    ("none", "podchecker", "/usr/bin/corelist"),
    ("none", "python3", "-m", "calendar", "2024"),
    ("none", "python3", "-m", "ast", LIBPYTHON + "keyword.py"),
    ("none", "python3", "-m", "tokenize", "-e", LIBPYTHON + "keyword.py"),
    ("text", "python3", "-m", "quopri"),
    ("gz", "python3", "-m", "gzip", "-d", "-"),
    ("html", "tags.py"),
    ("none", "foreign.py"),
    ("text", "threads.py"),
    ("none", "tasks.py"),
    ("none", "fork.py"),
    ("none", "world.py"),
    ("text", "words.lua"),
    ("text", "words.tcl"),
    ("lines", "tclsh8.6"),
    ("none", "arrays.bash", "one", "two words"),
    ("text", "split.bash"),
    ("lines", "pipes.bash"),
    ("text", "pipes.sh"),
    ("none", "dash", "-c", "x=`echo a; echo b`; set -- $x; echo $# $2; case $x in a*) echo yes;; esac; cd /usr/share && pwd; cd /nowhere"),
    # One binary, many programs.
    ("text", "busybox", "tac"),
    ("text", "busybox", "fold", "-s", "-w", "33"),
    ("bz2", "busybox", "bunzip2", "-c"),
    ("xz", "busybox", "unxz", "-c"),
    ("gz", "busybox", "zcat"),
    ("text", "busybox", "gzip", "-c", "|", "busybox", "gunzip", "-c"),
    ("tar", "busybox", "tar", "-tf", "-"),
    ("uu", "busybox", "uudecode", "-o", "-"),
    ("elf", "busybox", "hexdump", "-C", "-n", "300"),
    ("elf", "busybox", "strings", "-n", "12"),
    ("text", "busybox", "sha3sum"),
    ("text", "busybox", "crc32"),
    ("none", "busybox", "factor", "360360", "97"),
    ("none", "busybox", "cal", "2", "2024"),
    ("none", "busybox", "ipcalc", "-bnm", "192.168.3.7/20"),
    ("changed", "busybox", "diff", "/usr/share/common-licenses/GPL-3", "-"),
    ("text", "busybox", "awk", "{ n[length($0) % 5]++ } END { for (i = 0; i < 5; i++) print i, n[i] }"),
    ("text", "busybox", "ash", "-c", "while read -r a b; do echo \"$b\"; done | while read -r x y; do echo \"${y%%e*}\"; done"),
]


def stages_of(words):
    stages = [[]]
    for w in words:
        if w == "|":
            stages.append([])
        else:
            stages[-1].append(w)
    return stages


def native_argv(words):
    path = SCRIPTS / words[0]
    return [str(path), *words[1:]] if path.exists() else list(words)


def run_natively(stages, data):
    """As a shell would, but one after the other: all but the last have to succeed."""
    complaints = b""
    for number, words in enumerate(stages, 1):
        result = run_native(native_argv(words), data, cwd=SCRATCH)
        complaints += result.err.replace(str(SCRIPTS).encode(), b"/script")
        if number < len(stages):
            assert result.status == 0 and result.out, f"{words}: {result}"
            data = result.out
    result.err = complaints
    return result


def compare_row(key, stages):
    native = run_natively(stages, INPUTS[key])
    boxed = run_boxed(" | ".join(spec(*words) for words in stages), INPUTS[key], ("--no-cache", "--stats", "--scripts", str(SCRIPTS)))
    assert native.out or native.err or native.status, "nothing was compared"
    compare(native, boxed, runs=len(stages))


def make_scripts():
    """Some programs are not on the PATH, as the compiler proper: links among the scripts make them scripts."""
    SCRIPTS.mkdir()
    (SCRIPTS / "cowsay").symlink_to("/usr/games/cowsay")
    for name, text in TEXTS.items():
        (SCRIPTS / name).write_text(text)
        (SCRIPTS / name).chmod(0o755)
    for name in ("cc1", "cc1plus"):
        path = subprocess.run(["g++", "-print-prog-name=" + name], capture_output=True, check=True, text=True).stdout.strip()
        (SCRIPTS / name).symlink_to(path)


make_scripts()
INPUTS = make_inputs()
for input_key, *row in ROWS:
    add_test(f"{' '.join(row)[:100]!r} on {input_key} is as it is natively", compare_row, input_key, stages_of(row))

main()
