"""`sidewinder keep` as the main process of a real unit: it finds the delegated cgroup by itself."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

import control
from keep import BINARY, FIRST, NEVER, zoo
from place import Place
from rows import Case, Finding


def start(unit: str, user: str, *options: str) -> Path:
    """Start a unit of that user around a keep; returns its folder, which outlives a reboot."""
    folder = Path("/var/lib") / unit
    (folder / "report").unlink(missing_ok=True)
    subprocess.run(
        [
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit={unit}",
            f"--property=User={user}",
            f"--property=StateDirectory={unit}",
            "--property=Delegate=yes",
            f"--setenv=SIDEWINDER_RUNTIME_DIR={folder}/runtime",
            BINARY,
            "keep",
            f"--report={folder}/report",
            *options,
            "--",
            *zoo("hold"),
        ],
        check=True,
    )
    control.until(lambda: started(folder) is not None, NEVER)
    return folder


def started(folder: Path) -> dict[str, Any] | None:
    """The first event of a unit's report."""
    with contextlib.suppress(FileNotFoundError):
        line, end, _ = (folder / "report").read_text().partition("\n")
        return dict(json.loads(line)) if end else None
    return None


def automatic(finding: Finding, user: str) -> None:
    """Nothing is named on the command line but the limits."""
    unit = f"auto-{user}"
    event = started(start(unit, user, "--limit=memory=60M", "--limit=pids=20", "--limit=cpu=0.5")) or {}
    inside = Path(event["cgroup"] or "/nowhere") / FIRST
    around = control.ROOT / "system.slice" / f"{unit}.service"
    finding.note(f"tier {event['tier']}", event["tier"] in "AB")
    finding.either(inside.is_relative_to(around), "command below the unit", f"command in {inside}")
    own = control.read(around, "cgroup.procs")
    finding.either(not own, "no process in the unit's own cgroup", f"{own} in the unit's own cgroup")
    handed = control.read(around, "cgroup.subtree_control").split()
    finding.note(f"handed down: {' '.join(handed)}", {"cpu", "memory", "pids"} <= set(handed))
    limits = [control.read(inside, name) for name in ("memory.max", "pids.max", "cpu.max")]
    finding.note(" ".join(limits), limits == [str(60 << 20), "20", "50000 100000"])
    subprocess.run(["systemctl", "stop", unit], check=True)
    finding.either(not around.exists(), "unit's cgroup gone after stop", f"{around} is still there")


def of_root(_: Place, finding: Finding) -> None:
    """A unit of root."""
    automatic(finding, "root")


def of_a_user(_: Place, finding: Finding) -> None:
    """A unit of an ordinary user."""
    automatic(finding, "tester")


PROMISED = "own processes in a leaf, controllers handed down, limits hold, all gone after stop"
CASES = [
    Case("a delegated unit of root, --cgroup auto", PROMISED, of_root),
    Case("a delegated unit of a user, --cgroup auto", PROMISED, of_a_user),
]
