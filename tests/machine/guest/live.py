"""The live unit, restarted under load: its workers stay. In scopes of their own they have limits as well."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from pathlib import Path

import control
import daemon
from keep import HERE, NEVER
from place import Place
from rows import Case, Finding

DROP_INS = Path("/etc/systemd/system/sidewinder.service.d")
SLICE = control.ROOT / "sidewinder.slice"
# In seconds, from the last answer of one daemon to the first one of the next; and how much slower an
# emulated processor may be.
PROMISED = 1.0
FACTOR = 10
CLIENTS = 2
NOBODY_LISTENS = ("refused", "No such file")
MEMORY = 64 << 20
SETTINGS = """
[pools.default]
tools = ["tools"]
directory = "/opt/sidewinder"
workers = 2
grace.interrupt = "1s"
"""
LIMITS = 'limits.memory = "64MiB"\nlimits.pids = 24\nlimits.cpu = 1.5\n'


def systemctl(*words: str) -> str:
    """What it prints; it has to succeed."""
    command = ["systemctl", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def profile(settings: str, *drop_ins: str) -> None:
    """Have the daemon run with these settings and these drop-ins of deploy/, and with no other."""
    daemon.install()
    shutil.rmtree(DROP_INS, ignore_errors=True)
    DROP_INS.mkdir()
    for name in drop_ins:
        shutil.copy(HERE / "deploy" / name, DROP_INS / name)
    # Whoever was there is not to be taken over: the units are told of it only then.
    systemctl("stop", "sidewinder.socket", daemon.SERVICE)
    Path("/etc/sidewinder/sidewinder.toml").write_text(settings)
    systemctl("daemon-reload")
    systemctl("start", daemon.SERVICE)
    control.until(running, 2 * NEVER)


def running() -> bool:
    """Whether every worker takes calls."""
    return set(daemon.workers().values()) == {"RUNNING"}


class Load:
    """Clients that call one after the other, and what they see."""

    def __init__(self) -> None:
        self.over = False
        self.answers = self.failures = self.refused = 0
        self.window = 0.0
        self.told = ""
        self.lock = threading.Lock()
        self.clients = [threading.Thread(target=self.call, daemon=True) for _ in range(CLIENTS)]
        for client in self.clients:
            client.start()

    def call(self) -> None:
        """One client."""
        last = time.monotonic()
        while not self.over:
            said = daemon.ask("who")
            now = time.monotonic()
            with self.lock:
                if said.returncode == 0:
                    self.answers += 1
                    self.window = max(self.window, now - last)
                    last = now
                elif any(words in said.stderr for words in NOBODY_LISTENS):
                    self.refused += 1
                else:
                    # It was connected, and its daemon left.
                    self.failures += 1
                    self.told = said.stderr.strip()

    def more(self, answers: int) -> None:
        """Wait for so many further answers."""
        goal = self.answers + answers
        control.until(lambda: self.answers >= goal, 4 * NEVER)

    def end(self) -> None:
        """No more calls."""
        self.over = True
        for client in self.clients:
            client.join(4 * NEVER)


def restart(finding: Finding) -> None:
    """Restart the unit while clients call, and add what they saw."""
    old, before = daemon.daemon(), daemon.workers()
    load = Load()
    load.more(2 * CLIENTS)
    systemctl("restart", daemon.SERVICE)
    load.more(2 * CLIENTS)
    load.end()
    finding.either(daemon.daemon() not in {old, "0"}, "another daemon", "the same daemon")
    control.until(running, NEVER)
    kept = set(before) & set(daemon.workers())
    finding.note(f"{len(kept)} of {len(before)} workers kept", kept == set(before) != set())
    finding.note(
        f"{load.refused} of {load.answers + load.failures + load.refused} calls refused", not load.refused
    )
    finding.note(f"{load.failures} ended by the restart {load.told[:120]}".strip(), load.failures <= CLIENTS)
    finding.note(f"error window {load.window:.1f} s", load.window <= FACTOR * PROMISED)


def plain(_: Place, finding: Finding) -> None:
    """As deploy/ has it."""
    profile(SETTINGS, "live.conf")
    restart(finding)


def scopes() -> list[str]:
    """The scopes of the daemon that systemd knows, in whatever state."""
    said = systemctl("list-units", "--all", "--plain", "--no-legend", "sidewinder-*.scope")
    return [line.split()[0] for line in said.splitlines()]


def inside() -> list[Path]:
    """The cgroups of workers in scopes."""
    return sorted(SLICE.glob("sidewinder-*.scope/sidewinder-*/w*"))


def limited(memory: int = MEMORY) -> bool:
    """Whether each worker is held by the kernel."""
    wanted = {"memory.max": str(memory), "pids.max": "24", "cpu.max": "150000 100000"}
    return bool(inside()) and all(
        control.read(folder, name) == value for folder in inside() for name, value in wanted.items()
    )


def in_scopes(_: Place, finding: Finding) -> None:
    """With limits, which systemd 252 does not let a live unit have otherwise."""
    profile(SETTINGS + LIMITS, "live.conf", "scope.conf")
    first = scopes()
    finding.note(f"{len(first)} scope, {len(inside())} workers in it", (len(first), len(inside())) == (1, 2))
    unit = control.read(SLICE / daemon.SERVICE, "cgroup.procs").split()
    finding.note(f"{len(unit)} process in the unit", unit == [daemon.daemon()])
    finding.either(limited(), "limits hold there", "no limits")
    restart(finding)
    finding.either(scopes() == first, "same scope", f"other scopes: {scopes()}")
    finding.either(limited(), "limits still hold", "no limits any more")


def over_memory(place: Place, finding: Finding) -> None:
    """A worker that was taken over, and one call that wants more than it may have."""
    daemon.over_memory(place, finding)
    finding.either(limited(), "the next one is limited, too", "the next one has no limits")


def amended(_: Place, finding: Finding) -> None:
    """Other limits, by a daemon that has taken the scope over."""
    first, before, settings = scopes(), set(daemon.workers()), Path("/etc/sidewinder/sidewinder.toml")
    settings.write_text(settings.read_text().replace("64MiB", "80MiB"))
    systemctl("reload", daemon.SERVICE)
    control.until(lambda: running() and not before & set(daemon.workers()), 3 * NEVER)
    control.until(lambda: len(inside()) == len(before), NEVER)
    finding.note(f"{len(before)} workers replaced", len(before) == CLIENTS)
    finding.either(limited(80 << 20), "with the new limits", "not with the new limits")
    finding.either(scopes() == first, "in the same scope", f"other scopes: {scopes()}")


def stop(_: Place, finding: Finding) -> None:
    """Nothing of a scope is left."""
    everybody = [pid for scope in scopes() for pid in control.members(SLICE / scope)]
    begin = time.monotonic()
    systemctl("stop", "sidewinder.socket", daemon.SERVICE)
    control.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in everybody), NEVER)
    gone = time.monotonic() - begin
    finding.note(f"{len(everybody)} processes gone after {gone * 1000:.0f} ms", len(everybody) > CLIENTS)
    control.until(lambda: not scopes() and not list(SLICE.glob("sidewinder-*")), NEVER)
    finding.note("no scope and no cgroup left")


KEPT = "0 refused, 0 workers lost, error window <= 1 s (here <= 10)"
CASES = [
    Case("the live unit, systemctl restart under load", KEPT, plain),
    Case("the live unit, pools in scopes with limits, systemctl restart under load", KEPT, in_scopes),
    Case("the same afterwards, limits.memory=64M, a call of 128M", daemon.PROMISED, over_memory),
    Case(
        "the same, limits.memory=80M by a reload", "every worker is another one, with these limits", amended
    ),
    Case("the same, systemctl stop", "everybody gone, no scope left", stop),
]
