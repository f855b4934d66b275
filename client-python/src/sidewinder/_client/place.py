"""Where the daemon is: the address as people write it, or the private socket of this user.

The rule is that of the command line. A directory that somebody else owns or can write to is refused, because
whoever listens there would be sent this user's calls.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

# Where the unit for the whole system listens. Only root can put anything there.
SYSTEM = Path("/run/sidewinder/sidewinder.sock")


def target(address: str | os.PathLike[str] | None) -> str:
    """The address as gRPC understands it. None: the daemon of this user."""
    if address is None:
        return f"unix:{default_socket(os.environ)}"
    text = os.fspath(address)
    if not text:
        raise ValueError("the address is empty: leave it out, or name a socket or HOST:PORT")
    if isinstance(address, os.PathLike) or text.startswith(("/", "./", "../")):
        return f"unix:{os.path.abspath(text)}"
    return text


def default_socket(environment: Mapping[str, str]) -> Path:
    """Where the daemon of this user listens, or else that of the system, when nobody says otherwise."""
    named = environment.get("SIDEWINDER_LISTEN_SOCKET")
    if named:
        return Path(os.path.abspath(named))
    try:
        own = _own_socket(environment)
    except PermissionError:
        if not SYSTEM.exists():
            raise
        return SYSTEM
    return SYSTEM if SYSTEM.exists() and not own.exists() else own


def _own_socket(environment: Mapping[str, str]) -> Path:
    base = Path(os.path.abspath(_base(environment)))
    try:
        there = os.lstat(base)
    except FileNotFoundError:
        return base / "sidewinder.sock"
    ours = stat.S_ISDIR(there.st_mode) and there.st_uid == os.geteuid() and not there.st_mode & 0o022
    if not ours:
        raise PermissionError(
            f"{base} must be a directory of this user that nobody else can write to: remove it, or name "
            "another with SIDEWINDER_RUNTIME_DIR"
        )
    return base / "sidewinder.sock"


def _base(environment: Mapping[str, str]) -> str:
    named = environment.get("SIDEWINDER_RUNTIME_DIR")
    if named:
        return named
    session = environment.get("XDG_RUNTIME_DIR")
    if session:
        return os.path.join(session, "sidewinder")
    return "/run/sidewinder" if os.geteuid() == 0 else f"/tmp/sidewinder-{os.geteuid()}"
