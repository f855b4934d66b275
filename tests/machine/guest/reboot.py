"""The machine loses its power while the daemon works; on the next boot it serves again.

Its records lie on the disk, as where somebody has set SIDEWINDER_RUNTIME_DIR so: under /run they would be
gone with the boot.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import subprocess
import time
from pathlib import Path

import control
import daemon
import left
import live
from keep import NEVER, elapsed
from place import Place
from rows import Case, Finding

STATE = Path("/var/lib/sidewinder")
RUNS = STATE / "runtime/runs"
# What was there when the power was cut, and what whoever asked was told.
NOTES = Path("/var/lib/reboot.json")
TOLD = Path("/var/lib/reboot.told")
WORK = json.dumps({"folder": str(STATE), "seconds": 600})
AGAIN = json.dumps({"folder": str(STATE), "seconds": 0})


def leave_running() -> None:
    """At the end of the first boot: a daemon with a call that will not end, and somebody who waits for it."""
    live.profile(live.SETTINGS)
    conf = f"[Service]\nEnvironment=SIDEWINDER_RUNTIME_DIR={STATE}/runtime\n"
    (live.DROP_INS / "disk.conf").write_text(conf)
    live.systemctl("daemon-reload")
    live.systemctl("restart", daemon.SERVICE)
    asks = f"/usr/bin/sidewinder call work '{WORK}'; echo $? >{TOLD}"
    subprocess.run(["systemd-run", "--quiet", "--unit=asks", "sh", "-c", asks], check=True)
    control.until(lambda: lines("begun") == 1, 4 * NEVER)
    notes = {
        "boot": left.BOOT_ID.read_text(),
        "processes": [int(daemon.daemon()), *daemon.workers()],
        "runs": [path.name for path in RUNS.iterdir()],
    }
    NOTES.write_text(json.dumps(notes))


def lines(name: str) -> int:
    """How often the tool has begun, or ended."""
    with contextlib.suppress(FileNotFoundError):
        return len((STATE / name).read_text().splitlines())
    return 0


def in_mid_work(_: Place, finding: Finding) -> None:
    """The next boot."""
    notes = json.loads(NOTES.read_text())
    finding.note("another boot", notes["boot"] != left.BOOT_ID.read_text())
    records = [RUNS / run for run in notes["runs"]]
    finding.note(f"{len(records)} record", bool(records) and all(record.exists() for record in records))
    user = pwd.getpwnam("sidewinder").pw_uid
    placed = [pid for pid in notes["processes"] if left.innocent(pid, user)]
    begin = time.monotonic()
    live.systemctl("start", "sidewinder.socket")
    said = daemon.ask("who")
    finding.note(f"the first client is answered after {elapsed(begin)}", said.returncode == 0)
    control.until(lambda: daemon.remembered("it is of an earlier boot"), NEVER)
    finding.either(
        not any(record.exists() for record in records),
        "told of the earlier run, record deleted",
        "record there",
    )
    unharmed = [pid for pid in notes["processes"] if left.state(pid) in {"S", "R", "I", "D"}]
    finding.note(
        f"{len(unharmed)} of {len(notes['processes'])} strangers untouched", unharmed == notes["processes"]
    )
    counts = (lines("begun"), lines("ended"), TOLD.exists())
    finding.either(counts == (1, 0, False), "nobody was told an ending", f"begun, ended, told: {counts}")
    again = daemon.ask("work", AGAIN)
    anew = (again.returncode, lines("begun"), lines("ended"))
    finding.note(f"asked again it runs again: begun {anew[1]}, ended {anew[2]}", anew == (0, 2, 1))
    for pid in placed:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


CASES = [
    Case(
        "power cut while the daemon works, then the next boot",
        "nobody signalled, record deleted, served again, no call ends twice or untruly",
        in_mid_work,
    )
]
