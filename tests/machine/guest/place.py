"""Where a case runs: the user, the delegated cgroup, the keeps it started."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import control
from keep import Keep

WANTED = ("cpu", "io", "memory", "pids")
# Long enough for a slow machine, short enough to say that somebody hangs.
SOON = 3.0


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

    def end_everything(self) -> list[str]:
        """End the keeps of a case.

        Owners, keepers and wardens have to leave by themselves: who does not is killed and returned.
        """
        for keep in self.keeps:
            keep.end()
        others = []
        with contextlib.suppress(TimeoutError):
            control.until(lambda: control.members(self.base) == [os.getpid()], SOON)
        for pid in control.members(self.base):
            if pid != os.getpid():
                others.append(control.name(pid))
                os.kill(pid, signal.SIGKILL)
        for left in self.base.glob("sidewinder-*"):
            control.kill(left)
        self.keeps.clear()
        return others
