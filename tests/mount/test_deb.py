"""make install, make uninstall and make deb: what they make is complete, works, and goes away again."""

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from harness import Skip, main, need_fuse, test

TOP = Path(__file__).resolve().parent.parent.parent
BUILD = os.environ.get("ZVM_BUILD", "build")


def make(*words):
    result = subprocess.run(["make", "-C", TOP, "-s", f"BUILD={BUILD}", *words], capture_output=True, text=True, timeout=500,
                            env={name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")})
    assert result.returncode == 0, result
    return result.stdout


def files(directory):
    return sorted(str(path.relative_to(directory)) for path in Path(directory).rglob("*") if path.is_symlink() or not path.is_dir())


@functools.cache
def package():
    if not shutil.which("dpkg-deb") or not shutil.which("dpkg-shlibdeps"):
        raise Skip("there is no dpkg-deb or dpkg-shlibdeps here (Debian: dpkg-dev)")
    return Path(TOP, make("deb").split()[-1])


@test
def install_and_uninstall():
    """make install puts the program, manual, completion, units and examples below PREFIX, naming it, and make uninstall takes all of it away"""
    root = Path(tempfile.mkdtemp())
    make("install", f"DESTDIR={root}", "PREFIX=/opt/zvm")
    there = files(root / "opt/zvm")
    assert {"bin/zvm", "sbin/mount.fuse.zvm", "share/man/man1/zvm.1", "share/man/man5/zvm.5", "share/man/man7/zvm-box.7", "share/man/man8/mount.fuse.zvm.8",
            "share/bash-completion/completions/zvm", "share/zsh/site-functions/_zvm", "share/fish/vendor_completions.d/zvm.fish",
            "lib/systemd/system/zvm@.service", "lib/systemd/user/zvm@.service", "lib/tmpfiles.d/zvm.conf"} <= set(there), there
    unit = (root / "opt/zvm/lib/systemd/system/zvm@.service").read_text()
    assert "ExecStart=/opt/zvm/bin/zvm mount" in unit and "@bin@" not in unit
    assert subprocess.run([root / "opt/zvm/bin/zvm", "--version"], capture_output=True).returncode == 0
    assert {f"share/doc/zvm/examples/{path.name}" for path in (TOP / "contrib/scripts").iterdir()} <= set(there)
    make("uninstall", f"DESTDIR={root}", "PREFIX=/opt/zvm")
    assert files(root) == []


@test
def what_is_in_it():
    """the package has the version of zvm, depends on the libraries that the program is linked with, and twice built is the same file"""
    deb = package()
    version = re.search(r'ZVM_VERSION "(.*)"', (TOP / "include/zvm/command.h").read_text())[1]
    fields = subprocess.run(["dpkg-deb", "-f", deb], capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^Version: {re.escape(version)}$", fields, re.M) and "Architecture: amd64" in fields
    depends = re.search(r"^Depends: (.*)$", fields, re.M)[1]
    assert all(name in depends for name in ("libc6 (>=", "libfuse3", "libseccomp2", "libelf1", "libxxhash0", "libjansson4", "libzydis", "fuse3")), depends
    listed = subprocess.run(["dpkg-deb", "-c", deb], capture_output=True, text=True, check=True).stdout
    assert all(" root/root " in line for line in listed.splitlines())
    for path in ("man/man1/zvm.1.gz", "man/man5/zvm.5.gz", "man/man7/zvm-box.7.gz", "doc/zvm/copyright", "doc/zvm/changelog.gz", "zsh/vendor-completions/_zvm"):
        assert f"./usr/share/{path}\n" in listed, path
    first = deb.read_bytes()
    assert Path(TOP, make("deb").split()[-1]).read_bytes() == first


@test
def what_lintian_says():
    """lintian finds no error in it"""
    deb = package()
    if not shutil.which("lintian"):
        raise Skip("there is no lintian here")
    result = subprocess.run(["lintian", "--fail-on", "error", "--no-cfg", "--allow-root", deb], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0 and not re.search(r"^E:", result.stdout, re.M), result


def dpkg(root, *words):
    """In a root of its own, which the scripts of the package are told as DPKG_ROOT."""
    return subprocess.run(["dpkg", f"--root={root}", "--force-not-root", "--force-depends", "--force-script-chrootless", "--log=/dev/null", *map(str, words)],
                          capture_output=True, text=True, timeout=120)


@test
def installed_used_and_removed():
    """dpkg installs it, what it installed mounts and computes, and removing and purging leave nothing"""
    need_fuse()
    deb = package()
    root = Path(tempfile.mkdtemp())
    for directory in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "mnt", "in"):
        (root / directory).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    before = set(files(root))
    result = dpkg(root, "-i", deb)
    assert result.returncode == 0, result
    (root / "in/x").write_text("hello\n")
    helper, at = root / "usr/sbin/mount.fuse.zvm", root / "mnt"
    subprocess.run([helper, root / "in", at, "-o", f"ro,store={root}/var/cache/zvm"], check=True, timeout=60)
    try:
        assert (at / "run/wc -c/x").read_text() == "6\n"
        # An upgrade to the same version under a mount that is in use.
        assert dpkg(root, "-i", deb).returncode == 0
        assert (at / "run/cat/x").read_text() == "hello\n"
    finally:
        subprocess.run([root / "usr/bin/zvm", "umount", at], check=True, timeout=60)
    left = dpkg(root, "-r", "zvm")
    assert left.returncode == 0 and "warning" not in left.stderr, left
    assert not any(path.startswith("usr/") for path in files(root)) and not (root / "usr").exists(), files(root)
    assert dpkg(root, "-P", "zvm").returncode == 0
    kept = {path for path in files(root) if not path.startswith("var/lib/dpkg/")}
    assert not (root / "var/cache/zvm").exists()
    assert kept == {path for path in before if not path.startswith("var/lib/dpkg/")} | {"in/x"}, kept


@test
def what_its_scripts_do():
    """its maintainer scripts end well where neither systemd nor anything else is found, and only purge takes the store away"""
    directory = Path(tempfile.mkdtemp())
    (directory / "var/cache/zvm/objects").mkdir(parents=True)
    (directory / "bin").mkdir()
    (directory / "bin/rm").symlink_to("/bin/rm")
    subprocess.run(["dpkg-deb", "-e", package(), directory / "scripts"], check=True)
    for script, *words in (("postinst", "configure"), ("prerm", "upgrade", "1"), ("prerm", "remove"), ("postrm", "upgrade", "1"), ("postrm", "remove"), ("postrm", "purge")):
        assert (directory / "var/cache/zvm/objects").exists()
        result = subprocess.run([directory / "scripts" / script, *words], capture_output=True, text=True, env={"PATH": str(directory / "bin"), "DPKG_ROOT": str(directory)})
        assert result.returncode == 0 and not result.stderr, (script, words, result)
    assert not (directory / "var/cache/zvm").exists()


main()
