"""Why a call has no answer, as exceptions.

The first question is "did the tool begin?". A `Refusal`, a `Rejected` and a `BadRequest` say no; a `Failure`
says maybe; `Raised` is what the tool itself said, so it is an answer.

    Error ─┬─ Refusal ────── DeadlinePassed (a TimeoutError)      no worker has seen the call
           ├─ Failure ────── DeadlineExceeded (a TimeoutError)    a worker had it, and there is no answer
           ├─ Rejected                                            a worker looked at it and did not run it
           ├─ Raised                                              the tool raised
           ├─ CallCancelled                                       it was cancelled, here or there
           ├─ BadRequest                                          nobody could have run it
           └─ Unavailable (a ConnectionError)                     no daemon answers

Each has a `reason`, which is one of the names in proto/sidewinder/v1/errors.proto, or the name of a gRPC code
where a status came from no daemon. Nothing here needs grpcio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Details:
    """What came with a status, as far as it came."""

    reason: str
    code: str
    """The gRPC code, such as `RESOURCE_EXHAUSTED`."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    traceback: str = ""
    words: str = ""


class Error(Exception):
    """A call or an order that had no answer."""

    def __init__(self, message: str, details: Details) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if details.traceback and hasattr(self, "add_note"):
            self.add_note(f"In the worker:\n{details.traceback}")

    def __reduce__(self) -> tuple[type[Error], tuple[str, Details]]:
        return type(self), (self.message, self.details)

    @property
    def reason(self) -> str:
        """Why, as a name for programs: `QUEUE_FULL`, `WORKER_DIED`, …"""
        return self.details.reason

    @property
    def code(self) -> str:
        """The gRPC code that brought it."""
        return self.details.code

    @property
    def metadata(self) -> Mapping[str, str]:
        """Everything that the daemon said about it by name."""
        return self.details.metadata

    @property
    def ran(self) -> str:
        """ "no": the tool did not begin, and trying again is safe. "maybe": it may have had effects."""
        return self.details.metadata.get("ran", "maybe")

    @property
    def worker(self) -> str | None:
        """The worker that had the call, as "slot.number"."""
        return self.details.metadata.get("worker")

    @property
    def retry_after(self) -> float | None:
        """After how many seconds trying again is sensible; None: it is not."""
        return self.details.retry_after

    @property
    def traceback(self) -> str:
        """Where the tool was, as Python prints it; empty when that is not known."""
        return self.details.traceback


class Refusal(Error):
    """No worker has seen the call. Where `retry_after` is set, trying again is sensible."""


class DeadlinePassed(Refusal, TimeoutError):
    """The deadline passed before there was a free worker."""


class Failure(Error):
    """A worker had the call, and there is no answer. It may have had effects, so it is never tried again."""

    @property
    def exit_status(self) -> int | None:
        """Of a worker that exited by itself."""
        return _number(self.metadata.get("exit_status"))

    @property
    def signal(self) -> int | None:
        """That ended the worker."""
        return _number(self.metadata.get("signal"))

    @property
    def last_lines(self) -> tuple[str, ...]:
        """What the worker wrote last to its standard error."""
        return tuple(self.details.words.splitlines())


class DeadlineExceeded(Failure, TimeoutError):
    """The deadline passed. The tool may have begun: it is interrupted."""


class Rejected(Error):
    """A worker looked at the call and did not run it: no such tool, arguments that do not fit, …"""


class Raised(Error):
    """The tool raised an exception. This is an answer."""

    @property
    def exception(self) -> str:
        """The qualified name of the Python class, such as `ValueError`."""
        return self.metadata.get("exception", "")

    @property
    def text(self) -> str:
        """What the exception said, without the name of its class."""
        start = f"{self.exception}: "
        if self.message.startswith(start):
            return self.message[len(start) :]
        return "" if self.message == self.exception else self.message

    @property
    def notes(self) -> tuple[str, ...]:
        """The lines of the notes that were added to the exception."""
        return tuple(self.details.words.splitlines())


class CallCancelled(Error):
    """The call was cancelled: by its caller, or because the client was closed."""


class BadRequest(Error):
    """Nobody could have run this: no such pool, a field that makes no sense, a message that is too large."""

    @property
    def field(self) -> str | None:
        """The field of the request that is wrong."""
        return self.metadata.get("field")


class Unavailable(Error, ConnectionError):
    """No daemon answers."""


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


_GROUPS: dict[type[Error], tuple[str, ...]] = {
    Refusal: (
        "STALE_EPOCH", "LEASE_REQUIRED", "KEY_RUNNING", "TOO_MANY_CLIENTS", "TOO_MANY_LEASES", "OTHER_MODE",
        "QUEUE_FULL", "CLIENT_LIMIT", "DRAINING", "AFFINITY_BUSY", "AFFINITY_LOST", "QUARANTINED", "FATAL",
        "UNFIT",
    ),
    DeadlinePassed: ("DEADLINE_PASSED",),
    Failure: ("WORKER_DIED", "OUT_OF_MEMORY", "SIBLING_OVERDUE", "DRAINED", "BROKEN"),
    DeadlineExceeded: ("DEADLINE_EXCEEDED",),
    Rejected: (
        "UNKNOWN_TOOL", "BAD_ARGUMENTS", "BAD_PAYLOAD", "BAD_CONTENT_TYPE", "NOT_A_STREAM", "BUSY",
    ),
    Raised: ("RAISED",),
    CallCancelled: ("CANCELLED",),
    BadRequest: (
        "UNKNOWN_KEY",
        "UNKNOWN_POOL", "UNKNOWN_WORKER", "BAD_REQUEST", "BAD_TIMEOUT", "TOO_LARGE", "STALLED",
        "UNKNOWN_METHOD", "NOT_JSON", "BAD_SETTINGS", "CANNOT_UPGRADE",
    ),
}  # fmt: skip

BY_REASON = {reason: kind for kind, reasons in _GROUPS.items() for reason in reasons}
# Where no daemon spoke, the reason is the name of the gRPC code.
_UNTOLD = {"UNAVAILABLE": Unavailable, "UNIMPLEMENTED": BadRequest}


def error(message: str, details: Details) -> Error:
    """The exception for these details. What a newer daemon says is known by whether the tool ran."""
    kind = BY_REASON.get(details.reason) or _UNTOLD.get(details.reason)
    if kind is None:
        kind = Refusal if details.metadata.get("ran") == "no" else Failure
    return kind(message, details)


for _kind in (Error, Unavailable, *_GROUPS):
    _kind.__module__ = "sidewinder"
