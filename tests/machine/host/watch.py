"""One boot of a machine, watched from outside until it is off.

Two streams say how it is. Rows come over its first line: what the cases found. Beats come over its console:
a small process on each of its processors writes one a second, whatever the cases do. So silence can be told
apart: a machine that beats without rows has a case that hangs, and that is a finding. A machine with a
processor that does not beat any more has frozen, and then nothing was found out about what is tested. Beats
of each processor are followed by themselves, because an emulator can lose the wake-up of just one of them.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import freeze

BEAT = re.compile(rb"beat (\d+) of (\d+)")
OVER = re.compile(r"^phase \d is over")
# Between two looks at the console.
LOOK = 0.25


@dataclass(frozen=True)
class Patience:
    """How long, in seconds, each kind of silence is borne."""

    # From the start to the first beat: a kernel and systemd, emulated on a busy host.
    boot: float = 90
    # Between two beats of a processor, which come each second.
    beat: float = 30
    # From the start to the end.
    whole: float = 400
    # From the last word to being off.
    off: float = 10


@dataclass
class Boot:
    """What was seen of one boot."""

    rows: list[str] = field(default_factory=list)
    seconds: float = 0
    # Why it was ended, or how it ended; empty when it said its last word.
    fault: str = ""
    frozen: bool = False
    evidence: list[str] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether it came to its last word."""
        return any(OVER.match(row) for row in self.rows)

    @property
    def failed(self) -> bool:
        """Whether a case had failed."""
        return any(row.startswith("FAIL |") for row in self.rows)


class Pulse:
    """The beats in a console, and when each processor was last heard."""

    def __init__(self, console: Path, begin: float) -> None:
        self.console = console
        self.begin = begin
        self.read = 0
        self.rest = b""
        self.last: dict[int, float] = {}
        self.processors = 0

    def listen(self, now: float) -> None:
        """Take in what the console has got since the last time."""
        with contextlib.suppress(FileNotFoundError), self.console.open("rb") as console:
            console.seek(self.read)
            new = console.read()
            self.read += len(new)
            whole, _, self.rest = (self.rest + new).rpartition(b"\n")
            for number, count in BEAT.findall(whole):
                self.last[int(number)] = now
                self.processors = int(count)

    def stopped(self, now: float, patience: Patience) -> str:
        """Which processors are silent for too long; empty when none is."""
        if not self.last:
            late = now - self.begin > patience.boot
            return f"no beat within {patience.boot:g} s of its start" if late else ""
        silent = [
            f"processor {number} for {now - self.last.get(number, self.begin):.0f} s"
            for number in range(self.processors)
            if now - self.last.get(number, self.begin) > patience.beat
        ]
        return f"no beat of {', '.join(silent)}" if silent else ""


class Machine:
    """The process of a machine, in a session of its own, and what it says."""

    def __init__(self, command: list[str], console: Path, monitor: Path) -> None:
        self.begin = time.monotonic()
        self.pulse = Pulse(console, self.begin)
        self.monitor = monitor
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
        )
        self.rest = b""
        self.ended = False

    def rows(self, seconds: float) -> list[str]:
        """The rows that arrive in that time; it has ended when nobody is left to write any."""
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        dead = self.process.poll() is not None
        if not select.select([descriptor], [], [], seconds)[0]:
            self.ended = dead
            return []
        new = os.read(descriptor, 1 << 16)
        self.ended = not new
        *lines, self.rest = (self.rest + new).replace(b"\r", b"").split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def end(self) -> int:
        """End it now, whatever state it is in; its exit status."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self.ended:
                self.process.wait(5)
        # Its process is not reaped yet, or was just reaped by us: the number is not somebody else's group.
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait()


def boot(command: list[str], console: Path, monitor: Path, patience: Patience) -> Boot:
    """Start a machine, print its rows as they come, and see to it that it ends."""
    seen = Boot()
    machine = Machine(command, console, monitor)
    try:
        last_word = 0.0
        while not machine.ended and not seen.fault:
            for row in machine.rows(LOOK):
                print(row, flush=True)
                seen.rows.append(row)
            now = time.monotonic()
            machine.pulse.listen(now)
            if seen.over:
                last_word = last_word or now
                if now - last_word > patience.off:
                    break
                continue
            judge(seen, machine, now, patience)
        if seen.frozen:
            seen.evidence = freeze.evidence(machine.monitor, console)
    finally:
        status = machine.end()
    if not seen.over and not seen.fault:
        seen.fault = f"it went off without its last word, exit status {status}"
    seen.seconds = time.monotonic() - machine.begin
    return seen


def judge(seen: Boot, machine: Machine, now: float, patience: Patience) -> None:
    """Whether this machine has to be ended, and why."""
    stopped = machine.pulse.stopped(now, patience)
    if stopped:
        seen.frozen, seen.fault = True, f"it froze: {stopped}"
    elif now - machine.begin > patience.whole:
        seen.fault = f"it still ran after {patience.whole:.0f} s, and its beat went on: a case hangs"
