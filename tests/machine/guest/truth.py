"""What `sidewinder doctor` says of a machine must be so, on this one and on machines that give less."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from keep import BINARY, NEVER
from place import WANTED, Place
from rows import Case, Finding

USER_NAMESPACES = Path("/proc/sys/user/max_user_namespaces")
REFUSED = 125


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run to the end, whatever the end is."""
    return subprocess.run(command, capture_output=True, text=True, timeout=NEVER, check=False)


def as_user(delegate: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run sidewinder in a unit of an ordinary user."""
    unit = [
        "systemd-run",
        "--quiet",
        "--wait",
        "--pipe",
        "--collect",
        "--property=User=tester",
        f"--property=Delegate={delegate}",
    ]
    return run([*unit, BINARY, *arguments])


def compare(finding: Finding, said: str, tier: str, held: dict[str, str]) -> None:
    """What was said beside what is so."""
    facts: dict[str, Any] = json.loads(said)
    finding.note(f"tier {facts['tier']}", facts["tier"] == tier)
    limits = dict(facts["limits"])
    finding.note(", ".join(f"{name}: {by}" for name, by in limits.items()), limits == held)
    unexplained = [check["name"] for check in facts["checks"] if not check["yes"] and not check.get("fix")]
    finding.either(not unexplained, "a fix for each no", f"no fix for: {', '.join(unexplained)}")


def whole(_: Place, finding: Finding) -> None:
    """In the delegated unit."""
    done = run([BINARY, "doctor", "--json"])
    compare(finding, done.stdout, "A", dict.fromkeys(WANTED, "cgroup"))
    finding.note(f"exit {done.returncode}", done.returncode == 0)


NO_CGROUP = {"memory": "each_process", "pids": "each_process", "cpu": "nothing", "io": "nothing"}


def not_delegated(_: Place, finding: Finding) -> None:
    """A user's unit without Delegate=yes."""
    compare(finding, as_user("no", "doctor", "--json").stdout, "A", NO_CGROUP)


def no_namespaces(_: Place, finding: Finding) -> None:
    """A machine that forbids user namespaces; keep must be as strict as doctor is honest."""
    before = USER_NAMESPACES.read_text()
    USER_NAMESPACES.write_text("0")
    try:
        compare(finding, as_user("yes", "doctor", "--json").stdout, "B", dict.fromkeys(WANTED, "cgroup"))
        compare(finding, as_user("no", "doctor", "--json").stdout, "C", NO_CGROUP)
        for delegate, required in (("yes", "A"), ("no", "B")):
            done = as_user(delegate, "keep", f"--require-tier={required}", "--", "/bin/true")
            refused = done.returncode == REFUSED and "tier" in done.stderr
            finding.note(f"require {required}: exit {done.returncode}", refused)
        done = as_user("yes", "keep", "--require-tier=B", "--", "/bin/true")
        finding.note(f"require B: exit {done.returncode}", done.returncode == 0)
    finally:
        USER_NAMESPACES.write_text(before)


CASES = [Case("sidewinder doctor --json", f"tier A; {', '.join(WANTED)} by cgroup", whole)]
LESSER = [
    Case(
        "doctor in a user's unit that is not delegated",
        "tier A; memory, pids by rlimit; cpu, io refused",
        not_delegated,
    ),
    Case(
        "doctor without user namespaces",
        "delegated: tier B; not: tier C; more required: 125",
        no_namespaces,
    ),
]
