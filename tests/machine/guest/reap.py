"""Running `sidewinder reap` and reading what it says."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from keep import BINARY, NEVER


def run(user: str | None = None, **environment: str) -> tuple[int, list[dict[str, Any]]]:
    """Reap as this user, or as another one: the exit status, and what was said of each run."""
    done = subprocess.run(
        [BINARY, "reap", "--json"],
        env={**os.environ, **environment},
        user=user,
        capture_output=True,
        text=True,
        timeout=NEVER,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]
