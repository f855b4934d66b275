"""Boots the machine twice, watches it, and says what was seen.

    phases.py WORK IMAGE BOOT…

WORK is a folder for disks and logs, IMAGE the disk to copy. BOOT is called with a phase, a disk, a file for
the console and a place for a monitor, and becomes the machine; its standard output is the rows.

A frozen machine proves nothing about what is tested in it, so it is booted again on a fresh copy of the
disk, twice at most, and every time that is said. Only a freeze is forgiven: a row that failed, a case that
hangs, a machine that goes off by itself are findings, and findings are never tried again.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import watch

BOOTS = 3
# For all boots together, in seconds. A boot that cannot be given this much any more is not begun.
BUDGET = 900.0
WORTHWHILE = 200.0
ROW = re.compile(r"^(pass|FAIL) \| (root|tester) ")
TOLD = re.compile(r"^(\d+) rows of ")
CONSOLE_LINES = 40


def say(what: str) -> None:
    """One line that is no row."""
    print(f"machine: {what}", flush=True)


class Phases:
    """All boots of one run."""

    def __init__(
        self, work: Path, command: list[str], patience: watch.Patience, budget: float = BUDGET
    ) -> None:
        self.work = work
        self.command = command
        self.patience = patience
        self.begin = time.monotonic()
        self.end = self.begin + budget
        self.worthwhile = min(WORTHWHILE, patience.whole)
        self.rows: list[str] = []

    def fail(self, what: str, promised: str, seen: str) -> None:
        """A failed row of the host."""
        row = f"FAIL | machine | {what} | {promised} | {seen}"
        print(row, flush=True)
        self.rows.append(row)

    def both(self, image: Path) -> bool:
        """The second boot has the disk of the first one, as it was when the power was cut."""
        first = self.run(1, image)
        if first and self.run(2, first):
            self.count()
        return self.verdict()

    def run(self, phase: int, disk: Path) -> Path | None:
        """A phase on a copy of that disk; the copy as it was left, when the phase came to its end."""
        for attempt in range(1, BOOTS + 1):
            copy = self.work / f"disk.{phase}.{attempt}"
            subprocess.run(["cp", "--sparse=always", disk, copy], check=True)
            seen = self.boot(phase, attempt, copy)
            if not seen.frozen or seen.failed or not self.again(phase, attempt, seen):
                break
            copy.unlink()
        self.rows += seen.rows
        if seen.fault:
            self.fail(f"phase {phase}", "it comes to its end", seen.fault)
            return None
        return copy

    def boot(self, phase: int, attempt: int, disk: Path) -> watch.Boot:
        """One boot, and what its console said when it did not come to its end."""
        console, monitor = self.work / f"console.{phase}.{attempt}", self.work / f"monitor.{phase}.{attempt}"
        left = max(self.end - time.monotonic(), 1)
        patience = watch.Patience(
            self.patience.boot, self.patience.beat, min(self.patience.whole, left), self.patience.off
        )
        seen = watch.boot(
            [*self.command, str(phase), str(disk), str(console), str(monitor)], console, monitor, patience
        )
        if seen.fault:
            say(f"phase {phase}, boot {attempt}: {seen.fault}; ended after {seen.seconds:.0f} s")
            for line in seen.evidence:
                say(f"  {line}")
            say("the end of its console:")
            show_end(console)
        return seen

    def again(self, phase: int, attempt: int, seen: watch.Boot) -> bool:
        """Whether a frozen phase is booted once more, and a word about it."""
        if attempt == BOOTS:
            say(f"phase {phase} froze {BOOTS} times; that is enough")
            return False
        if self.end - time.monotonic() < self.worthwhile:
            say("no time is left to boot it again")
            return False
        passed = sum(bool(ROW.match(row)) for row in seen.rows)
        say(f"booting phase {phase} again on a fresh disk; the {passed} rows of the frozen boot do not count")
        return True

    def count(self) -> None:
        """A row that never arrived is a failed one."""
        told = sum(int(match[1]) for row in self.rows if (match := TOLD.match(row)))
        arrived = sum(bool(ROW.match(row)) for row in self.rows)
        if told != arrived:
            self.fail("rows", "each one arrives", f"{arrived} of {told}")

    def verdict(self) -> bool:
        """The last line."""
        say(f"all boots took {time.monotonic() - self.begin:.0f} s")
        passed = sum(row.startswith("pass |") for row in self.rows)
        failed = sum(row.startswith("FAIL |") for row in self.rows)
        print(f"{passed} passed, {failed} failed", flush=True)
        return passed > 0 and failed == 0


def show_end(console: Path) -> None:
    """The last lines of a console, without the beats but the last ones."""
    if not console.exists():
        say("  (it has none)")
        return
    lines = console.read_text(errors="replace").replace("\r", "").split("\n")
    beats = [line for line in lines if line.startswith("beat ")][-2:]
    others = [line for line in lines if not line.startswith("beat ")][-CONSOLE_LINES:]
    for line in [*others, *beats]:
        print(line, flush=True)


def main() -> int:
    """Both phases."""
    # An end that is asked for has to end the machine, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work, image, *command = sys.argv[1:]
    whole = float(os.environ.get("SIDEWINDER_MACHINE_TIMEOUT", watch.Patience.whole))
    phases = Phases(Path(work), command, watch.Patience(whole=whole))
    return 0 if phases.both(Path(image)) else 1


if __name__ == "__main__":
    sys.exit(main())
