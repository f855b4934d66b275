"""A row of the result: what happens, what is promised, what was seen, pass or fail."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import control
from place import Place


@dataclass
class Finding:
    """What one case saw; every note is a fact and whether it is as promised."""

    notes: list[str] = field(default_factory=list)
    passed: bool = True

    def note(self, fact: str, as_promised: bool = True) -> None:
        """Add a fact; one that breaks the promise is marked."""
        self.notes.append(fact if as_promised else f"WRONG: {fact}")
        self.passed = self.passed and as_promised

    def either(self, fact: bool, so: str, otherwise: str) -> None:
        """Add one of two facts; the second one breaks the promise."""
        self.note(so if fact else otherwise, fact)


@dataclass(frozen=True)
class Case:
    """One row before it is run."""

    what: str
    promised: str
    attempt: Callable[[Place, Finding], None]


def run(case: Case, place: Place) -> None:
    """Run a case, and print its row. A crash of the test is a failed row, never a lost one."""
    finding = Finding()
    begin = time.monotonic()
    try:
        case.attempt(place, finding)
    except Exception as error:  # the next case must run whatever happened to this one
        frames = traceback.extract_tb(error.__traceback__)
        where = [frame for frame in frames if frame.name != control.until.__name__][-1]
        finding.note(f"{type(error).__name__}: {error} ({where.name}:{where.lineno})", False)
    others = place.end_everything()
    finding.either(not others, "nobody left", f"left in the unit: {', '.join(others)}")
    verdict = "pass" if finding.passed else "FAIL"
    seen = ", ".join(finding.notes).replace("\n", " ") + f" [{time.monotonic() - begin:.1f} s]"
    print(" | ".join((verdict, place.who.ljust(6), case.what, case.promised, seen)), flush=True)
