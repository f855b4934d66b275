"""A daemon in small: starts the real worker on real socketpairs and speaks to it frame by frame.

Everything waits for a fact with one patience; a test that runs out of it fails with what the worker printed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Union

from sidewinder._frames import INPUT, MAX_FRAME, Frame, Kind, Tag, as_text, decode, encode, meta
from sidewinder._pieces import Joiner, cut

from . import SOURCE, TOOLS

# What `meta` takes.
Fields = list[tuple[int, Union[int, str, bytes]]]

PATIENCE = 20.0
ENDINGS = (Kind.ANSWER, Kind.END, Kind.RAISED, Kind.REJECTED)


class Worker:
    """One life. Use it with `with`, which ends it in any case."""

    def __init__(
        self,
        tools: str = "plain",
        expose: str = "",
        seats: int = 1,
        max_message: int = 0,
        welcome: bool = True,
        environment: dict[str, str] | None = None,
        cwd: str | None = None,
    ) -> None:
        self.calls, calls = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        settings = {
            "SIDEWINDER_CALLS_FD": str(calls.fileno()),
            "SIDEWINDER_CONTROL_FD": str(control.fileno()),
            "SIDEWINDER_TOOLS": tools,
            "SIDEWINDER_EXPOSE": expose,
            "SIDEWINDER_SEATS": str(seats),
            "PYTHONPATH": str(SOURCE),
            "PYTHONDONTWRITEBYTECODE": "1",
            **(environment or {}),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sidewinder.worker"],
            env={**os.environ, **settings},
            cwd=cwd or str(TOOLS),
            pass_fds=(calls.fileno(), control.fileno()),
            stdout=self.output,
            stderr=self.errors,
        )
        calls.close()
        control.close()
        self._joiners = {self.calls: Joiner(), self.control: Joiner()}
        self._ids = 0
        self.hello = self.hear(self.control)
        if welcome:
            self.tell(
                Kind.WELCOME, [(Tag.NEWEST, 1), (Tag.MAX_MESSAGE, max_message)] if max_message else [(17, 1)]
            )

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            sys.stderr.write(f"\nthe worker said on standard error:\n{self.stderr()}\n")
        self.process.kill()
        self.process.wait()
        for held in (self.calls, self.control, self.output, self.errors):
            held.close()

    # Frames.

    def hear(self, which: socket.socket, patience: float = PATIENCE) -> Frame:
        """The next whole message from this socket."""
        until = time.monotonic() + patience
        while True:
            left = until - time.monotonic()
            if left <= 0 or not select.select([which], [], [], left)[0]:
                status = self.process.poll()
                raise AssertionError(f"the worker said nothing for {patience} s; status {status}")
            datagram = which.recv(MAX_FRAME + 1)
            if not datagram:
                raise EOFError(f"the worker is gone with status {self.process.wait(PATIENCE)}")
            whole = self._joiners[which].take(decode(datagram))
            if whole is not None:
                return whole

    def silent(self, which: socket.socket) -> bool:
        """Whether there is nothing to read right now."""
        return not select.select([which], [], [], 0)[0]

    def tell(self, kind: int, fields: Fields | None = None, call: int = 0) -> None:
        self.control.send(encode(kind, call, meta(fields or [])))

    def say(
        self,
        kind: int,
        call: int,
        fields: Fields | None = None,
        body: bytes = b"",
        flags: int = 0,
    ) -> None:
        for datagram in cut(kind, call, meta(fields or []), body, flags):
            self.calls.send(datagram if isinstance(datagram, bytes) else b"".join(datagram))

    # Calls.

    def start(
        self,
        tool: str,
        arguments: object = None,
        *,
        content_type: str | None = None,
        credit: int = 0,
        stream_in: bool = False,
        fields: Fields | None = None,
    ) -> int:
        """Sends a call; bytes are sent as they are, anything else as JSON."""
        self._ids += 1
        said: Fields = [(Tag.TOOL, tool)]
        if content_type is not None:
            said.append((Tag.CONTENT_TYPE, content_type))
        if credit:
            said.append((Tag.CREDIT, credit))
        body = arguments if isinstance(arguments, bytes) else json.dumps(arguments).encode()
        self.say(Kind.CALL, self._ids, said + (fields or []), body, INPUT if stream_in else 0)
        return self._ids

    def ending(self, call: int) -> Frame:
        """The next message, which has to be the ending of this call."""
        frame = self.hear(self.calls)
        if frame.kind not in ENDINGS or frame.call != call:
            raise AssertionError(f"an ending of call {call} was expected, not {frame}")
        return frame

    def call(self, tool: str, arguments: object = None, **options: Any) -> Frame:
        return self.ending(self.start(tool, arguments, **options))

    def value(self, tool: str, arguments: object = None, **options: Any) -> Any:
        """The JSON answer of a call."""
        frame = self.call(tool, arguments, **options)
        if frame.kind != Kind.ANSWER:
            raise AssertionError(f"an answer was expected, not {frame}")
        return json.loads(frame.body)

    def next_item(self, call: int) -> Any:
        frame = self.hear(self.calls)
        if (frame.kind, frame.call) != (Kind.ITEM, call):
            raise AssertionError(f"an item of call {call} was expected, not {frame}")
        return json.loads(frame.body)

    def credit(self, call: int, items: int) -> None:
        self.say(Kind.CREDIT, call, [(Tag.CREDIT, items)])

    def cancel(self, call: int, why: str = "nobody waits") -> None:
        self.tell(Kind.CANCEL, [(Tag.MESSAGE, why)], call)

    # The life.

    def ready(self) -> dict[str, Any]:
        frame = self.hear(self.control)
        if frame.kind != Kind.READY:
            raise AssertionError(f"ready was expected, not {frame}")
        offer: dict[str, Any] = json.loads(frame.body)
        return offer

    def ping(self, number: int = 1) -> int:
        """The resident bytes in the pong. What was mentioned before is skipped."""
        self.tell(Kind.PING, [(Tag.PING, number)])
        for frame in self.mentions():
            if frame.kind == Kind.PONG:
                if frame.number(Tag.PING) != number:
                    raise AssertionError(f"pong {frame.number(Tag.PING)} for ping {number}")
                return frame.number(Tag.RESIDENT)
        raise AssertionError("no pong")

    def mentions(self) -> Iterator[Frame]:
        while True:
            yield self.hear(self.control)

    def logged(self) -> str:
        """The message of the next log."""
        return next(text(frame, Tag.MESSAGE) for frame in self.mentions() if frame.kind == Kind.LOG)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def status(self) -> int:
        return self.process.wait(PATIENCE)

    def stdout(self) -> str:
        return _read(self.output)

    def asleep(self) -> None:
        """Waits until the main thread waits in the kernel, and goes on waiting there."""
        until = time.monotonic() + PATIENCE
        seen = 0
        while seen < 5:
            before = self._sleep()
            time.sleep(0.005)
            seen = seen + 1 if before[0] == "S" and self._sleep() == before else 0
            if time.monotonic() > until:
                raise AssertionError(f"the worker never came to rest: {before}")

    def _sleep(self) -> tuple[str, str]:
        with open(f"/proc/{self.process.pid}/status", encoding="ascii", errors="replace") as file:
            said = dict(line.split(":\t", 1) for line in file if ":\t" in line)
        return said["State"][0], said["voluntary_ctxt_switches"]

    def stderr(self) -> str:
        return _read(self.errors)


def _read(file: Any) -> str:
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode("utf-8", "replace")


def text(frame: Frame, tag: int) -> str:
    value = frame.first(tag)
    return "" if value is None else as_text(value)


def ready(tools: str = "plain", **options: Any) -> Worker:
    """A worker that is ready for calls."""
    worker = Worker(tools, **options)
    try:
        worker.ready()
    except BaseException as error:
        worker.__exit__(type(error), error, None)
        raise
    return worker
