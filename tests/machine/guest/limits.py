"""Memory: who is killed, and who is only slowed down."""

from __future__ import annotations

import time

import control
from keep import elapsed, zoo
from place import Place
from rows import Case, Finding


def hog_alone(place: Place, finding: Finding, *options: str) -> None:
    """A hog beside a quiet neighbour."""
    neighbour = place.keep("--limit=memory=60M", *options, command=zoo("hold"))
    begin = time.monotonic()
    hog = place.keep("--limit=memory=60M", *options, command=zoo("hog", 120))
    finding.note(f"tier {hog.tier}", hog.tier == ("B" if options else "A"))
    status = hog.wait()
    finding.note(f"exit {status} after {elapsed(begin)}", status == 137)
    kills = hog.wait_event("gone")["oom_kills"]
    finding.note(f"oom_kills {kills}", kills >= 1)
    finding.note(f"{len(hog.marked())} left of it", not hog.marked())
    finding.note("neighbour lives" if neighbour.alive() else "neighbour died", neighbour.alive())


def hog_in_tier_b(place: Place, finding: Finding) -> None:
    """The same without a namespace."""
    hog_alone(place, finding, "--namespace=off")


def group_kill(place: Place, finding: Finding) -> None:
    """The hog is a child in a session of its own: its modest parent dies only if the group is killed."""
    hog = place.keep("--limit=memory=60M", command=zoo("family", 120))
    group = control.number(hog.tree, "memory.oom.group")
    finding.note(f"memory.oom.group {group}", group == 1)
    exited = hog.wait_event("exited")
    finding.note(f"parent ended by signal {exited['signal']}", exited["signal"] == 9)
    status = hog.wait()
    finding.note(f"exit {status}, {len(hog.marked())} left", status == 137 and not hog.marked())


def high(place: Place, finding: Finding) -> None:
    """Above memory-high the kernel slows the hog down and never kills it."""
    hog = place.keep("--limit=memory-high=40M", command=zoo("hog", 200))
    control.until(lambda: control.field(hog.tree, "memory.events", "high") > 5, 20)
    reached = control.peak(lambda: control.number(hog.tree, "memory.current") >> 20, 1)
    killed = control.field(hog.tree, "memory.events", "oom_kill")
    finding.note(f"throttled {control.field(hog.tree, 'memory.events', 'high')} times")
    finding.note(f"{reached} of 200 MiB after 1 s more", reached < 100)
    finding.note(f"oom_kill {killed}", killed == 0)
    finding.note("lives" if hog.alive() else "died", hog.alive())


CASES = [
    Case("memory=60M, a hog beside a neighbour", "only its tree dies, exit 137, oom_kills ≥ 1", hog_alone),
    Case("memory=60M in tier B, a hog beside a neighbour", "the same", hog_in_tier_b),
    Case("memory=60M, a child is the hog", "the whole tree is killed at once", group_kill),
    Case("memory-high=40M, a hog of 200M", "slowed down, not killed", high),
]
