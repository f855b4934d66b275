"""Endings, kept until they are heard.

A daemon may die between reading an ending and passing it on. So the last endings stay here, bounded by number
and by size, until the daemon says that it heard them; its successor asks for them again. An ending that is
being said while it is asked for is said once more afterwards, because its first pieces may have gone to the
dead.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from .._link import Link
from .._pieces import Datagram, cut

MAX_KEPT = 64
MAX_KEPT_BYTES = 16 * 1024 * 1024


class Ending:
    """How a call ended."""

    # Said by the class, because most endings come and go without any of it.
    memo = b""
    said = False
    again = False

    def __init__(self, kind: int, call: int, meta: bytes = b"", body: bytes = b"") -> None:
        self.kind = kind
        self.call = call
        self.meta = meta
        self.body = body
        self.size = len(meta) + len(body)

    def datagrams(self) -> Iterable[Datagram]:
        return cut(self.kind, self.call, self.meta, self.body)


class Endings:
    def __init__(self, link: Link) -> None:
        self._link = link
        self._kept: dict[int, Ending] = {}
        self._bytes = 0
        self._lock = threading.Lock()
        self._asked = 0

    def keep(self, ending: Ending) -> None:
        """To be called before the ending is said. One that alone is too large makes no room for itself."""
        size = ending.size
        if size > MAX_KEPT_BYTES:
            return
        with self._lock:
            self._kept[ending.call] = ending
            self._bytes += size
            if len(self._kept) > MAX_KEPT or self._bytes > MAX_KEPT_BYTES:
                self._make_room()

    def _make_room(self) -> None:
        while len(self._kept) > MAX_KEPT or self._bytes > MAX_KEPT_BYTES:
            oldest = next(iter(self._kept))
            self._bytes -= self._kept.pop(oldest).size

    def say(self, ending: Ending) -> None:
        """Says what is kept, waiting for room."""
        self._link.say(ending.kind, ending.call, ending.meta, ending.body)
        if self.said(ending):
            self._link.send(ending.datagrams())

    def said(self, ending: Ending) -> bool:
        """To be called after the ending was said; whether it is to be said once more."""
        with self._lock:
            ending.said = True
            return ending.again

    def heard(self, calls: Iterable[int]) -> None:
        with self._lock:
            for call in calls:
                ending = self._kept.pop(call, None)
                if ending is not None:
                    self._bytes -= ending.size

    def kept(self) -> list[Ending]:
        with self._lock:
            return list(self._kept.values())

    def ask_again(self) -> None:
        """Says every kept ending again, in a thread, because that may wait for the daemon to read."""
        with self._lock:
            if self._asked:
                self._asked = 2  # one more round when this one is over
                return
            self._asked = 1
        threading.Thread(target=self._repeat, name="sidewinder-resync", daemon=True).start()

    def _repeat(self) -> None:
        while True:
            with self._lock:
                kept = list(self._kept.values())
                for ending in kept:
                    ending.again = not ending.said
            for ending in kept:
                if not ending.again:
                    self._link.send(ending.datagrams())
            with self._lock:
                self._asked -= 1
                if not self._asked:
                    return
