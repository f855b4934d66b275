"""The daemon as it is deployed: limits of its workers, held by the kernel below the unit's own cgroup."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import subprocess
import time
from pathlib import Path

import control
from keep import BINARY, HERE, NEVER, elapsed
from place import Place
from rows import Case, Finding

SERVICE = "sidewinder.service"
CGROUP = control.ROOT / "sidewinder.slice" / SERVICE
PIDS = 24
SETTINGS = f"""
[pools.default]
tools = ["tools"]
directory = "/opt/sidewinder"
workers = 2
grace.interrupt = "1s"
limits.memory = "64MiB"
limits.pids = {PIDS}

[pools.slowed]
expose = ["tools:swell"]
directory = "/opt/sidewinder"
min = 0
max = 1
grace.interrupt = "1s"
limits.memory-high = "40MiB"
"""
UNITS = ("sidewinder.service", "sidewinder.socket", "sidewinder.slice")


def install() -> None:
    """What deploy/README.md says; once."""
    if Path("/usr/bin/sidewinder").exists():
        return
    shutil.copy(BINARY, "/usr/bin/sidewinder")
    files = {
        "sidewinder.sysusers": "/usr/lib/sysusers.d/sidewinder.conf",
        "sidewinder.tmpfiles": "/usr/lib/tmpfiles.d/sidewinder.conf",
        **{unit: f"/etc/systemd/system/{unit}" for unit in UNITS},
    }
    for name, place in files.items():
        shutil.copy(HERE / "deploy" / name, place)
    for folder in ("/etc/sidewinder", "/opt/sidewinder"):
        Path(folder).mkdir(exist_ok=True)
    Path("/etc/sidewinder/sidewinder.toml").write_text(SETTINGS)
    shutil.copy(HERE / "served.py", "/opt/sidewinder/tools.py")
    for command in (
        "systemd-sysusers",
        "systemd-tmpfiles --create --prefix=/run/sidewinder",
        "systemctl daemon-reload",
    ):
        subprocess.run(command.split(), check=True)
    # An emulated processor takes seconds for what takes a real one a tenth.
    subprocess.run(["systemctl", "start", SERVICE], check=True)


def ask(tool: str, arguments: str = "{}", *options: str) -> subprocess.CompletedProcess[str]:
    """Call a tool to its end."""
    command = ["/usr/bin/sidewinder", "call", *options, tool, arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=4 * NEVER)


def workers() -> dict[int, str]:
    """The processes of the workers, and their states. A replacement can be in a slot of its own."""
    said = subprocess.run(
        ["/usr/bin/sidewinder", "status", "--json"], capture_output=True, text=True, check=True
    )
    return {worker["pid"]: worker["state"] for worker in json.loads(said.stdout)["workers"]}


def daemon() -> str:
    """The main process of the unit."""
    show = ["systemctl", "show", "--value", "--property=MainPID", SERVICE]
    return subprocess.run(show, capture_output=True, text=True, check=True).stdout.strip()


def others(finding: Finding, before: tuple[str, dict[int, str]]) -> None:
    """Add what became of everybody else: one worker is another, the rest are who they were."""
    process, old = before

    def renewed() -> bool:
        now = workers()
        return len(now) == len(old) and set(now.values()) == {"RUNNING"} and set(now) != set(old)

    control.until(renewed, 2 * NEVER)
    same = set(workers()) & set(old)
    finding.note(f"{len(same)} of {len(old)} workers live on, another has come", len(same) == len(old) - 1)
    finding.either(daemon() == process, "same daemon", "another daemon")
    said = ask("who")
    finding.either(said.returncode == 0, "the next call is answered", f"the next call: {said.stderr.strip()}")


def over_memory(_: Place, finding: Finding) -> None:
    """One call touches twice what its worker may have."""
    install()
    before = (daemon(), workers())
    begin = time.monotonic()
    said = ask("hog", '{"mib": 128}')
    told = said.stderr.strip()
    finding.note(f"caller told after {elapsed(begin)}: {told[:60]}", "OUT_OF_MEMORY" in told)
    finding.note(f"exit {said.returncode}", said.returncode == 1)
    others(finding, before)


def remembered(*words: str) -> bool:
    """Whether a line of the daemon's log has all of these."""
    said = subprocess.run(
        ["/usr/bin/sidewinder", "logs", "--json"], capture_output=True, text=True, check=True
    )
    return any(all(word in line for word in words) for line in said.stdout.splitlines())


def over_high(_: Place, finding: Finding) -> None:
    """One call wants more than its worker may have at full speed."""
    install()
    begin = time.monotonic()
    arguments = ("--pool", "slowed", "swell", '{"mib": 100}')
    call = subprocess.Popen(["/usr/bin/sidewinder", "call", *arguments])
    for words in (("WORKER_AT_LIMIT", "memory-high"), ("MEMORY_PRESSURE",)):
        told = functools.partial(remembered, *words)
        with contextlib.suppress(TimeoutError):
            control.until(told, 2 * NEVER)
        finding.either(told(), f"{words[0]} after {elapsed(begin)}", f"no {words[0]}")
    finding.either(call.poll() is None, "the call goes on", "the call has ended")
    call.kill()
    call.wait()


def over_pids(_: Place, finding: Finding) -> None:
    """One call is a fork bomb, and is given up after a while."""
    install()
    before = (daemon(), workers())
    inside = [folder for folder in control.folders(CGROUP) if folder.name.startswith("w")]
    finding.note(f"{len(inside)} cgroups of workers", len(inside) == len(before[1]))
    begin = time.monotonic()
    bomb = subprocess.Popen(
        ["/usr/bin/sidewinder", "call", "--timeout", "4s", "bomb"], stderr=subprocess.PIPE, text=True
    )
    control.until(lambda: any(control.field(folder, "pids.events", "max") > 0 for folder in inside), NEVER)
    most = control.peak(lambda: max(len(control.members(folder)) for folder in inside), 1)
    finding.note(f"at most {most} processes", PIDS // 2 < most <= PIDS)
    told = bomb.communicate(timeout=4 * NEVER)[1]
    finding.note(f"given up after {elapsed(begin)}: {told.strip()[:40]}", bomb.returncode != 0)
    others(finding, before)
    left = max(
        len(control.members(folder)) for folder in control.folders(CGROUP) if folder.name.startswith("w")
    )
    finding.note(f"at most {left} process in a worker's cgroup", left == 1)


PROMISED = "it dies alone, its caller is told, another takes its place"
CASES = [
    Case("the daemon's unit, limits.memory=64M, a call of 128M", PROMISED, over_memory),
    Case(
        f"the daemon's unit, limits.pids={PIDS}, a call that is a fork bomb", "held; " + PROMISED, over_pids
    ),
    Case(
        "the daemon's unit, limits.memory-high=40M, a call of 100M",
        "slowed down; operators are told of the limit and of the pressure",
        over_high,
    ),
]
