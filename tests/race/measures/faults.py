"""What happens when something goes wrong: one worker or two, one deed, and what a caller sees of it."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass

import processes
from speak.caller import CallFailedError, Hanging, call
from standing import LOOK_EVERY_S, NeverStoodError, Standing

# Whoever lives so long after the manager was killed is alive.
GONE_S = 2.0


@dataclass(frozen=True)
class Told:
    """In words, and as a figure where there is one."""

    text: str
    figure: float | None = None


def within(standing: Standing, name: str, count: int, seconds: float) -> None:
    """Waits until the app has told that so often."""
    until = time.monotonic() + seconds
    while standing.marks(name) < count:
        if standing.process.poll() is not None and standing.marks(name) < count:
            raise NeverStoodError(f"it ended with {standing.process.returncode}: {standing.log()}")
        if time.monotonic() > until:
            raise NeverStoodError(f"nobody was {name} within {seconds:.0f} s")
        time.sleep(LOOK_EVERY_S)


def nap(standing: Standing, seconds: float) -> Hanging:
    """A call that is being worked at."""
    before = standing.marks("napping")
    hanging = standing.caller.begin(f"n{seconds}".encode())
    within(standing, "napping", before + 1, 5.0)
    return hanging


def hang_up(standing: Standing, length: float) -> Told:
    """A client leaves in mid-call: when does the only worker take the next one?"""
    hanging = nap(standing, length)
    left = time.monotonic()
    hanging.hang_up()
    call(standing.caller, b"e", length + 5.0)
    took = time.monotonic() - left
    return Told(told_s(took), took)


def kill_worker(standing: Standing, length: float, limit: float) -> tuple[Told, Told]:
    """The only worker is killed in mid-call: what does its caller get, and when is another call answered?"""
    worker = standing.worker()
    hanging = nap(standing, length)
    served: list[float] = []
    struck = time.monotonic()
    worker.send(signal.SIGKILL)
    other = threading.Thread(target=lambda: served.extend(serving_after(standing, struck, limit)))
    other.start()
    try:
        hanging.answer(limit)
        got = "an answer"
    except CallFailedError as error:
        got = str(error)
    took = time.monotonic() - struck
    other.join()
    nothing = got == "nothing"
    learned = Told(f"nothing within {limit:.0f} s") if nothing else Told(f"{got}, {told_s(took)}", took)
    if not served:
        return learned, Told(f"not within {limit:.0f} s")
    return learned, Told(told_s(served[0]), served[0])


def serving_after(standing: Standing, since: float, limit: float) -> list[float]:
    """The seconds until a call is answered again; none if it is not."""
    while (left := since + limit - time.monotonic()) > 0:
        try:
            call(standing.caller, b"e", min(left, 1.0))
        except CallFailedError:
            time.sleep(LOOK_EVERY_S)
        else:
            return [time.monotonic() - since]
    return []


def wedge(standing: Standing, limit: float) -> Told:
    """The only worker stops, as if it hung in the kernel: when is a call answered again?"""
    worker = standing.worker()
    worker.stop()
    served = serving_after(standing, time.monotonic(), limit)
    return Told(told_s(served[0]), served[0]) if served else Told(f"not within {limit:.0f} s")


def kill_manager(standing: Standing, length: float) -> Told:
    """Who has the workers is killed, one worker busy and one idle: who is left after a while?"""
    members = standing.members()
    manager = standing.peer.manager(standing)
    nap(standing, length)
    others = [member for member in members if member.pid != manager]
    next(member for member in members if member.pid == manager).send(signal.SIGKILL)
    _, took = processes.await_end(others, GONE_S)
    # Somebody may have been started in the meantime.
    alive = len([member for member in standing.members() if member.pid != manager])
    if alive == 0:
        return Told(f"0 of {len(others)}, {told_s(took)}", took)
    answer = ", they answer" if answers(standing, length + 1.0) else ""
    return Told(f"{alive} of {len(others)} alive{answer}", None)


def answers(standing: Standing, seconds: float) -> bool:
    """Whether somebody still serves."""
    if standing.peer.speaks == "host":
        return False
    try:
        return call(standing.caller, b"e", seconds) == b"e"
    except CallFailedError:
        return False


def told_s(seconds: float) -> str:
    """For people."""
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
