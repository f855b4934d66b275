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
    finding.note(f"tier {facts.get('tier')}", facts.get("tier") == "A")
    limits = facts.get("limits", {})
    finding.note(f"limits {json.dumps(limits)}", all(limits.get(name) for name in WANTED))


CASES = [Case("sidewinder doctor --json", f"tier A; {', '.join(WANTED)}: yes", doctor)]
