"""Tools that show where and in which order they run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import sidewinder


def wait_for(gate: str) -> None:
    """Until there is such a file."""
    while not Path(gate).exists():
        time.sleep(0.005)


@sidewinder.tool
def who() -> int:
    """The process that runs this."""
    return os.getpid()


@sidewinder.tool
def hold(gate: str) -> str:
    """Holds the worker until there is such a file."""
    wait_for(gate)
    return "held"


@sidewinder.tool
def die(gate: str) -> None:
    """Holds the worker until there is such a file, and kills it."""
    wait_for(gate)
    os._exit(1)


@sidewinder.tool
def sign(name: str, file: str) -> str:
    """Writes its name below those of the others."""
    with Path(file).open("a") as signed:
        signed.write(name + "\n")
    return name


@sidewinder.tool
def nap(seconds: float, name: str) -> str:
    """Takes a while."""
    time.sleep(seconds)
    return name


@sidewinder.tool
def pour(size: int) -> Iterator[str]:
    """Large items, without end."""
    while True:
        yield "x" * size


@sidewinder.tool
def pour_out(items: int, file: str) -> Iterator[int]:
    """So many items, and signs when they are poured."""
    yield from range(items)
    Path(file).write_text("poured")


@sidewinder.tool
def sign_later(gate: str, file: str) -> None:
    """Signs when there is a file."""
    wait_for(gate)
    Path(file).write_text("signed")


@sidewinder.tool
def once(gate: str, file: str) -> int:
    """Signs when there is a gate, and says how often somebody has."""
    wait_for(gate)
    with Path(file).open("a") as signed:
        signed.write("signed\n")
    return len(Path(file).read_text().splitlines())


@sidewinder.tool
def cling(gate: str, file: str) -> None:
    """Signs, does not give up before there is a gate, whatever it is told, and signs again."""
    # It may be told at any step, and by two means: once it has signed, no step is outside of a `try`.
    try:
        try:
            with Path(file).open("a") as signed:
                signed.write("in\n")
            wait_for(gate)
        except BaseException:
            wait_for(gate)
    except BaseException:
        wait_for(gate)
    with Path(file).open("a") as signed:
        signed.write("out\n")


@sidewinder.tool
def leave_behind() -> list[int]:
    """Starts a process that goes when it is asked to, and one that does not."""
    ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    deaf = f"{ignore}; print('deaf', flush=True); time.sleep(600)"
    commands = [["sleep", "600"], [sys.executable, "-c", deaf]]
    polite, stubborn = (
        subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) for command in commands
    )
    assert stubborn.stdout is not None
    stubborn.stdout.readline()
    return [polite.pid, stubborn.pid]


@sidewinder.tool
def left(ctx: sidewinder.Context) -> float | None:
    """How long its caller still waits."""
    return ctx.remaining()
