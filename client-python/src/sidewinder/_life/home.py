"""The folder that the runtime is imported from, when a daemon has put it there.

A later daemon removes the folders of other versions in which nobody lives. A worker may outlive the daemon
that started it, and imports some modules only when it needs them; so it holds the folder itself.
"""

from __future__ import annotations

import contextlib
import os

_PLACED = "runtime-"


def hold() -> None:
    """Until the end of this process, and of its forks."""
    folder = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    if os.path.basename(folder).startswith(_PLACED):
        import fcntl

        # Whoever wants it alone is about to see that somebody lives here, or that nobody does.
        with contextlib.suppress(OSError):
            fcntl.flock(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), fcntl.LOCK_SH | fcntl.LOCK_NB)
