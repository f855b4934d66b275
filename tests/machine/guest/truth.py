"""What `sidewinder doctor` says of this machine must be so."""

from __future__ import annotations

import json
import subprocess

from keep import BINARY, NEVER
from place import WANTED, Place
from rows import Case, Finding


def doctor(_: Place, finding: Finding) -> None:
    """Tier A, and every controller."""
    said = subprocess.run([BINARY, "doctor", "--json"], capture_output=True, text=True, timeout=NEVER)
    facts = json.loads(said.stdout)
    finding.note(f"exit {said.returncode}", said.returncode == 0)
    finding.note(f"tier {facts['tier']}", facts["tier"] == "A")
    held = dict(facts["limits"])
    finding.note(", ".join(f"{name}: {by}" for name, by in held.items()), all(held.get(name) == "cgroup" for name in WANTED))
    doubts = [check["name"] for check in facts["checks"] if not check["yes"]]
    finding.note(f"no to: {'; '.join(doubts) or 'nothing'}")


CASES = [Case("sidewinder doctor --json", f"tier A; {', '.join(WANTED)} by cgroup", doctor)]
