"""Sidewinder, as the binary brings it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from peers.peer import SERVED, Order, Peer, told

if TYPE_CHECKING:
    from standing import Standing

ROOT = SERVED.parent.parent.parent


def binary() -> str:
    """The binary under test."""
    return os.environ.get("SIDEWINDER_BIN") or str(ROOT / "target" / "release" / "sidewinder")


class Sidewinder(Peer):
    """One pool of one tool."""

    name = "sidewinder"
    speaks = "grpc"
    note = "over TCP; `--fork-server` where it loads once; SIGHUP to reload; a deadline against a wedge"
    loads_once = True
    patient = True
    reloads = True

    def version(self) -> str:
        """What the binary says."""
        said = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True)
        return said.stdout.split()[-1]

    def command(self, order: Order, nest: Path, port: int) -> list[str]:
        """With a file, because a reload reads it again."""
        self.configure(order, nest, port)
        return [binary(), "run", "--config", str(nest / "sidewinder.toml")]

    def environment(self, order: Order, nest: Path) -> dict[str, str]:  # noqa: ARG002
        """No file outside of the nest."""
        return {"SIDEWINDER_RUNTIME_DIR": str(nest)}

    def configure(self, order: Order, nest: Path, port: int, version: str = "1") -> None:
        """Workers get no variable that is not named here."""
        wanted = {**told(order, nest), "RACE_VERSION": version}
        pairs = ", ".join(f"{name} = {json.dumps(value)}" for name, value in wanted.items())
        (nest / "sidewinder.toml").write_text(
            f'[daemon]\ndrain_timeout = "1s"\n'
            f'[listen]\nsocket = {json.dumps(str(nest / "s.sock"))}\ntcp = "127.0.0.1:{port}"\n'
            f'[pools.race]\ntools = ["sidewinder_tools"]\nworkers = {order.workers}\n'
            f"python = {json.dumps(sys.executable)}\ndirectory = {json.dumps(str(SERVED))}\n"
            f"fork_server = {json.dumps(order.once)}\nenvironment = {{ {pairs} }}\n"
        )

    def reload(self, standing: Standing) -> None:
        """As its documents say."""
        self.configure(standing.order, standing.nest, standing.port, "2")
        os.kill(standing.process.pid, signal.SIGHUP)
