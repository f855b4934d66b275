"""Processes, CPU and disk: held at the limit, and not far below it either."""

from __future__ import annotations

import os
import signal
import time

import control
from keep import NEVER, zoo
from place import Place
from rows import Case, Finding

WINDOW = 3.0
WRITE_MIB = 6
RATE_MIB = 2


def bomb(place: Place, finding: Finding) -> None:
    """A fork bomb stays in its box and goes when its owner goes."""
    box = place.keep("--limit=pids=20", command=zoo("bomb"))
    control.until(lambda: control.field(box.tree, "pids.events", "max") > 0, NEVER)
    # Not pids.current: the kernel counts a fork there before it refuses it, so a reader may see one too many.
    most = control.peak(lambda: len(control.members(box.tree)), 1)
    finding.note(f"at most {most} processes", 15 < most <= 20)
    begin = time.monotonic()
    box.tell(box.owner, signal.SIGKILL)
    control.until(lambda: control.empty(box.pool), NEVER)
    took = time.monotonic() - begin
    finding.note(f"tree dead {took * 1000:.0f} ms after kill -9 of the owner", took <= 1)


def half_a_core(place: Place, finding: Finding) -> None:
    """Two busy loops share half a core."""
    busy = place.keep("--limit=cpu=0.5", command=zoo("spin", 2))
    # From the first throttling on: the start of the program is not part of the figure.
    control.until(lambda: control.field(busy.tree, "cpu.stat", "nr_throttled") > 1, NEVER)
    begin, before = time.monotonic(), control.field(busy.tree, "cpu.stat", "usage_usec")
    control.peak(lambda: 0, WINDOW)
    used = control.field(busy.tree, "cpu.stat", "usage_usec") - before
    share = used / 1e6 / (time.monotonic() - begin)
    finding.note(f"cpu.max '{control.read(busy.tree, 'cpu.max')}'")
    finding.note(f"{share:.2f} of a core over {WINDOW:g} s", 0.3 <= share <= 0.65)


def disk(place: Place, finding: Finding) -> None:
    """Writing past the page cache is held at the rate."""
    device = os.stat(place.state).st_dev
    name = f"{os.major(device)}:{os.minor(device)}"
    took, rate = place.state / "took", RATE_MIB << 20
    took.unlink(missing_ok=True)
    writer = place.keep(
        f"--limit=io={name},rbps={rate},wbps={rate}",
        command=zoo("write", place.state / "block", WRITE_MIB, took),
    )
    limit = control.read(writer.tree, "io.max")
    finding.note(f"io.max '{limit}'", f"wbps={rate}" in limit and f"rbps={rate}" in limit)
    control.until(took.exists, NEVER)
    seconds = float(took.read_text())
    speed = WRITE_MIB / seconds
    finding.note(f"{speed:.1f} MiB/s over {seconds:.1f} s", RATE_MIB / 3 <= speed <= RATE_MIB * 1.5)


CASES = [
    Case("pids=20, a fork bomb", "never more than 20; dead ≤ 1 s after the kill", bomb),
    Case("cpu=0.5, two busy loops", "0.3 to 0.65 of a core", half_a_core),
    Case(f"io {RATE_MIB} MiB/s, a writer past the cache", "written to io.max, and held", disk),
]
