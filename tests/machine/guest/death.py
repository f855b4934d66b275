"""Everybody who could clean up is killed while the tree forks as fast as it may."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import control
from keep import NEVER, zoo
from place import Place
from rows import Case, Finding

# The promise is 250 ms on a real processor; an emulated one forks and exits about ten times slower.
BOUND = 1.0


def both(place: Place, finding: Finding, tier: str, *options: str) -> None:
    """Kill owner and keeper together in the middle of a storm."""
    storm = place.keep("--limit=pids=100", *options, command=zoo("storm"))
    finding.note(f"tier {storm.tier}", storm.tier == tier)
    control.until(lambda: control.field(storm.tree, "pids.events", "max") > 0, NEVER)
    crowd = control.number(storm.tree, "pids.current")
    begin = time.monotonic()
    storm.tell(storm.keeper, signal.SIGKILL)
    storm.tell(storm.owner, signal.SIGKILL)
    control.until(lambda: control.empty(storm.pool), NEVER)
    took = time.monotonic() - begin
    finding.note(f"{crowd} processes gone after {took * 1000:.0f} ms", took <= BOUND)
    control.until(lambda: not storm.marked(), NEVER)
    finding.note(f"{len(storm.marked())} with the run's mark")


def in_a_namespace(place: Place, finding: Finding) -> None:
    """Tier A: the kernel ends the namespace."""
    both(place, finding, "A")


def in_a_cgroup(place: Place, finding: Finding) -> None:
    """Tier B: the warden is left, and ends the cgroup."""
    both(place, finding, "B", "--namespace=off")


def nothing_stays(place: Place, finding: Finding) -> None:
    """After an ordinary end the cgroups of the run are gone."""
    keep = place.keep("--namespace=off", "--limit=pids=50", command=zoo("hold"))
    inside = control.read(keep.tree, "cgroup.procs").split()
    finding.note(f"{len(inside)} process in {keep.tree.name}", len(inside) == 1)
    own = control.read(place.base, "cgroup.procs")
    finding.note("base holds no process" if not own else f"base holds {own}", not own)
    keep.process.send_signal(signal.SIGTERM)
    finding.note(f"exit {keep.wait()} after SIGTERM", keep.wait() == 143)
    finding.note("its cgroup is gone" if not keep.pool.exists() else f"{keep.pool.name} is still there", not keep.pool.exists())


def name(pid: int) -> str:
    """What a process is called and which state it is in."""
    try:
        identity, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return f"{pid} (gone by now)"
    return f"{identity}) {rest.split()[0]}"


def nobody_else(place: Place, finding: Finding) -> None:
    """After all the cases: the wardens, keepers and owners of every run have left as well."""
    others = [name(pid) for pid in control.members(place.base) if pid != os.getpid()]
    finding.note(f"left: {', '.join(others) or 'nobody'}", not others)


LAST = Case("after all of them", "nobody and nothing is left in the unit", nobody_else)
CASES = [
    Case("tier A: kill -9 of owner and keeper in a fork storm", f"zero left ≤ {BOUND:g} s", in_a_namespace),
    Case("tier B: kill -9 of owner and keeper in a fork storm", f"zero left ≤ {BOUND:g} s", in_a_cgroup),
    Case("tier B: SIGTERM to the owner", "143, the cgroup tree is gone", nothing_stays),
]
