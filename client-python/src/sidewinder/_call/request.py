"""What a call asks for. The next call mostly asks for the same, so it is understood once."""

from __future__ import annotations

from .._frames import Fields, Tag, as_number, as_text, field
from .._tools import Tool
from .._values import DEFAULT, Codec

# What a call has to itself.
_OWN = (Tag.HEARD, Tag.DEADLINE, Tag.MEMO, Tag.TRACEPARENT)


class Request:
    """Everything that a call says, but for its body and what it has of its `own`: its deadline, its trace,
    what a successor is to know of it, and the endings that were heard."""

    __slots__ = (
        "answers",
        "attempt",
        "codec",
        "content_type",
        "fields",
        "found",
        "granted",
        "name",
        "own",
        "tool",
    )

    # Once they were found.
    tool: Tool
    codec: Codec

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.name = ""
        self.content_type = DEFAULT
        self.granted = 0
        self.attempt = 1
        self.found = False
        self.own = tuple(each for each in fields if each[0] in _OWN)
        for tag, value in fields:
            if tag == Tag.TOOL:
                self.name = as_text(value)
            elif tag == Tag.CONTENT_TYPE:
                self.content_type = as_text(value)
            elif tag == Tag.CREDIT:
                self.granted = as_number(value)
            elif tag == Tag.ATTEMPT:
                self.attempt = as_number(value)
        # What is said with each answer.
        self.answers = field(Tag.CONTENT_TYPE, self.content_type)

    @property
    def client(self) -> str | None:
        found = [value for tag, value in self.fields if tag == Tag.CLIENT]
        return found[-1].decode("utf-8", "replace") if found else None

    @property
    def metadata(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for tag, entry in self.fields:
            if tag != Tag.METADATA:
                continue
            name, _, value = entry.decode("utf-8", "replace").partition("=")
            found[name] = f"{found[name]},{value}" if name in found else value
        return found
