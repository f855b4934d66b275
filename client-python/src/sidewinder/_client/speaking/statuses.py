"""From a gRPC status to an exception: what `google.rpc` details say, and what can be said without them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional, Union

import grpc

from .. import contract
from ..errors import Details, Error, error

DOMAIN = "sidewinder"
_HEADER = "grpc-status-details-bin"
_NOBODY = "failed to connect to all addresses"

Trailers = Optional[Iterable[tuple[str, Union[str, bytes]]]]


def of(code: grpc.StatusCode, message: str | None, trailers: Trailers, target: str) -> Error:
    """The exception for a status that came from `target`, or from gRPC itself."""
    text = message or ""
    details = _details(code.name, trailers)
    if details is None:
        details, text = _untold(code, text, target)
    return error(text, details)


def _details(code: str, trailers: Trailers) -> Details | None:
    """What the daemon told, if it was the daemon."""
    packed = next((value for name, value in trailers or () if name == _HEADER), None)
    if not isinstance(packed, bytes):
        return None
    told: contract.ErrorInfo | None = None
    retry_after: float | None = None
    traceback = words = ""
    for detail in contract.Status.FromString(packed).details:
        kind = detail.type_url.rpartition("/")[2]
        if kind == "google.rpc.ErrorInfo":
            told = contract.ErrorInfo.FromString(detail.value)
        elif kind == "google.rpc.RetryInfo":
            delay = contract.RetryInfo.FromString(detail.value).retry_delay
            retry_after = delay.seconds + delay.nanos / 1e9
        elif kind == "google.rpc.DebugInfo":
            debug = contract.DebugInfo.FromString(detail.value)
            traceback, words = "\n".join(debug.stack_entries), debug.detail
    if told is None or told.domain != DOMAIN:
        return None
    return Details(told.reason, code, dict(told.metadata), retry_after, traceback, words)


def _untold(code: grpc.StatusCode, text: str, target: str) -> tuple[Details, str]:
    """A status without a word of the daemon: its reason is the name of the code."""
    metadata: dict[str, str] = {}
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        text = f"{target} has not answered in time ({text})"
    if code is grpc.StatusCode.UNAVAILABLE:
        if _NOBODY in text:
            metadata["ran"] = "no"
            why = "start one with `sidewinder run --tools MODULE`, or name another address"
            text = f"no daemon answers at {target}: {why} ({text})"
        else:
            text = f"the daemon at {target} went away: {text}"
    return Details(code.name, code.name, metadata), text
