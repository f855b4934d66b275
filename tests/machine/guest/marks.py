"""The machine loses its power under a running keep; on the next boot `sidewinder reap` finds the record.

The record and the report lie on the disk. Before reaping, innocents of the same user are started under exactly
the process ids that the record knows: a signal to any of them would be a signal to a stranger.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import signal
import struct
import subprocess
from pathlib import Path

import units
from keep import BINARY, NEVER
from place import Place
from rows import Case, Finding

CLONE3 = 435
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def leave_running() -> None:
    """For root, at the end of the first boot: one keep of each user that nobody will end."""
    for user in ("root", "tester"):
        folder = units.start(f"left-{user}", user)
        (folder / "boot").write_text(BOOT_ID.read_text())


def innocent(pid: int, user: int) -> bool:
    """Start a process under that id which does nothing. Whoever has the id already is as innocent."""
    if state(pid):
        return True
    wanted = ctypes.c_int32(pid)
    # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size
    arguments = struct.pack("10Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(wanted), 1)
    child = ctypes.CDLL(None, use_errno=True).syscall(CLONE3, arguments, len(arguments))
    if child == 0:
        os.setuid(user)
        while True:
            signal.pause()
    return bool(child == pid)


def state(pid: int) -> str:
    """The state letter of a process; empty when there is none."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def reap(user: str, folder: Path) -> tuple[int, list[str]]:
    """Run `sidewinder reap` as that user: its exit status, and what it says of each run."""
    environment = {**os.environ, "SIDEWINDER_RUNTIME_DIR": str(folder / "runtime")}
    command = [BINARY, "reap", "--json"]
    done = subprocess.run(command, env=environment, user=user, capture_output=True, text=True, timeout=NEVER, check=False)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, [f"{one['verdict']} with {len(one['processes'])} killed" for one in said]


def after_the_cut(finding: Finding, user: str) -> None:
    """Reap on the next boot."""
    folder = Path("/var/lib") / f"left-{user}"
    event = units.started(folder) or {}
    finding.note("another boot", (folder / "boot").read_text() != BOOT_ID.read_text())
    record = folder / "runtime" / "runs" / str(event["run"])
    finding.note("record found" if record.exists() else "no record", record.exists())
    recorded = sorted({int(event[who]) for who in ("owner", "keeper", "command")})
    placed = [innocent(pid, pwd.getpwnam(user).pw_uid) for pid in recorded]
    finding.note(f"{sum(placed)} strangers under the old ids", all(placed))
    status, verdicts = reap(user, folder)
    finding.note(f"reap: {', '.join(verdicts)}; exit {status}", (status, verdicts) == (0, ["earlier_boot with 0 killed"]))
    finding.note("record deleted" if not record.exists() else "record still there", not record.exists())
    unharmed = [pid for pid in recorded if state(pid) in {"S", "R", "I", "D"}]
    finding.note(f"{len(unharmed)} of {len(recorded)} strangers untouched", unharmed == recorded)


def of_root(_: Place, finding: Finding) -> None:
    """The record of a keep of root."""
    after_the_cut(finding, "root")


def of_a_user(_: Place, finding: Finding) -> None:
    """The record of a keep of an ordinary user."""
    after_the_cut(finding, "tester")


PROMISED = "record deleted, nobody signalled"
CASES = [
    Case("power cut under a keep of root, then reap", PROMISED, of_root),
    Case("power cut under a keep of a user, then reap", PROMISED, of_a_user),
]
