"""Everybody who could clean up is killed while the tree forks as fast as it may."""

from __future__ import annotations

import select
import signal
import time

import control
import reap
from keep import NEVER, Keep, elapsed, zoo
from place import Place
from rows import Case, Finding

# The promise is 250 ms on a real processor; an emulated one forks and exits about ten times slower.
BOUND = 1.0
# The processes of the animal of that name.
FAMILY = 2


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


def helpless(place: Place) -> tuple[Keep, int]:
    """A keep in tier B whose owner, keeper and warden are stopped and see nothing; the warden's pidfd."""
    keep = place.keep("--namespace=off", command=zoo("family", 1))
    control.until(lambda: len(control.members(keep.tree)) == FAMILY, NEVER)
    warden = keep.warden()
    for pidfd in (keep.owner, keep.keeper, warden):
        keep.tell(pidfd, signal.SIGSTOP)
    return keep, warden


def removed(place: Place, finding: Finding) -> None:
    """A warden that finds its cgroup gone has nothing more to wait for."""
    keep, warden = helpless(place)
    control.kill(keep.pool)
    finding.note("cgroup removed by somebody else", not keep.pool.exists())
    begin = time.monotonic()
    for pidfd in (keep.owner, keep.keeper):
        keep.tell(pidfd, signal.SIGKILL)
    keep.tell(warden, signal.SIGCONT)
    control.until(lambda: bool(select.select([warden], [], [], 0)[0]), NEVER)
    finding.note(f"warden left after {elapsed(begin)}")


def nobody_to_clean_up(place: Place, finding: Finding) -> None:
    """Owner, keeper and warden are all killed: the tree lives, until reap is asked."""
    keep, warden = helpless(place)
    # The keeper before the owner: the kernel continues stopped processes whose session is orphaned.
    for pidfd in (warden, keep.keeper, keep.owner):
        keep.tell(pidfd, signal.SIGKILL)
    keep.wait()
    survivors = len(control.members(keep.tree))
    finding.note(f"{survivors} survive", survivors > 0)
    status, said = reap.run()
    mine = next(one for one in said if one["run"] == keep.run)
    killed = len(mine["processes"])
    finding.note(
        f"reap: {mine['verdict']} with {killed} killed; exit {status}",
        (status, mine["verdict"]) == (0, "abandoned") and killed > 0,
    )
    finding.note(f"{len(keep.marked())} left", not keep.marked())
    finding.either(not keep.pool.exists(), "its cgroup is gone", "its cgroup is still there")


def nothing_stays(place: Place, finding: Finding) -> None:
    """After an ordinary end the cgroups of the run are gone."""
    keep = place.keep("--namespace=off", "--limit=pids=50", command=zoo("hold"))
    inside = control.read(keep.tree, "cgroup.procs").split()
    finding.note(f"{len(inside)} process in {keep.tree.name}", len(inside) == 1)
    own = control.read(place.base, "cgroup.procs")
    finding.either(not own, "base holds no process", f"base holds {own}")
    keep.process.send_signal(signal.SIGTERM)
    finding.note(f"exit {keep.wait()} after SIGTERM", keep.wait() == 143)
    finding.either(not keep.pool.exists(), "its cgroup is gone", "its cgroup is still there")


CASES = [
    Case("tier A: kill -9 of owner and keeper in a fork storm", f"zero left ≤ {BOUND:g} s", in_a_namespace),
    Case("tier B: kill -9 of owner and keeper in a fork storm", f"zero left ≤ {BOUND:g} s", in_a_cgroup),
    Case("tier B: somebody else removes the cgroup of the dead", "the warden leaves", removed),
    Case(
        "tier B: owner, keeper and warden killed, then reap",
        "reap ends the rest",
        nobody_to_clean_up,
    ),
    Case("tier B: SIGTERM to the owner", "143, the cgroup tree is gone", nothing_stays),
]
