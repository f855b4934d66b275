"""What callers notice of a new version of the app, and what a machine notices of a broken one."""

from __future__ import annotations

import statistics
import threading
import time

from speak.caller import CallFailedError, call
from standing import Standing

from measures.faults import Told, told_s, within

CALLERS = 2
# A caller's pause between two calls.
PAUSE_S = 0.005
# All answers must have been of the new version for so long.
SETTLED_S = 0.7
# By then even a slow peer has started its first worker.
FIRST_S = 20.0


class Steady:
    """Callers that call all the time, and note what they get."""

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.stop = threading.Event()
        # When it began, how long it took, and the version that answered; none for an error.
        self.seen: list[tuple[float, float, str]] = []
        self.threads = [threading.Thread(target=self.call) for _ in range(CALLERS)]
        for thread in self.threads:
            thread.start()

    def call(self) -> None:
        """One caller."""
        while not self.stop.wait(PAUSE_S):
            begun = time.monotonic()
            try:
                version = call(self.standing.caller, b"v", 10.0).decode()
            except CallFailedError:
                version = ""
            self.seen.append((begun, time.monotonic() - begun, version))

    def settled(self, since: float) -> bool:
        """Whether only the new version answers."""
        recent = [version for begun, _, version in list(self.seen) if begun > time.monotonic() - SETTLED_S]
        return time.monotonic() - since > SETTLED_S and bool(recent) and set(recent) == {"2"}

    def end(self) -> None:
        """All of them."""
        self.stop.set()
        for thread in self.threads:
            thread.join()


def reload(standing: Standing, slow: float, limit: float) -> Told:
    """A new version takes so long to start: errors, and the longest wait that was added to a call."""
    steady = Steady(standing)
    try:
        time.sleep(SETTLED_S)
        (standing.nest / "version").write_text(f"2 {slow}")
        at = time.monotonic()
        standing.peer.reload(standing)
        while not steady.settled(at) and time.monotonic() < at + limit:
            time.sleep(0.05)
        arrived = steady.settled(at)
    finally:
        steady.end()
    usual = statistics.median(took for begun, took, _ in steady.seen if begun + took < at)
    during = [(took, version) for begun, took, version in steady.seen if begun + took >= at]
    errors = sum(version == "" for _, version in during)
    added = max(0.0, max(took for took, _ in during) - usual)
    text = f"{errors} errors, +{told_s(added)}"
    return Told(text if arrived else f"{text}, the new version did not come within {limit:.0f} s", added)


def broken_since(standing: Standing) -> float:
    """When the first worker of a broken app was started."""
    within(standing, "spawned", 1, FIRST_S)
    return time.monotonic()


def crash(standing: Standing, since: float, seconds: float) -> Told:
    """Every worker ends while it starts: how often has one been started after so long?"""
    while time.monotonic() < since + seconds:
        if standing.process.poll() is not None:
            return Told(f"{standing.marks('spawned')}, then it ended with {standing.process.returncode}")
        time.sleep(0.02)
    return Told(f"{standing.marks('spawned')} in {seconds:.0f} s")
