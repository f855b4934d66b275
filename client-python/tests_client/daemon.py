"""A daemon in a place of its own, as a test wants it. It is killed with the test that forgets to stop it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Callable

import sidewinder

from . import ROOM, TOOLS

PATIENCE = 20.0


def binary() -> str:
    """The daemon's binary: the one the Makefile built, or the one of this checkout."""
    named = os.environ.get("SIDEWINDER_BIN")
    if named:
        return named
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOM.parent / "target")
    for found in (target / "release" / "sidewinder", target / "debug" / "sidewinder"):
        if found.exists():
            return str(found)
    raise FileNotFoundError("no binary to test: run `make build`, or name one with SIDEWINDER_BIN")


class Daemon:
    """A running daemon. Its temporary folder is there before and after it runs."""

    def __init__(
        self,
        *arguments: str,
        tools: str = "served",
        workers: int = 1,
        files: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="sidewinder-client-")
        self.folder = Path(self._folder.name)
        self.socket = self.folder / "run" / "sidewinder.sock"
        self.environment = {
            "SIDEWINDER_RUNTIME_DIR": str(self.folder / "run"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        named = ["--tools", tools, "--workers", str(workers), "--python", sys.executable]
        self._command = [binary(), "run", *named, *arguments]
        for name, content in (files or {}).items():
            (self.folder / name).write_text(content)
        self._cwd = self.folder if files else TOOLS
        self.log: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        """Starts it, and waits until it listens."""
        process = subprocess.Popen(
            self._command,
            cwd=self._cwd,
            env=self.surroundings({}),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        self._process = process
        for line in process.stderr:
            self.log.append(line)
            if "listens on" in line:
                break
        else:
            raise AssertionError(f"the daemon did not start: {''.join(self.log)}")
        self._reader = threading.Thread(target=self._read, args=(process.stderr,), daemon=True)
        self._reader.start()

    def _read(self, lines: Any) -> None:
        with lines:
            self.log.extend(lines)

    def surroundings(self, more: Mapping[str, str]) -> dict[str, str]:
        """The environment in which the daemon is the one of this user."""
        return {**os.environ, **self.environment, **more}

    def client(self, **options: Any) -> sidewinder.Client:
        return sidewinder.Client(self.socket, **options)

    def terminate(self) -> None:
        """Asks it to stop."""
        assert self._process is not None
        self._process.terminate()

    def ended(self) -> int:
        """Its exit status, once it has one."""
        assert self._process is not None
        return self._process.wait(PATIENCE)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join()

    def __enter__(self) -> Daemon:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            sys.stderr.write(f"\nthe daemon said:\n{''.join(self.log[-50:])}\n")
        self.close()

    def close(self) -> None:
        """Ends it, if it still runs, and takes its folder away."""
        self.kill()
        self._folder.cleanup()


def eventually(fact: Callable[[], object], what: str) -> None:
    """Waits for a fact."""
    until = time.monotonic() + PATIENCE
    while not fact():
        if time.monotonic() > until:
            raise AssertionError(f"not within {PATIENCE} s: {what}")
        time.sleep(0.005)


def stands_still(stacks: Sequence[sidewinder.Stacks], noted: list[int], note: Path) -> bool:
    """Whether the tool waits for somebody to take its items, at the same one as at the last looks.

    Between two looks lies a whole round trip, behind the items on the same connection."""
    waits = bool(stacks) and all(" in pay" in stack.text for stack in stacks)
    noted.append(len(text(note)) if waits else -1)
    return waits and noted[-5:] == [noted[-1]] * 5


def text(file: Path) -> str:
    """What is in a file that may not be there yet."""
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def busy(client: sidewinder.Client) -> int:
    """Calls that hold a seat."""
    return sum(pool.running for pool in client.pools())
