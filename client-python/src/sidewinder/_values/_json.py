"""Strict JSON: UTF-8, no NaN, no infinities, no bytes, and nothing guessed about types it does not know."""

from __future__ import annotations

import json

from ._codec import BadPayloadError, UnencodableError, kind_of


def _constant(name: str) -> object:
    raise BadPayloadError(f"{name} is no JSON")


def _unknown(value: object) -> object:
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise UnencodableError(
            "JSON cannot carry bytes: call with application/msgpack or application/octet-stream"
        )
    raise UnencodableError(f"JSON cannot carry a value of type {kind_of(value)}")


_DECODER = json.JSONDecoder(parse_constant=_constant)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_unknown)


class Json:
    between = b","

    def decode(self, body: bytes) -> object:
        try:
            return _DECODER.decode(body.decode())
        except BadPayloadError:
            raise
        except UnicodeDecodeError as error:
            raise BadPayloadError(f"not UTF-8: byte {error.start} is {body[error.start]:#04x}") from None
        except RecursionError:
            raise BadPayloadError("nested too deeply") from None
        except ValueError as error:
            raise BadPayloadError(f"not JSON: {error}") from None

    def encode(self, value: object) -> bytes:
        try:
            return _ENCODER.encode(value).encode()
        except UnencodableError:
            raise
        except UnicodeEncodeError:
            raise UnencodableError("JSON cannot carry a text with lone surrogates") from None
        except RecursionError:
            raise UnencodableError("the value is nested too deeply for JSON") from None
        except (TypeError, ValueError) as error:
            raise UnencodableError(f"JSON cannot carry this value: {error}") from None

    def gather(self, items: bytes | bytearray, count: int) -> bytes:
        del count
        return b"".join((b"[", items, b"]"))


JSON = Json()
