"""A peer that stands: started in a nest of its own, called, looked at, ended with all that belongs to it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

import processes
from peers.peer import SERVED, Order, Peer, told
from processes import Process
from speak.caller import Caller, CallFailedError, call
from speak.over_grpc import GrpcCaller
from speak.over_http import HttpCaller
from speak.over_pipe import PipeCaller

CLIENT = SERVED.parent.parent.parent / "client-python" / "src"
# Between two looks at something that is on its way.
LOOK_EVERY_S = 0.002
END_S = 20.0


class NeverStoodError(Exception):
    """It did not come to serve."""


class Standing:
    """Everything is ended at the end of its `with`."""

    def __init__(self, peer: Peer, order: Order) -> None:
        self.peer, self.order = peer, order
        self.nest = Path(tempfile.mkdtemp(prefix="race-"))
        (self.nest / "version").write_text("1 0")
        self.held: dict[int, Process] = {}
        self.port = free_port()
        self.begun = time.monotonic()
        try:
            self.process = self.start()
        except OSError:
            shutil.rmtree(self.nest)
            raise
        self.caller = self.new_caller()

    def start(self) -> subprocess.Popen[bytes]:
        """Its own files go to the nest, and what it says to a file there."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("SIDEWINDER_")}
        ours |= {"TMPDIR": str(self.nest), "PYTHONPATH": f"{SERVED}:{CLIENT}", "PYTHONUNBUFFERED": "1"}
        ours |= {"RACE_PORT": str(self.port), **told(self.order, self.nest)}
        ours |= self.peer.environment(self.order, self.nest)
        command = self.peer.command(self.order, self.nest, self.port)
        piped = subprocess.PIPE if self.peer.speaks == "host" else None
        with (self.nest / "log").open("wb") as log:
            return subprocess.Popen(
                command,
                cwd=self.nest,
                env=ours,
                stdin=piped or subprocess.DEVNULL,
                stdout=piped or log,
                stderr=log,
            )

    def new_caller(self) -> Caller:
        """One that speaks what the peer speaks."""
        if self.peer.speaks == "host":
            return PipeCaller(self.process)
        if self.peer.speaks == "grpc":
            return GrpcCaller(self.port, self.order.patience)
        return HttpCaller(self.port, self.peer.path, self.peer.json)

    def __enter__(self) -> Standing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.caller.close()
        until = time.monotonic() + END_S
        # Whoever has workers goes first, and what it left comes to us, where it is found again.
        while (alive := self.members()) and time.monotonic() < until:
            for member in alive:
                member.send(signal.SIGKILL)
            processes.await_end(alive, 1.0)
            processes.bury(list(self.held.values()))
        self.process.wait(END_S)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                try:
                    pipe.close()
                except OSError:
                    continue
        for member in self.held.values():
            os.close(member.pidfd)
        shutil.rmtree(self.nest, ignore_errors=True)

    def marks(self, name: str) -> int:
        """How often the app has told that."""
        try:
            return (self.nest / name).stat().st_size
        except OSError:
            return 0

    def until_marks(self, name: str, count: int, seconds: float) -> float:
        """The seconds since the start when that many are there."""
        while self.marks(name) < count:
            if time.monotonic() - self.begun > seconds:
                raise NeverStoodError(f"over {seconds:.0f} s")
            if self.process.poll() is not None:
                raise NeverStoodError(f"it ended with {self.process.returncode}: {self.log()}")
            time.sleep(LOOK_EVERY_S)
        return time.monotonic() - self.begun

    def until_serving(self, seconds: float = 30.0) -> float:
        """The seconds since the start when all workers are there and a call was answered."""
        self.until_marks("ready", self.order.workers, seconds)
        while True:
            try:
                call(self.caller, b"e", 2.0)
            except CallFailedError as error:
                if time.monotonic() - self.begun > seconds:
                    raise NeverStoodError(f"{error}, over {seconds:.0f} s") from error
                time.sleep(LOOK_EVERY_S)
            else:
                return time.monotonic() - self.begun

    def log(self) -> str:
        """The last line of what it said."""
        lines = (self.nest / "log").read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")[:120]

    def members(self) -> list[Process]:
        """Everybody who belongs to it and lives."""
        return processes.hold(self.nest.name, self.held)

    def worker(self) -> Process:
        """The process that answers; of a peer with several workers one of them."""
        pid = int(call(self.caller, b"p", 10.0))
        namesakes = [member for member in self.members() if member.innermost() == pid]
        # In a namespace of its own a number may be that of a stranger outside.
        return max(namesakes, key=lambda member: member.pid != pid)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
