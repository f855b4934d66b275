"""The machine loses its power under a running keep; on the next boot `sidewinder reap` finds the record.

The record and the report lie on the disk. Before reaping, innocents of the same user are started under
exactly the process ids that the keep had: a signal to any of them would be a signal to a stranger.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import signal
import struct
from pathlib import Path

import reap
import units
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
    """Start a process under that id which does nothing; false when somebody as innocent has it already."""
    if state(pid):
        return False
    wanted = ctypes.c_int32(pid)
    # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid
    # and how many of those.
    arguments = struct.pack("10Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(wanted), 1)
    child = ctypes.CDLL(None, use_errno=True).syscall(CLONE3, arguments, len(arguments))
    if child == 0:
        os.setuid(user)
        while True:
            signal.pause()
    if child != pid:
        raise OSError(ctypes.get_errno(), f"clone3 under the id {pid}")
    return True


def state(pid: int) -> str:
    """The state letter of a process; empty when there is none."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def after_the_cut(finding: Finding, user: str) -> None:
    """Reap on the next boot."""
    folder = Path("/var/lib") / f"left-{user}"
    event = units.started(folder) or {}
    finding.note("another boot", (folder / "boot").read_text() != BOOT_ID.read_text())
    record = folder / "runtime" / "runs" / str(event["run"])
    finding.either(record.exists(), "record found", "no record")
    recorded = sorted({int(event[who]) for who in ("owner", "keeper", "command")})
    placed = [pid for pid in recorded if innocent(pid, pwd.getpwnam(user).pw_uid)]
    status, said = reap.run(user, SIDEWINDER_RUNTIME_DIR=str(folder / "runtime"))
    verdicts = [f"{one['verdict']}, {len(one['processes'])} killed" for one in said]
    finding.note(f"reap: {verdicts}, exit {status}", (status, verdicts) == (0, ["earlier_boot, 0 killed"]))
    finding.either(not record.exists(), "record deleted", "record still there")
    unharmed = [pid for pid in recorded if state(pid) in {"S", "R", "I", "D"}]
    finding.note(f"{len(unharmed)} of {len(recorded)} strangers untouched", unharmed == recorded)
    for pid in placed:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


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
