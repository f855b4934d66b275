"""Names of the client, fetched when somebody asks for them.

A worker imports `sidewinder` for the decorators and must neither need grpcio nor pay for it. So the client's
names are attributes that come to be at their first use.
"""

from __future__ import annotations

import importlib

_ERRORS = (
    "BadRequest", "CallCancelled", "DeadlineExceeded", "DeadlinePassed", "Error", "Failure", "Raised",
    "Refusal", "Rejected", "Unavailable",
)  # fmt: skip
_RECORDS = (
    "Daemon", "Event", "Parameter", "Pool", "Reloaded", "Size", "Stacks", "Tool", "Worker",
)  # fmt: skip

PLACES: dict[str, str] = {
    **dict.fromkeys(_ERRORS, "sidewinder._client.errors"),
    **dict.fromkeys(_RECORDS, "sidewinder._client.speaking.seen"),
    "Client": "sidewinder._client.threads",
    "Items": "sidewinder._client.flowing",
    "aio": "",
}

_BROUGHT = ("grpc", "google")


def fetch(name: str) -> object:
    """The value of this name. It is an `ImportError` that says what to install, where that is missing."""
    if name == "aio":
        return importlib.import_module("sidewinder.aio")
    try:
        return getattr(importlib.import_module(PLACES[name]), name)
    except ModuleNotFoundError as missing:
        raise explained(missing, f"sidewinder.{name}") from missing


def explained(missing: ModuleNotFoundError, wanted: str) -> ImportError:
    """The same error, with what to do about it."""
    if (missing.name or "").partition(".")[0] not in _BROUGHT:
        return missing
    return ImportError(
        f"{wanted} needs grpcio and protobuf, and there is no module {missing.name}: "
        "pip install grpcio protobuf",
        name=missing.name,
    )
