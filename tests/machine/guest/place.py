"""Where a case runs: the user, the delegated cgroup, the keeps it started."""

from __future__ import annotations

import os
import pwd
import time
from dataclasses import dataclass, field
from pathlib import Path

import control
from keep import Keep

WANTED = ("cpu", "io", "memory", "pids")


@dataclass
class Place:
    """Everything a case may touch."""

    who: str
    base: Path
    state: Path
    keeps: list[Keep] = field(default_factory=list)

    @classmethod
    def delegated(cls) -> Place:
        """Settle in the delegated cgroup this process was started in."""
        who = pwd.getpwuid(os.geteuid()).pw_name
        base = control.own_cgroup()
        leaf = base / "test-program"
        leaf.mkdir()
        (leaf / "cgroup.procs").write_text("0")
        control.enable(base, WANTED)
        return cls(who, base, Path(os.environ["STATE_DIRECTORY"]))

    @property
    def is_root(self) -> bool:
        """Whether this is root's run."""
        return os.geteuid() == 0

    def keep(self, *options: str, command: list[str]) -> Keep:
        """Start `sidewinder keep` under the delegated cgroup; it has begun when this returns."""
        report = self.state / f"report-{time.monotonic_ns()}"
        keep = Keep([f"--cgroup={self.base}", *options], command, report)
        self.keeps.append(keep)
        keep.begun()
        return keep

    def end_everything(self) -> None:
        """Between cases nothing of the last one may be left, whatever it did wrong."""
        for keep in self.keeps:
            keep.end()
        for left in self.base.glob("sidewinder-*"):
            control.kill(left)
        self.keeps.clear()
