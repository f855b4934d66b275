"""Stands for a machine in tests of those who watch it: speaks like one, and freezes or hangs as it is told.

    fake.py SCRIPT PHASE DISK CONSOLE MONITOR

SCRIPT holds a line for each boot, which is taken off: words out of those below, done one after another.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

BEAT = 0.05


def append(path: Path, text: str) -> None:
    """Write at the end of a file."""
    with path.open("a") as file:
        file.write(text)


class Fake:
    """One boot."""

    def __init__(self, phase: str, disk: Path, console: Path) -> None:
        self.phase = phase
        self.disk = disk
        self.console = console
        self.rows = 0

    def beat(self, *processors: int) -> None:
        """One beat of these."""
        for number in processors:
            append(self.console, f"beat {number} of 2, up 1.0 s\n")
        time.sleep(BEAT)

    def row(self, verdict: str) -> None:
        """Print a row."""
        print(f"{verdict} | root   | a case | a promise | a fact", flush=True)
        self.rows += 1

    def live(self, *processors: int) -> None:
        """Beat for ever."""
        while True:
            self.beat(*processors)

    def word(self) -> dict[str, Callable[[], None]]:
        """What a script can say."""
        return {
            "beat": lambda: self.beat(0, 1),
            "pass": lambda: self.row("pass"),
            "fail": lambda: self.row("FAIL"),
            "lose": lambda: setattr(self, "rows", self.rows + 1),
            "write": lambda: append(self.disk, f"phase {self.phase}\n"),
            "over": lambda: print(f"{self.rows} rows of root\nphase {self.phase} is over", flush=True),
            "freeze": lambda: os.kill(os.getpid(), signal.SIGSTOP),
            "hang": lambda: self.live(0, 1),
            "limp": lambda: self.live(0),
        }


def main() -> None:
    """Take the first line of the script and do it."""
    script, phase, disk, console, _ = sys.argv[1:]
    mine, *others = Path(script).read_text().splitlines()
    Path(script).write_text("\n".join(others))
    fake = Fake(phase, Path(disk), Path(console))
    for word in mine.split():
        fake.word()[word]()


if __name__ == "__main__":
    main()
