"""Reading and writing cgroup v2, and waiting for facts in it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
# A poll is short enough not to be seen in the figures.
POLL = 0.002


def own_cgroup() -> Path:
    """The cgroup of this process."""
    line = Path("/proc/self/cgroup").read_text().strip()
    return ROOT / line.removeprefix("0::/")


def enable(cgroup: Path, controllers: Iterable[str]) -> None:
    """Hand those controllers that exist down to the children of a cgroup."""
    there = (cgroup / "cgroup.controllers").read_text().split()
    (cgroup / "cgroup.subtree_control").write_text(" ".join(f"+{c}" for c in controllers if c in there))


def read(cgroup: Path, name: str) -> str:
    """A file of a cgroup; empty when the cgroup is gone."""
    try:
        return (cgroup / name).read_text().strip()
    except (FileNotFoundError, OSError):
        return ""


def number(cgroup: Path, name: str) -> int:
    """A file that holds one number; 0 when the cgroup is gone."""
    return int(read(cgroup, name) or "0")


def field(cgroup: Path, name: str, key: str) -> int:
    """One number of a flat keyed file; 0 when it is not there."""
    pairs = (line.split() for line in read(cgroup, name).splitlines())
    return next((int(pair[1]) for pair in pairs if pair[0] == key), 0)


def empty(cgroup: Path) -> bool:
    """Whether no process is left: the kernel says so, or the cgroup is gone."""
    return field(cgroup, "cgroup.events", "populated") == 0


def members(cgroup: Path) -> list[int]:
    """Every process in a cgroup and below it."""
    return [int(pid) for folder in folders(cgroup) for pid in read(folder, "cgroup.procs").split()]


def name(pid: int) -> str:
    """What a process is called and which state it is in."""
    try:
        identity, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return f"{pid} (gone by now)"
    return f"{identity}) {rest.split()[0]}"


def folders(cgroup: Path) -> list[Path]:
    """A cgroup after all those below it; whoever else removes one meanwhile is not in the way."""
    return [Path(path) for path, _, _ in os.walk(cgroup, topdown=False)]


def kill(cgroup: Path) -> None:
    """Kill and remove a tree of cgroups."""
    with contextlib.suppress(OSError):
        (cgroup / "cgroup.kill").write_text("1")
    until(lambda: empty(cgroup), 10)
    for path in folders(cgroup):
        with contextlib.suppress(OSError):
            path.rmdir()


def until(fact: Callable[[], bool], seconds: float) -> float:
    """Wait for a fact and return how long it took; the time is up when it is still false."""
    begin = time.monotonic()
    while not fact():
        if time.monotonic() - begin > seconds:
            raise TimeoutError(f"waited {seconds:g} s in vain")
        time.sleep(POLL)
    return time.monotonic() - begin


def peak(number: Callable[[], int], seconds: float) -> int:
    """The highest value seen while watching for some time."""
    end, highest = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        highest = max(highest, number())
        time.sleep(POLL)
    return highest
