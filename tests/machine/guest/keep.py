"""One `sidewinder keep`: started, watched through its report, ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import control

HERE = Path(__file__).resolve().parent
BINARY = str(HERE / "sidewinder")
# An emulated processor is about ten times slower; a wait this long means "never".
NEVER = 10.0
# The cgroup of the first worker, below that of the run.
FIRST = "w1"


def zoo(*words: object) -> list[str]:
    """The command line of an animal of zoo.py."""
    return [sys.executable, "-SE", str(HERE / "zoo.py"), *map(str, words)]


class Keep:
    """A running keep, its report, and pidfds of those who may be killed."""

    def __init__(self, options: list[str], command: list[str], report: Path) -> None:
        self.report = report
        self.errors = report.with_suffix(".stderr")
        report.unlink(missing_ok=True)
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [BINARY, "keep", f"--report={report}", *options, "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def event(self, name: str) -> dict[str, Any] | None:
        """An event of the report, once it is there."""
        with contextlib.suppress(FileNotFoundError):
            for line in self.report.read_text().splitlines(keepends=True):
                if line.endswith("\n") and (event := json.loads(line))["event"] == name:
                    return dict(event)
        return None

    def wait_event(self, name: str, seconds: float = NEVER) -> dict[str, Any]:
        """An event of the report; it is an error that the keep ends without it."""
        try:
            control.until(lambda: self.event(name) is not None or self.process.poll() is not None, seconds)
        except TimeoutError:
            raise TimeoutError(f"no '{name}' in the report after {seconds:g} s") from None
        event = self.event(name)
        if event is None:
            raise RuntimeError(f"keep ended with {self.process.returncode} without '{name}': {self.said()}")
        return event

    def said(self) -> str:
        """What keep wrote to its standard error."""
        return self.errors.read_text(errors="replace").strip()[-300:]

    def begun(self) -> None:
        """Wait for the start and open pidfds while the processes are there for certain."""
        started = self.wait_event("started")
        self.run = str(started["run"])
        self.tier = str(started["tier"])
        self.pool = Path(started["cgroup"])
        self.tree = self.pool / FIRST
        self.keeper_pid = int(started["keeper"])
        self.owner, self.keeper = (os.pidfd_open(started[who]) for who in ("owner", "keeper"))

    def warden(self) -> int:
        """A pidfd of the warden: the keeper's only child."""
        (pid,) = Path(f"/proc/{self.keeper_pid}/task/{self.keeper_pid}/children").read_text().split()
        return os.pidfd_open(int(pid))

    def tell(self, pidfd: int, number: int) -> None:
        """Signal by pidfd: never by a number that may be somebody else's by now."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)

    def wait(self, seconds: float = NEVER) -> int:
        """The exit status as a shell would see it."""
        status = self.process.wait(seconds)
        return 128 - status if status < 0 else status

    def alive(self) -> bool:
        """Whether keep and its command both live."""
        gone = not self.marked()
        return self.process.poll() is None and not gone

    def marked(self) -> list[int]:
        """The processes that carry this run's mark in their environment."""
        mark, found = f"SIDEWINDER_RUN={self.run}".encode(), []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def end(self) -> None:
        """Stop it, the second time without grace."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                return
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(8)


def elapsed(begin: float) -> str:
    """For a row: the time since `begin`."""
    return f"{(time.monotonic() - begin) * 1000:.0f} ms"
