"""The machine's own pulse, and its witness.

A process bound to each processor writes a beat to the console every second, before everybody else's turn:
whoever watches from outside then knows that the machine lives, however long a case takes. The parent
answers questions: a test program that waits in vain leaves the name of its cgroup here, and gets every
process in it described with root's eyes (where in the kernel it waits is a secret to ordinary users), as
lines that are no rows.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

import control

QUESTIONS = Path("/run/machine-questions")
BEAT = 1.0


def beat(processor: int, of: int) -> None:
    """Beat for ever on one processor."""
    os.sched_setaffinity(0, {processor})
    # Where real-time scheduling is not to be had, the lowest niceness has to do.
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        os.nice(-20)
    console = os.open("/dev/console", os.O_WRONLY | os.O_NOCTTY)
    while True:
        os.write(console, f"beat {processor} of {of}, up {time.monotonic():.1f} s\n".encode())
        time.sleep(BEAT)


def describe(pid: int) -> str:
    """What a process is doing, in a line."""
    folder = Path("/proc") / str(pid)
    facts = [control.name(pid)]
    for file in ("wchan", "syscall", "stack"):
        with contextlib.suppress(OSError):
            said = (folder / file).read_text().split("\n")
            facts.append(f"{file}: {' < '.join(line.strip() for line in said if line.strip())}")
    with contextlib.suppress(OSError):
        wanted = ("PPid", "Threads", "SigPnd", "ShdPnd", "SigBlk")
        status = (folder / "status").read_text().splitlines()
        facts += [" ".join(line.split()) for line in status if line.split(":")[0] in wanted]
    return ", ".join(facts)


def answer() -> None:
    """Describe everybody in the cgroups that were asked for; a question that is gone is answered."""
    for question in QUESTIONS.glob("[0-9]*"):
        base = Path(question.read_text())
        for pid in control.members(base):
            os.write(sys.stdout.fileno(), f"  evidence: {describe(pid)}\n".encode())
        question.unlink()


def ask(base: Path) -> None:
    """For a test program: have everybody in a cgroup described, and return when that is done."""
    draft = QUESTIONS / f".{os.getpid()}"
    question = QUESTIONS / str(os.getpid())
    draft.write_text(str(base))
    draft.rename(question)
    control.until(lambda: not question.exists(), 10)


def main() -> int:
    """Beat and answer until a beater dies, which it should not."""
    QUESTIONS.mkdir(exist_ok=True)
    QUESTIONS.chmod(0o1777)
    processors = sorted(os.sched_getaffinity(0))
    for processor in processors:
        if os.fork() == 0:
            beat(processor, len(processors))
    while os.waitpid(-1, os.WNOHANG) == (0, 0):
        answer()
        time.sleep(BEAT / 4)
    return 1


if __name__ == "__main__":
    sys.exit(main())
