"""A process that cannot be forked says why, and leaves: the workers of its pool start by themselves then.

It needs nothing of what forks need, because that may be what is missing.
"""

from __future__ import annotations

import os
from typing import NoReturn

from .._frames import Kind, Tag, meta
from .._leaving import DONE, leave
from .._life.start import greet
from .._link import Link


def unforkable(link: Link, why: str) -> NoReturn:
    link.say(Kind.UNFORKABLE, 0, meta([(Tag.MESSAGE, why)]))
    leave(DONE)


def lacking(error: ImportError) -> NoReturn:
    """Some Pythons were built without a part of their library."""
    link = Link(int(os.environ.get("SIDEWINDER_CONTROL_FD", "4")))
    greet(link, link)
    unforkable(link, f"this Python lacks a part of its library that forks need: {error}")
