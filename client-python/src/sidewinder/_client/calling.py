"""Running tools: the four shapes of a call and their options, the same for threads and for asyncio.

Every option has a name that a tool may want for an argument of its own. Then the arguments are given as one
mapping: `client.call("wait", {"timeout": 5}, timeout=6)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from .speaking.asking import AffinityMode, Arguments, Ask, OnAbandon, Priority

Answer = TypeVar("Answer")
Items = TypeVar("Items")
Inputs = TypeVar("Inputs")


class Calling(Generic[Answer, Items, Inputs]):
    """Runs tools.

    The options, which are the same for each method:

    `pool`             which pool; the only one, or the one called "default"
    `timeout`          seconds until the call is given up. It reaches the tool, and holds for a whole stream
    `affinity`         a key: runs where calls of the same key ran
    `affinity_mode`    what to do when that worker has no room: "hint" (runs elsewhere, the default),
                       "strict_queue" (waits for it), "strict_fail_fast" (is refused)
    `idempotency_key`  the name of this call when it is tried again
    `priority`         "low", "normal" or "high"
    `on_abandon`       what hanging up means for the call: "cancel" or "finish"
    `metadata`         texts by name, which the tool reads as `ctx.metadata`
    `content_type`     "json", "msgpack", "bytes", or a media type whose bytes are given and returned
    `traceparent`      the W3C trace context that the call belongs to
    `retries`          how often a refused call is tried again; 0: never
    """

    def call(
        self,
        tool: str,
        arguments: Arguments = None,
        /,
        *,
        pool: str | None = None,
        timeout: float | None = None,
        affinity: str | None = None,
        affinity_mode: AffinityMode | None = None,
        idempotency_key: str | None = None,
        priority: Priority | None = None,
        on_abandon: OnAbandon | None = None,
        metadata: Mapping[str, str] | None = None,
        content_type: str | None = None,
        traceparent: str | None = None,
        retries: int | None = None,
        **named: Any,
    ) -> Answer:
        """Arguments in, one value out. A generator is answered with the list of its items."""
        return self._call(
            Ask(
                tool, arguments, named, pool, timeout, affinity, affinity_mode, idempotency_key, priority,
                on_abandon, metadata, content_type, traceparent, retries,
            )
        )  # fmt: skip

    def stream(
        self,
        tool: str,
        arguments: Arguments = None,
        /,
        *,
        pool: str | None = None,
        timeout: float | None = None,
        affinity: str | None = None,
        affinity_mode: AffinityMode | None = None,
        idempotency_key: str | None = None,
        priority: Priority | None = None,
        on_abandon: OnAbandon | None = None,
        metadata: Mapping[str, str] | None = None,
        content_type: str | None = None,
        traceparent: str | None = None,
        retries: int | None = None,
        **named: Any,
    ) -> Items:
        """Arguments in, items out as they come. Who reads slowly slows the tool; closing cancels the call."""
        return self._stream(
            Ask(
                tool, arguments, named, pool, timeout, affinity, affinity_mode, idempotency_key, priority,
                on_abandon, metadata, content_type, traceparent, retries,
            )
        )  # fmt: skip

    def upload(
        self,
        tool: str,
        inputs: Inputs,
        arguments: Arguments = None,
        /,
        *,
        pool: str | None = None,
        timeout: float | None = None,
        affinity: str | None = None,
        affinity_mode: AffinityMode | None = None,
        idempotency_key: str | None = None,
        priority: Priority | None = None,
        on_abandon: OnAbandon | None = None,
        metadata: Mapping[str, str] | None = None,
        content_type: str | None = None,
        traceparent: str | None = None,
        **named: Any,
    ) -> Answer:
        """Inputs in as the tool takes them (`ctx.inputs`), one value out. Never tried again."""
        return self._upload(
            inputs,
            Ask(
                tool, arguments, named, pool, timeout, affinity, affinity_mode, idempotency_key, priority,
                on_abandon, metadata, content_type, traceparent, 0,
            ),
        )  # fmt: skip

    def converse(
        self,
        tool: str,
        inputs: Inputs,
        arguments: Arguments = None,
        /,
        *,
        pool: str | None = None,
        timeout: float | None = None,
        affinity: str | None = None,
        affinity_mode: AffinityMode | None = None,
        idempotency_key: str | None = None,
        priority: Priority | None = None,
        on_abandon: OnAbandon | None = None,
        metadata: Mapping[str, str] | None = None,
        content_type: str | None = None,
        traceparent: str | None = None,
        **named: Any,
    ) -> Items:
        """Inputs in, items out. Never tried again."""
        return self._converse(
            inputs,
            Ask(
                tool, arguments, named, pool, timeout, affinity, affinity_mode, idempotency_key, priority,
                on_abandon, metadata, content_type, traceparent, 0,
            ),
        )  # fmt: skip

    def _call(self, ask: Ask) -> Answer:
        raise NotImplementedError

    def _stream(self, ask: Ask) -> Items:
        raise NotImplementedError

    def _upload(self, inputs: Inputs, ask: Ask) -> Answer:
        raise NotImplementedError

    def _converse(self, inputs: Inputs, ask: Ask) -> Items:
        raise NotImplementedError
