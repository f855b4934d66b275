"""The connection: how gRPC is to behave where its defaults were made for something else.

A daemon is near, is started again when it ends, and takes large messages. So a lost connection is tried again
within a second, no proxy and no DNS record is asked, and messages may be as large as the daemon takes.
"""

from __future__ import annotations

MESSAGE_MAX = 64 * 1024 * 1024
"""Bytes of one message. The daemon takes as many."""

ENVELOPE_MAX = 64 * 1024
"""Bytes that a message has around the largest payload."""

RECONNECT_FIRST_MS = 100
"""Before the first try to connect again."""

RECONNECT_LAST_MS = 1_000
"""Between later tries, at most."""

_OPTIONS: tuple[tuple[str, str | int], ...] = (
    # A daemon refuses what is too large and says so; gRPC would only say that the other side did.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", MESSAGE_MAX + ENVELOPE_MAX),
    ("grpc.initial_reconnect_backoff_ms", RECONNECT_FIRST_MS),
    ("grpc.max_reconnect_backoff_ms", RECONNECT_LAST_MS),
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    # Two clients of one process are two clients of the daemon.
    ("grpc.use_local_subchannel_pool", 1),
)


def options(target: str) -> tuple[tuple[str, str | int], ...]:
    """The options of a channel to this target."""
    if not target.startswith("unix:"):
        return _OPTIONS
    # Otherwise it is the escaped path of the socket, which HTTP/2 servers in Rust take for no host.
    return (*_OPTIONS, ("grpc.default_authority", "localhost"))


def path(service: str, method: str) -> str:
    """The name of a method as gRPC sends it."""
    return f"/sidewinder.v1.{service}/{method}"
