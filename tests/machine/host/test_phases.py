"""A frozen machine is told from a case that hangs, and only the freeze is forgiven, and not for ever."""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import phases
import watch

FAKE = str(Path(__file__).parent / "fake.py")
PATIENCE = watch.Patience(boot=10, beat=0.6, whole=2.5, off=0.5)


class Told:
    """What a run printed, and what it came to."""

    def __init__(self, script: list[str], budget: float = 60, patience: watch.Patience = PATIENCE) -> None:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            image, lines = work / "image", work / "script"
            image.write_text("")
            lines.write_text("\n".join(script))
            out = io.StringIO()
            begin = time.monotonic()
            with contextlib.redirect_stdout(out):
                run = phases.Phases(work, [sys.executable, FAKE, str(lines)], patience, budget)
                self.passed = run.both(image)
            self.disks = [disk.read_text() for disk in sorted(work.glob("disk.2.*"))]
            self.seconds = time.monotonic() - begin
            self.out = out.getvalue()
            self.left = lines.read_text().splitlines()

    @property
    def last(self) -> str:
        """The verdict."""
        return self.out.splitlines()[-1]


class Frozen(unittest.TestCase):
    """Silence of the machine itself."""

    def test_a_frozen_phase_is_booted_again_and_its_rows_do_not_count(self) -> None:
        told = Told(["beat write pass pass freeze", "beat write pass over", "beat write pass over"])
        self.assertTrue(told.passed, told.out)
        self.assertEqual(told.last, "2 passed, 0 failed")
        self.assertIn("it froze: no beat of processor 0", told.out)
        self.assertIn("booting phase 1 again on a fresh disk; the 2 rows", told.out)

    def test_the_disk_of_a_frozen_boot_is_thrown_away(self) -> None:
        told = Told(
            [
                "beat write pass freeze",
                "beat write pass over",
                "beat write pass freeze",
                "beat write pass over",
            ]
        )
        self.assertEqual(told.disks, ["phase 1\nphase 2\n"])

    def test_one_silent_processor_is_a_freeze(self) -> None:
        told = Told(["beat pass limp", "beat pass over", "beat pass over"])
        self.assertTrue(told.passed, told.out)
        self.assertIn("it froze: no beat of processor 1", told.out)
        self.assertNotIn("processor 0 for", told.out)

    def test_a_machine_that_never_beats_is_a_freeze(self) -> None:
        told = Told(
            ["freeze", "beat pass over", "beat pass over"], patience=watch.Patience(0.6, 0.6, 2.5, 0.5)
        )
        self.assertTrue(told.passed, told.out)
        self.assertIn("no beat within 0.6 s of its start", told.out)

    def test_three_freezes_are_a_failure(self) -> None:
        told = Told(["beat pass freeze"] * 4)
        self.assertFalse(told.passed)
        self.assertIn("froze 3 times", told.out)
        self.assertEqual(told.left, ["beat pass freeze"])

    def test_a_failed_row_is_never_tried_again(self) -> None:
        told = Told(["beat pass fail freeze", "beat pass over"])
        self.assertFalse(told.passed)
        self.assertNotIn("again", told.out)
        self.assertEqual(told.last, "1 passed, 2 failed")

    def test_the_budget_ends_the_tries(self) -> None:
        told = Told(["beat pass freeze", "beat pass over"], budget=3)
        self.assertIn("no time is left to boot it again", told.out)
        self.assertFalse(told.passed)
        self.assertLess(told.seconds, 10)


class Hanging(unittest.TestCase):
    """Silence of a case, and other ends."""

    def test_a_case_that_hangs_is_a_finding(self) -> None:
        told = Told(["beat pass hang", "beat pass over"])
        self.assertFalse(told.passed)
        self.assertIn("its beat went on: a case hangs", told.out)
        self.assertNotIn("again", told.out)

    def test_a_machine_that_goes_off_by_itself_is_a_finding(self) -> None:
        told = Told(["beat pass", "beat pass over"])
        self.assertFalse(told.passed)
        self.assertIn("went off without its last word", told.out)
        self.assertNotIn("again", told.out)

    def test_a_machine_that_does_not_go_off_after_its_last_word_is_ended(self) -> None:
        told = Told(["beat pass over freeze", "beat pass over hang"])
        self.assertTrue(told.passed, told.out)

    def test_a_lost_row_is_noticed(self) -> None:
        told = Told(["beat pass lose over", "beat pass over"])
        self.assertFalse(told.passed)
        self.assertIn("each one arrives | 2 of 3", told.out)


if __name__ == "__main__":
    unittest.main()
