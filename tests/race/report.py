"""The table: a row for each thing that was measured, a column for each peer, Sidewinder's first."""

from __future__ import annotations

import platform
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

# Closer than this nobody wins: one machine, its processors shared with the load.
TIE = 1.3
# What is between them in a document is an excerpt of the table.
MARKS = ("<!-- The excerpt of docs/race.md begins. -->", "<!-- It ends. -->")


@dataclass(frozen=True)
class Cell:
    """What one peer did."""

    text: str
    # How many times better Sidewinder was in the same run; none where that makes no sense.
    ratio: float | None = None

    def shown(self) -> str:
        """In the table."""
        return self.text if self.ratio is None else f"{self.text} ({ratio(self.ratio)})"


@dataclass
class Table:
    """Rows keep the order in which they came first."""

    peers: dict[str, str] = field(default_factory=dict)
    rows: dict[str, dict[str, Cell]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)

    def put(self, row: str, peer: str, cell: Cell) -> None:
        """One cell."""
        self.rows.setdefault(row, {})[peer] = cell

    def lines(self, only: tuple[str, ...] = ()) -> list[str]:
        """As Markdown: these rows, or all."""
        lines = ["| | " + " | ".join(self.peers.values()) + " |", "|---" * (len(self.peers) + 1) + "|"]
        for row, cells in self.rows.items():
            if only and not row.startswith(only):
                continue
            shown = [self.cell(cells, peer) for peer in self.peers]
            lines.append(f"| {row} | " + " | ".join(shown) + " |")
        return lines

    def cell(self, cells: dict[str, Cell], peer: str) -> str:
        """Empty where a peer has nothing to do with a row."""
        if peer in self.absent:
            return "not installed"
        return cells[peer].shown() if peer in cells else ""

    def lost(self) -> list[str]:
        """Where a peer was better than Sidewinder, by more than noise."""
        lost = []
        for row, cells in self.rows.items():
            better = {peer: cell for peer, cell in cells.items() if cell.ratio and cell.ratio < 1 / TIE}
            if better:
                who = ", ".join(f"{peer} ({ratio(cell.ratio or 0)})" for peer, cell in better.items())
                lost.append(f"- {row}: {who}")
        return lost

    def excerpted(self, document: str, only: tuple[str, ...]) -> str:
        """That document with a fresh excerpt; raises if it has no marks."""
        before, found, rest = document.partition(MARKS[0])
        _, ended, after = rest.partition(MARKS[1])
        if not found or not ended:
            raise ValueError(
                f"the document has no place for an excerpt: put {MARKS[0]} and {MARKS[1]} into it"
            )
        excerpt = "\n".join(["", machine(), "", *self.lines(only), "", ""])
        return before + MARKS[0] + excerpt + MARKS[1] + after

    def page(self, how: str) -> str:
        """All of it."""
        lost = self.lost() or ["Nowhere in this run."]
        notes = [f"- {note}" for note in self.notes]
        about = f"By more than {100 * TIE - 100:.0f} %; below that it is noise here:"
        parts = [
            ["# The race"],
            [machine() + " By `make bench-peers`, which writes this page."],
            self.lines(),
        ]
        parts += [["## Where Sidewinder loses"], [about], lost]
        parts += [["## How it was measured"], [how], ["## Settings"], notes]
        return "\n\n".join("\n".join(part) for part in parts) + "\n"


def ratio(value: float) -> str:
    """Two digits that matter."""
    return f"{value:.0f} ×" if value >= 10 else f"{value:.2g} ×"


def machine() -> str:
    """Its kind, not its name."""
    cpus = re.findall(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    release = ".".join(platform.release().split(".")[:2])
    kind = f" ({cpus[0].strip()})" if cpus else ""
    return (
        f"Measured {time.strftime('%Y-%m-%d', time.gmtime())} on {len(cpus) or 'some'} shared processors"
        f"{kind}, Linux {release}, Python {platform.python_version()}."
    )


def seconds(value: float) -> str:
    """A duration with the unit that suits it."""
    if value < 1e-3:
        return f"{value * 1e6:.0f} µs"
    return f"{value * 1e3:.3g} ms" if value < 0.9995 else f"{value:.1f} s"
