"""Processes that belong to one peer: found by a mark in their environment or by descent, held by pidfds.

A process id may be somebody else's a moment later, so nothing is signalled by its number: a process is held
first, then looked at again, and only then told anything. This program is a subreaper, so that whatever a
peer leaves behind comes back to it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
_LOOK_EVERY_S = 0.001


@dataclass(frozen=True)
class Process:
    """One that is held."""

    pid: int
    pidfd: int

    def name(self) -> str:
        """As the kernel has it."""
        return _read(self.pid, "comm").decode(errors="replace").strip()

    def innermost(self) -> int:
        """Its number where it lives, which may be a namespace of its own."""
        for line in _read(self.pid, "status").decode(errors="replace").splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
        return 0

    def kibibytes(self) -> int:
        """Its share of memory (PSS)."""
        for line in _read(self.pid, "smaps_rollup").decode().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
        return 0

    def send(self, what: signal.Signals) -> None:
        """A signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, what)

    def stop(self) -> None:
        """It and each of its threads: a signal alone has not stopped those that run elsewhere."""
        self.send(signal.SIGSTOP)
        while not self.ended() and self._moving():
            time.sleep(_LOOK_EVERY_S)

    def _moving(self) -> bool:
        """Whether one of its threads is not stopped."""
        try:
            tasks = os.listdir(f"/proc/{self.pid}/task")
        except FileNotFoundError:
            return False
        states = (_read(self.pid, f"task/{task}/stat").rpartition(b")")[2].split()[:1] for task in tasks)
        return any(state and state[0] not in (b"T", b"Z", b"X") for state in states)

    def ended(self) -> bool:
        """Whether it has, buried or not."""
        return bool(select.select([self.pidfd], [], [], 0)[0])


def become_subreaper() -> None:
    """Orphans of this program's children become its own."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def find(mark: str) -> list[int]:
    """Everybody with the mark, between them and us, and below them; nobody who has ended."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    needle = f"RACE_MARK={mark}\0".encode()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        pid = int(entry)
        fields = _read(pid, "stat").rpartition(b")")[2].split()
        if not fields or fields[0] in (b"Z", b"X"):
            continue
        parents[pid] = int(fields[1])
        if pid != os.getpid() and needle in _read(pid, "environ") + b"\0":
            found.add(pid)
    # A guardian may have wiped its environment: it stands between us and a worker.
    for pid in list(found):
        line = [pid]
        while (above := parents.get(line[-1], 0)) and above not in line:
            line.append(above)
        if os.getpid() in line:
            found.update(line[: line.index(os.getpid())])
    grown = True
    while grown:
        below = {pid for pid, parent in parents.items() if parent in found and pid not in found}
        found |= below
        grown = bool(below)
    return sorted(found)


def hold(mark: str, held: dict[int, Process]) -> list[Process]:
    """Holds everybody who is found and is not held yet; gives all who live."""
    fresh: dict[int, Process] = {}
    for pid in find(mark):
        if pid not in held or held[pid].ended():
            with contextlib.suppress(OSError):
                fresh[pid] = Process(pid, os.pidfd_open(pid))
    # Between the look and the hold a number may have gone to somebody else.
    still = set(find(mark)) if fresh else set()
    for pid, process in fresh.items():
        stale = held.get(pid) if pid in still else process
        if pid in still:
            held[pid] = process
        if stale:
            os.close(stale.pidfd)
    return [process for process in held.values() if not process.ended()]


def await_end(processes: list[Process], seconds: float) -> tuple[int, float]:
    """How many of them live after so long, or 0 and the seconds that it took."""
    begun = time.monotonic()
    poll = select.poll()
    for process in processes:
        poll.register(process.pidfd, select.POLLIN)
    alive = len(processes)
    while alive > 0:
        left = begun + seconds - time.monotonic()
        if left <= 0:
            break
        for pidfd, _ in poll.poll(left * 1e3):
            poll.unregister(pidfd)
            alive -= 1
    return alive, time.monotonic() - begun


def bury(processes: list[Process]) -> None:
    """Those that became our children; the others have parents."""
    for process in processes:
        with contextlib.suppress(ChildProcessError, OSError):
            os.waitid(os.P_PIDFD, process.pidfd, os.WEXITED | os.WNOHANG)


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
