"""Who is alive: so that a test can say that nothing was left behind."""
import ctypes
import os
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
KEPT = set()  # our own children that are meant to live on


def adopt_orphans():
    """Whoever loses his parent becomes our child, so nothing that we start can get out of sight."""
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def stat_of(pid):
    """The fields after the name: state, parent, ..."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["X", "0"]


def is_alive(pid):
    return stat_of(pid)[0] not in "ZX"


def descendants(root):
    """{pid: parent} of all living processes below this one."""
    parents = {int(pid): stat_of(pid) for pid in os.listdir("/proc") if pid.isdigit()}
    below, found = {root}, {}
    while below:
        children = {pid for pid, fields in parents.items() if int(fields[1]) in below}
        found.update((pid, int(parents[pid][1])) for pid in children if parents[pid][0] not in "ZX")
        below = children
    return found


def bury_orphans():
    """Those that we adopted: dead, they would still count as processes of their user."""
    for pid in os.listdir("/proc"):
        if pid.isdigit() and int(pid) not in KEPT and stat_of(pid)[:2] == ["Z", str(os.getpid())]:
            os.waitpid(int(pid), os.WNOHANG)


def survivors(seconds=20):
    """Who is still there after a while, once orphans are adopted. To be asked when all that we started ourselves is waited for, or KEPT."""
    end = time.monotonic() + seconds
    while (members := set(descendants(os.getpid())) - KEPT) and time.monotonic() < end:
        time.sleep(0.02)
    bury_orphans()
    return members


def wait_until(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not (got := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.01)
    return got
