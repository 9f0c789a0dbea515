"""The scripts of contrib/scripts do what they say, in a box as outside, and no crawler starts any of them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import Mount, main, test, zvm

CONTRIB = Path(__file__).resolve().parent.parent.parent / "contrib"
SAMPLES = CONTRIB / "samples"


class Examples(Mount):
    def __init__(self, *options):
        super().__init__(*options)
        shutil.copytree(CONTRIB / "scripts", self.scripts, dirs_exist_ok=True)
        shutil.copytree(SAMPLES, self.inputs, dirs_exist_ok=True)

    def text(self, name):
        return self.read(name).decode()


def natively(script, arguments, data):
    result = subprocess.run([CONTRIB / "scripts" / script, *arguments], input=data, capture_output=True, timeout=60,
                            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"})
    return result.stdout


@test
def as_outside():
    """each example that throws no dice writes in the box what it writes outside"""
    cases = (("csv.jq", (), "towns.json"), ("logstat.awk", (), "access.log"), ("metrics.py", (), "sum.c"),
             ("csvsql.py", ("SELECT town FROM t WHERE people > 400000 ORDER BY people DESC",), "towns.csv"),
             ("wordcount.py", ("3",), "walk.md"), ("wordlengths.awk", (), "walk.md"))
    with Examples() as m:
        m.put("towns.csv", m.read("run/csv.jq/towns.json"))
        for script, arguments, name in cases:
            spec = " ".join((script, *(argument.replace(" ", "%20") for argument in arguments)))
            got = m.read(f"run/{spec}/{name}")
            assert got and got == natively(script, arguments, (m.inputs / name).read_bytes()), (spec, got)


@test
def awkward_inputs():
    """empty and odd inputs give an answer or a failure that says why, never a traceback"""
    with Examples() as m:
        m.put("empty", b"")
        m.put("array", b"[]")
        m.put("ragged", b"a,b\n1\n2,3,4\n\n")
        assert m.text("run/csv.jq/array").strip() == ""
        assert m.text("run/logstat.awk/empty") == "0 requests of 0 clients, 0.0 KiB; 0 other lines\n"
        assert m.text("run/metrics.py/empty").startswith("0 lines")
        assert m.text("run/notebook.py/empty") == ""
        assert m.text("run/csvsql.py SELECT%20a,b%20FROM%20t/ragged") == "a,b\n1,\n2,3\n"
        for spec in ("csvsql.py SELECT%20nothing%20FROM%20t/ragged", "csvsql.py/ragged", "csvsql.py SELECT%201/empty"):
            assert m.error(f"run/{spec}")[0] and m.read(f"err/{spec}") and b"Traceback" not in m.read(f"err/{spec}"), spec


@test
def a_notebook():
    """a notebook's blocks share one interpreter, its output is the same in every store, and an exception is shown with its line and fails"""
    with Examples() as m:
        first = m.text("run/notebook.py/walk.md")
        assert first.startswith((SAMPLES / "walk.md").read_text().rstrip("\n")) and "```output\nfrom " in first
        m.unmount()
        shutil.rmtree(m.store)
        m.mount()
        assert m.text("run/notebook.py/walk.md") == first
        m.put("broken.md", b"one\n\n```python\nx = 1\nx / 0\n```\n\nnever\n")
        number, got = m.error("run/notebook.py/broken.md")
        assert number and b"ZeroDivisionError in line 5: division by zero" in got and b"never" not in got, got


@test
def pictures_and_papers():
    """thumbnails and the text of a PDF come from pipelines of the machine's programs; the gallery is made once, and again without running anything"""
    with Examples() as m:
        assert "penguin" in m.text("run/pdftotext - -/paper.pdf")
        page = m.root / "page"
        make = ["make", "-s", "-f", str(CONTRIB / "scripts/gallery.mk"), f"MNT={m.at}", f"PICTURES={m.inputs}", f"OUT={page}"]
        subprocess.run(make, check=True, timeout=60)
        assert (page / "cloth.jpg").read_bytes()[:2] == b"\xff\xd8" and 'src="cloth.jpg"' in (page / "index.html").read_text()
        runs = m.runs()
        assert subprocess.run([*make, "-q"]).returncode == 0
        shutil.rmtree(page)
        subprocess.run(make, check=True, timeout=60)
        assert m.runs() == runs
        (m.inputs / "broken.jpg").write_bytes(b"no picture")
        assert subprocess.run(make, capture_output=True, timeout=60).returncode and not (page / "broken.jpg").exists()


@test
def crawlers():
    """find, du, ls -lR, grep that excludes, updatedb's walk and a tool that asks for sizes and types start nothing, however many specs there are"""
    with Examples() as m:
        for i in range(50):
            m.put(f"d{i % 5}/f{i}", b"%d\n" % i)
        listed = [m.path("run"), m.path("run/wc -l"), m.path("info"), m.path("err"), m.path("stream"), m.path("run/sort | uniq -c")]
        for command in (["find", *listed, "-type", "f", "-size", "+1k"], ["find", *listed, "-newer", "/", "-printf", "%s %p\n"], ["du", "-sh", *listed], ["ls", "-lRi", *listed],
                        ["grep", "-r", "--exclude=*", "x", *listed], ["stat", *(f"{place}/towns.json" for place in listed[1:2])]):
            result = subprocess.run(command, capture_output=True, timeout=60)
            assert result.returncode in (0, 1) and not result.stderr, (command, result.stderr)
        for top, directories, files in os.walk(m.at):
            directories[:] = [d for d in directories if d != "cas"]
            for name in files:
                os.stat(os.path.join(top, name))
                os.access(os.path.join(top, name), os.R_OK)
                os.listxattr(os.path.join(top, name))
        if shutil.which("updatedb"):  # plocate's or mlocate's
            subprocess.run(["updatedb", "-U", str(m.at), "-o", str(m.root / "locate.db"), "--prunefs", "", "--prunepaths", "", "--require-visibility", "no"],
                           check=True, timeout=60)
        if shutil.which("rg"):
            subprocess.run(["rg", "--files", m.path("run")], stdout=subprocess.DEVNULL, timeout=60)
        assert m.runs() == 0 and m.stats()["zvm_cache_misses_total"] == 0


@test
def what_reads():
    """grep -r does read, so it runs what it is shown, once"""
    with Examples() as m:
        shown = sorted(path.name for path in SAMPLES.iterdir())
        result = subprocess.run(["grep", "-rc", ".", m.path("run/cat")], capture_output=True, text=True, timeout=60)
        assert result.returncode == 0 and len(result.stdout.splitlines()) == len(shown) == m.runs(), result
        subprocess.run(["grep", "-rL", "x", m.path("run/cat")], capture_output=True, timeout=60)
        assert m.runs() == len(shown)


@test
def what_doctor_says_of_indexers():
    """doctor names the line that keeps an indexer away, and the manual has it"""
    said = zvm("doctor").stdout.decode()
    assert "updatedb" in said and "tracker" in said and "baloo" in said, said
    manual = (CONTRIB / "man/zvm.5").read_text()
    assert all(word in manual for word in ("PRUNEFS", "tracker", "baloo", "fuse.zvm"))
    assert json.loads(zvm("vet", "--json", str(CONTRIB / "scripts/notebook.py")).stdout)


main()
