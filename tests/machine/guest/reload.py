"""`systemctl reload` of the daemon's unit, by the way that the systemd of this machine has for it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import control
import daemon
import live
from keep import NEVER, elapsed
from place import Place
from rows import Case, Finding

SETTINGS = Path("/etc/sidewinder/sidewinder.toml")
# The first systemd that waits by itself until a daemon says that it has read its settings again.
WAITS = 253


def reload() -> int:
    """The exit status of a reload."""
    return subprocess.run(
        ["systemctl", "reload", daemon.SERVICE], capture_output=True, check=False
    ).returncode


def notified(_: Place, finding: Finding) -> None:
    """Without any command that would say how it went."""
    version = int(live.systemctl("--version").split()[1])
    if version < WAITS:
        finding.note(f"NOT RUN: it takes systemd {WAITS}, this is {version}")
        return
    live.profile(live.SETTINGS, "notify-reload.conf")
    kind = live.systemctl("show", "--value", "--property=Type", daemon.SERVICE)
    finding.note(f"systemd {version}, Type={kind}", kind == "notify-reload")
    SETTINGS.write_text(live.SETTINGS.replace("workers = 2", "workers = 3"))
    before, begin = set(daemon.workers()), time.monotonic()
    status = reload()
    finding.note(f"reload: exit {status} after {elapsed(begin)}", status == 0)
    # It has read them when the command returns; the third worker starts from then on.
    finding.either(len(daemon.workers()) == 3, "a third worker at once", "no third worker")
    control.until(live.running, 2 * NEVER)
    finding.either(before <= set(daemon.workers()), "the others stay", "others")
    SETTINGS.write_text(live.SETTINGS + "wrokers = 3\n")
    finding.note(f"a file with a mistake: exit {reload()}, and the log says so", daemon.remembered("wrokers"))
    state = live.systemctl("show", "--value", "--property=ActiveState", daemon.SERVICE)
    finding.note(state, state == "active")
    said = daemon.ask("who")
    finding.either(said.returncode == 0, "the next call is answered", f"the next call: {said.stderr.strip()}")


CASES = [
    Case(
        "the daemon's unit with notify-reload.conf, systemctl reload",
        "back when the settings hold; a mistake changes nothing",
        notified,
    )
]
