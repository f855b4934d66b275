"""What can be said of a machine that has frozen, before it is ended.

The emulator is asked by its monitor, twice, where its processors are (a processor that waits with a timer
interrupt pending was not woken by the emulator; one without a running timer has lost it), and then an
interrupt that cannot be masked makes the kernel print where it was. An emulator that does not answer is
itself the one that stands still.
"""

from __future__ import annotations

import os
import re
import select
import time
from pathlib import Path

PROMPT = b"(qemu) "
# For one answer of the monitor, in seconds; a console that is quiet for so long has said everything.
ANSWER = 3.0
WORTH_TELLING = re.compile(r"CPU#|RIP=|HLT|LVTT|Timer|Current|IRR|ISR|PPR", re.IGNORECASE)


class Monitor:
    """The two pipes of a monitor."""

    def __init__(self, path: Path) -> None:
        # Not blocking: nobody at the other end is an answer, too.
        self.said = os.open(f"{path}.out", os.O_RDONLY | os.O_NONBLOCK)
        self.orders = os.open(f"{path}.in", os.O_RDWR | os.O_NONBLOCK)
        self.listen()

    def listen(self) -> str:
        """Everything up to the next prompt, or what has come when there is none in time."""
        text, until = b"", time.monotonic() + ANSWER
        while not text.endswith(PROMPT) and (left := until - time.monotonic()) > 0:
            if select.select([self.said], [], [], left)[0]:
                new = os.read(self.said, 1 << 16)
                if not new:
                    break
                text += new
        return text.decode(errors="replace")

    def ask(self, order: str) -> list[str]:
        """The lines of an answer that are worth telling."""
        os.write(self.orders, f"{order}\n".encode())
        lines = (line.strip() for line in self.listen().replace("\r", "").split("\n")[1:])
        return [line for line in lines if WORTH_TELLING.search(line)]

    def close(self) -> None:
        """Let go of both."""
        os.close(self.said)
        os.close(self.orders)


def evidence(path: Path, console: Path) -> list[str]:
    """The answers, and what the kernel prints of itself; a machine without a monitor has none."""
    if not Path(f"{path}.in").exists():
        return ["this kind of machine has no monitor to ask"]
    monitor = Monitor(path)
    try:
        first = monitor.ask("info registers -a")
        if not first:
            return ["the emulator does not answer: it stands still itself"]
        told = [*first, "a moment later:", *monitor.ask("info registers -a")]
        for processor in ("0", "1"):
            monitor.ask(f"cpu {processor}")
            told += [f"interrupts of processor {processor}:", *monitor.ask("info lapic")]
        before = console.stat().st_size
        monitor.ask("nmi")
        quiet(console)
        with console.open("rb") as file:
            file.seek(before)
            kernel = file.read().decode(errors="replace").replace("\r", "")
        return [*told, "the kernel, interrupted:", *kernel.split("\n")[:80]]
    finally:
        monitor.close()


def quiet(console: Path) -> None:
    """Wait until the console does not grow any more; a kernel that panics has an end."""
    size, until = -1, time.monotonic() + 5 * ANSWER
    while time.monotonic() < until and console.stat().st_size != size:
        size = console.stat().st_size
        time.sleep(ANSWER)
