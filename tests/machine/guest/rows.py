"""A row of the result: what happens, what is promised, what was seen, pass or fail.

Every wait of a case has a bound, and the case as a whole has one as well: when it is overdue, everybody in
the unit is described and the row fails. Should the program itself be held where no alarm reaches it, its
traceback is printed and it ends. So silence is never the last word of a case.
"""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import control
import pulse
from place import Place

# For a case, and for ending what it leaves, in seconds: several times what the longest needs on a busy host.
PATIENCE = 60.0
# From then on, until the program gives itself up.
HELD = 20.0


class OverdueError(Exception):
    """The case, or the end of it, takes too long."""


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


@contextlib.contextmanager
def bounded(place: Place) -> Iterator[None]:
    """Raise in the middle of whatever takes too long, after a description of everybody in the unit."""

    def overdue(*_: object) -> None:
        with contextlib.suppress(OSError):
            pulse.ask(place.base)
        raise OverdueError(f"not done after {PATIENCE:g} s")

    signal.signal(signal.SIGALRM, overdue)
    faulthandler.dump_traceback_later(PATIENCE + HELD, exit=True)
    signal.alarm(int(PATIENCE))
    try:
        yield
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()


def attempt(case: Case, place: Place, finding: Finding) -> None:
    """Run a case. A crash of the test is a failed row, never a lost one."""
    try:
        with bounded(place):
            case.attempt(place, finding)
    except Exception as error:  # the next case must run whatever happened to this one
        frames = traceback.extract_tb(error.__traceback__)
        inner = (control.until.__name__, "overdue")
        where = [frame for frame in frames if frame.name not in inner][-1]
        finding.note(f"{type(error).__name__}: {error} ({where.name}:{where.lineno})", False)


def clear(place: Place, finding: Finding) -> None:
    """See that everybody has left."""
    try:
        with bounded(place):
            others = place.end_everything()
        finding.either(not others, "nobody left", f"left in the unit: {', '.join(others)}")
    except (OverdueError, TimeoutError) as error:
        place.keeps.clear()
        finding.note(f"the unit could not be cleared: {error}", False)


def run(case: Case, place: Place) -> None:
    """Run a case, and print its row."""
    finding = Finding()
    begin = time.monotonic()
    attempt(case, place, finding)
    clear(place, finding)
    verdict = "pass" if finding.passed else "FAIL"
    seen = ", ".join(finding.notes).replace("\n", " ") + f" [{time.monotonic() - begin:.1f} s]"
    print(" | ".join((verdict, place.who.ljust(6), case.what, case.promised, seen)), flush=True)
