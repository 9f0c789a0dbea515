"""Every command that README and the manual show is run, and what they say that it prints is compared with what it prints."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import ZVM, Skip, main, need_fuse, test

TOP = Path(__file__).resolve().parent.parent.parent
END = "== end of a command =="
# What no two machines or runs have in common. Of links to one licence, read at the same time, each counts as computed or as there already.
MASKS = ((r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DAY TIME"), (r"\d+\.\d+( ?s)\b", r"N.N\1"), (r'"dependencies":\d+', '"dependencies":N'),
         (r"\d+ computed, \d+ there already", "N computed, N there already"))


def mask(text):
    for pattern, replacement in MASKS:
        text = re.sub(pattern, replacement, text)
    return re.sub(r"\n\s*\n", "\n", text)


def commands(text):
    """(command, the output shown) of every indented line that begins with a prompt."""
    shown, inside = [], False
    for line in text.splitlines():
        if line.startswith("    $ "):
            shown.append((line[6:], []))
            inside = True
        elif line.startswith("    ") and inside:
            shown[-1][1].append(line[4:])
        elif line.strip():
            inside = False
    return [(command, "\n".join(output).strip()) for command, output in shown]


def run_all(lines, directory, **environment):
    """What each line prints, in one shell, as somebody would type them."""
    script = "TIMEFORMAT='real %Rs'\n" + "".join(f"{line}\necho '{END}' $?\n" for line in lines)
    result = subprocess.run(["bash"], input=script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=directory, timeout=300,
                            env={"PATH": os.environ["PATH"], "HOME": str(directory), "LC_ALL": "C.UTF-8", **environment})
    parts = re.split(f"^{END} (\\d+)\n", result.stdout, flags=re.M)
    assert len(parts) == 2 * len(lines) + 1, result.stdout
    return [(output.strip(), int(status)) for output, status in zip(parts[::2], parts[1::2])]


def away(directory):
    if os.path.ismount(directory / "mnt"):
        subprocess.run([ZVM, "umount", directory / "mnt"], check=True)


def like_the_tree(directory):
    (directory / "build").mkdir()
    (directory / "build/zvm").symlink_to(ZVM)
    (directory / "contrib").symlink_to(TOP / "contrib")


def manual(name, section):
    """The lines of the section's examples, as man shows them."""
    text = (TOP / "contrib/man" / name).read_text()
    part = re.search(rf"^\.SH {section}\n(.*?)(?=^\.SH |\Z)", text, re.M | re.S)
    blocks = re.findall(r"^\.nf\n(.*?)^\.fi$", part[1], re.M | re.S) if part else []
    return [line.replace("\\-", "-").replace("\\e", "\\") for block in blocks for line in block.splitlines() if line]


@test
def the_readme():
    """each command of README prints what README says, but for times and the number of files that Python opens"""
    need_fuse()
    if not Path("/usr/share/common-licenses/GPL-3").exists():
        raise Skip("README reads the licences that Debian has in /usr/share/common-licenses")
    directory = Path(tempfile.mkdtemp())
    like_the_tree(directory)
    shown = commands((TOP / "README.md").read_text())
    assert len(shown) > 20
    try:
        wrong = [f"$ {command}\n{output}\n-- README has\n{said}" for (command, said), (output, _) in
                 zip(shown, run_all([command for command, _ in shown], directory)) if mask(output) != mask(said)]
        assert not wrong, "\n\n".join(wrong)
    finally:
        away(directory)


@test
def what_readme_makes():
    """each make target that README names is one"""
    makefile = (TOP / "Makefile").read_text()
    for target in re.findall(r"(?:^    |`)make ([a-z][a-z-]*)", (TOP / "README.md").read_text(), re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


@test
def the_examples_of_the_manual():
    """the examples of zvm(1) work as they stand there"""
    need_fuse()
    home = Path(tempfile.mkdtemp())
    (home / "scripts").mkdir()
    (home / "texts").mkdir()
    for place in ("scripts", "."):
        (home / place / "count.py").write_text("#!/usr/bin/env python3\nimport sys\nprint(len(sys.stdin.read().split()))\n")
        (home / place / "count.py").chmod(0o755)
    for name, text in (("moby.txt", "Call me Ishmael.\n"), ("access.log", "b\na\nb\n"), ("x.json", '{"a": 1}'), ("y.json", '{"a": 2}')):
        (home / "texts" / name).write_text(text)
    (home / "moby.txt").symlink_to("texts/moby.txt")
    (home / "bin").mkdir()
    (home / "bin/zvm").symlink_to(ZVM)
    lines = [line for line in manual("zvm.1", "EXAMPLES") if not re.search("fuse.zvm|^systemctl", line)]
    assert len(lines) >= 8, lines
    try:
        results = dict(zip(lines, run_all(lines, home, PATH=f"{home}/bin:{os.environ['PATH']}")))
        failed = {line: result for line, result in results.items() if result[1] != (1 if line.startswith("diff ") else 0)}
        assert not failed, failed
        assert results["cat mnt/run/count.py/moby.txt"] == ("3", 0)
        assert next(output for line, (output, _) in results.items() if "uniq" in line).split() == ["2", "b", "1", "a"]
    finally:
        away(home)


@test
def the_lines_of_fstab():
    """mount(8)'s helper understands the options of every fstab line that the manual and contrib/systemd/fstab show"""
    directory = Path(tempfile.mkdtemp())
    helper = directory / "mount.fuse.zvm"
    helper.symlink_to(ZVM)
    lines = manual("zvm.1", "EXAMPLES") + (TOP / "contrib/systemd/fstab").read_text().splitlines()
    lines = [line.split() for line in lines if re.match(r"/\S+\s+/\S+\s+fuse\.zvm\s", line)]
    assert len(lines) >= 4
    for source, target, _, options, dump, check in lines:
        assert (dump, check) == ("0", "0")
        result = subprocess.run([helper, source, target, "-f", "-o", "rw," + options], capture_output=True)
        assert result.returncode == 0, (shlex.join([source, target, options]), result)


main()
