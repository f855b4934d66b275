"""Values as bytes: what an opaque payload means to a tool is decided by its content type, here.

A codec decodes the arguments, encodes the answer, and gathers the encoded items of a generator whose caller
wanted one answer. JSON and MessagePack carry data, `application/octet-stream` carries bytes as they are.
"""

from __future__ import annotations

from ._codec import BadPayloadError, Codec, UnencodableError
from ._json import JSON
from ._msgpack import MSGPACK
from ._raw import RAW

DEFAULT = "application/json"

_CODECS: dict[str, Codec] = {
    "application/json": JSON,
    "application/msgpack": MSGPACK,
    "application/x-msgpack": MSGPACK,
    "application/vnd.msgpack": MSGPACK,
    "application/octet-stream": RAW,
}


def codec(content_type: str) -> Codec | None:
    """The codec of a content type; its parameters are looked past."""
    found = _CODECS.get(content_type)
    if found is None:
        found = _CODECS.get(content_type.partition(";")[0].strip().lower())
    return found


__all__ = ["DEFAULT", "JSON", "MSGPACK", "RAW", "BadPayloadError", "Codec", "UnencodableError", "codec"]
