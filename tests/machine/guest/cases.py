"""The test program: runs one phase's cases as the user it was started as, and prints a row for each.

The unit is delegated, so this program first moves itself into a leaf of its own and hands every controller
down: the cgroup it builds under then holds no process, as the kernel wants it.
"""

from __future__ import annotations

import os
import sys

import bound
import daemon
import death
import left
import limits
import live
import reboot
import reload
import rows
import truth
import units
from place import Place


def phase_one(place: Place, which: str) -> list[rows.Case]:
    """What is tried on the first boot: `all`, or only what depends on the `manager` and not on the kernel."""
    of_kernel = [*truth.CASES, *limits.CASES, *bound.CASES, *death.CASES] if which == "all" else []
    # Only root can ask the system's systemd for units.
    if not place.is_root:
        return of_kernel
    of_manager = [*truth.LESSER, *units.CASES, *daemon.CASES, *reload.CASES, *live.CASES]
    return [*of_kernel, *of_manager]


def main() -> None:
    """Run the phase named by the first argument, with the cases named by the second."""
    place = Place.delegated()
    cases = phase_one(place, sys.argv[2]) if sys.argv[1] == "1" else [*left.CASES, *reboot.CASES]
    for case in cases:
        rows.run(case, place)
    # For the count outside: a row that got lost on its way must not pass unseen.
    print(f"{len(cases)} rows of {place.who}", flush=True)
    if place.is_root and sys.argv[1] == "1":
        left.leave_running()
        reboot.leave_running()


if __name__ == "__main__":
    os.umask(0o022)
    main()
