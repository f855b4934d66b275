"""A quick race of three, and of one who is not there, comes to every row. No time passes or fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

from report import MARKS, Cell, Table

RACE = Path(__file__).resolve().parent.parent
RUN_S = 120

# What Sidewinder and the executor have a word to say about, with or without NumPy on this machine.
ROWS = (
    "echo 10 B, 1 caller, p50",
    "echo 10 B, 16 callers, calls/s",
    "echo 1 MB, 1 caller, p50",
    "echo 1 MB, 16 callers, calls/s",
    "1 worker: all ready",
    "1 worker with NumPy: all ready",
    "10 workers with NumPy, loaded once: all ready",
    "client hangs up in mid-call: worker free after",
    "`kill -9` of a worker in mid-call: its caller gets",
    "`kill -9` of a worker: another call is answered after",
    "worker stops (SIGSTOP): a call is answered after",
    "`kill -9` of the manager: alive after 2 s",
    "reload of an app that takes 1 s to start",
    "app ends at boot: spawns",
)


class Quick(unittest.TestCase):
    """One run, looked at from several sides."""

    cells: dict[str, dict[str, dict[str, Any]]]
    page: str

    @classmethod
    def setUpClass(cls) -> None:
        with tempfile.TemporaryDirectory() as nest:
            told, page = Path(nest, "cells.json"), Path(nest, "race.md")
            command = [
                sys.executable,
                str(RACE / "race.py"),
                "--quick",
                "--only",
                "sidewinder,executor,grpcio,mosec",
            ]
            command += ["--json", str(told), "--write", str(page)]
            environment = {**os.environ, "TMPDIR": nest}
            run = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=RUN_S, env=environment
            )
            if run.returncode != 0:
                raise AssertionError(run.stderr)
            cls.cells, cls.page = json.loads(told.read_text()), page.read_text()
            left = [path.name for path in Path(nest).iterdir() if path not in (told, page)]
            if left:
                raise AssertionError(f"the race left {left}")

    def text(self, row: str, peer: str = "sidewinder") -> str:
        """What a cell says."""
        said: str = self.cells[row][peer]["text"]
        return said

    def test_every_row_comes_about(self) -> None:
        for row in ROWS:
            for peer in ("sidewinder", "executor"):
                self.assertIn(peer, self.cells.get(row, {}), row)
            self.assertIn(f"| {row} |", self.page)

    def test_who_is_not_installed_is_named(self) -> None:
        self.assertIn("| not installed |", self.page)
        self.assertIn("- mosec: could not be installed here", self.page)

    def test_what_needs_no_library_is_measured(self) -> None:
        for row in (row for row in ROWS if "NumPy" not in row):
            for peer, cell in self.cells[row].items():
                self.assertNotRegex(cell["text"], "^(failed|refused)", f"{peer}: {row}")
        for peer in ("executor", "grpcio"):
            self.assertGreater(self.cells["echo 10 B, 1 caller, p50"][peer]["ratio"], 0)

    def test_faults_are_seen_as_they_are(self) -> None:
        alive = "`kill -9` of the manager: alive after 2 s"
        # Keeper, two wardens and two workers.
        self.assertTrue(self.text(alive).startswith("0 of 5, "), self.text(alive))
        self.assertEqual(self.text(alive, "executor"), "2 of 2 alive")
        killed = "`kill -9` of a worker in mid-call: its caller gets"
        self.assertTrue(self.text(killed, "executor").startswith("BrokenProcessPool, "))
        self.assertEqual(
            self.text("`kill -9` of a worker: another call is answered after", "executor"), "not within 3 s"
        )
        self.assertTrue(self.text("reload of an app that takes 1 s to start").startswith("0 errors, "))
        self.assertEqual(self.text("app ends at boot: spawns", "executor"), "1 in 2 s")
        # It takes no notice, so that is when the call ends.
        free = self.text("client hangs up in mid-call: worker free after", "executor")
        self.assertRegex(free, "^(99[0-9] ms|1000 ms|[1-9].[0-9] s)$")


class Judged(unittest.TestCase):
    """The table itself."""

    def test_who_is_ahead_is_said_and_noise_is_not(self) -> None:
        table = Table({"ours": "ours 1", "a": "a 1", "b": "b 2"})
        table.absent.add("b")
        table.put("fast", "ours", Cell("2 ms"))
        table.put("fast", "a", Cell("1 ms", 0.5))
        table.put("even", "a", Cell("2 ms", 0.95))
        self.assertEqual(table.lost(), ["- fast: a (0.5 ×)"])
        self.assertEqual(
            table.lines()[2:],
            ["| fast | 2 ms | 1 ms (0.5 ×) | not installed |", "| even |  | 2 ms (0.95 ×) | not installed |"],
        )

    def test_an_excerpt_is_renewed_in_its_place(self) -> None:
        table = Table({"ours": "ours 1"})
        table.put("fast", "ours", Cell("2 ms"))
        table.put("slow", "ours", Cell("2 s"))
        document = f"a\n{MARKS[0]}\nold\n{MARKS[1]}\nz"
        once = table.excerpted(document, ("fa",))
        self.assertEqual(table.excerpted(once, ("fa",)), once)
        self.assertIn("| fast | 2 ms |", once)
        self.assertNotRegex(once, "slow|old")
        self.assertRaises(ValueError, table.excerpted, "no marks", ())


if __name__ == "__main__":
    unittest.main()
