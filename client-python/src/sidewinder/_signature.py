"""A tool's parameters: described from its type hints, and filled from a payload.

Arguments come by name from a map, by place from an array, and as they are from raw bytes. Hints describe;
they convert nothing. The parameter that takes the context is the runtime's: callers neither see nor fill it.
"""

from __future__ import annotations

import inspect
import json
import typing
from difflib import get_close_matches
from typing import Any, Callable

from ._context import Context
from ._values import RAW, Codec
from ._values._codec import kind_of

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_VARIADIC: dict[Any, str] = {
    inspect.Parameter.VAR_POSITIONAL: "places",
    inspect.Parameter.VAR_KEYWORD: "names",
}
_CONTEXT_NAMES = ("Context", "sidewinder.Context")
_MAX_DEFAULT = 1024
_MAX_NAMED = 5


class BadArgumentsError(TypeError):
    """These arguments do not fit this tool."""


Bound = tuple[tuple[Any, ...], dict[str, Any]]


class Signature:
    """The parameters of one function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        try:
            found = inspect.signature(function)
        except (TypeError, ValueError):
            found = inspect.Signature([inspect.Parameter("arguments", inspect.Parameter.VAR_POSITIONAL)])
        parameters = list(found.parameters.values())
        self.context = _context(function, parameters)
        parameters = [each for each in parameters if each.name != self.context]
        self.parameters = [_describe(each) for each in parameters]
        self.returns = _hint(found.return_annotation)
        self._all = {each.name: each for each in found.parameters.values()}
        self._rest = any(each.kind is each.VAR_POSITIONAL for each in parameters)
        self._options = any(each.kind is each.VAR_KEYWORD for each in parameters)
        self._places = [each.name for each in parameters if each.kind in _BY_PLACE]
        fillable = [each for each in parameters if each.kind in _BY_PLACE + _BY_NAME]
        self._names = frozenset(each.name for each in fillable)
        self._required = frozenset(each.name for each in fillable if each.default is each.empty)
        self._placed = {each.name for each in self._all.values() if each.kind is each.POSITIONAL_ONLY}
        self._target = self._taker_of_bytes()

    def bind(self, codec: Codec, body: bytes, context: Callable[[], Context]) -> Bound:
        """What to call the function with. Raises `BadPayloadError` or `BadArgumentsError`."""
        named: dict[str, Any]
        rest: tuple[Any, ...] = ()
        if codec is RAW:
            named = {self._target: body} if self._target else self._without_target(body)
        else:
            named, rest = self._from_value(codec.decode(body) if body else None)
        if not self._required <= named.keys():
            raise BadArgumentsError(self._missing(named))
        if self.context is not None:
            named[self.context] = context()
        if self._placed or rest:
            return self._by_place(named, rest)
        return (), named

    def _from_value(self, value: object) -> tuple[dict[str, Any], tuple[Any, ...]]:
        if type(value) is dict:
            if not self._names >= value.keys():
                self._refuse_unexpected(value)
            return value, ()
        if isinstance(value, list):
            return self._from_array(value)
        if value is None:
            return {}, ()
        raise BadArgumentsError(f"arguments come as a map or an array, not as {kind_of(value)}")

    def _from_array(self, values: list[Any]) -> tuple[dict[str, Any], tuple[Any, ...]]:
        most = len(self._places)
        if len(values) > most and not self._rest:
            raise BadArgumentsError(f"{len(values)} arguments, at most {most} fit by place{self._expected()}")
        return dict(zip(self._places, values)), tuple(values[most:])

    def _without_target(self, body: bytes) -> dict[str, Any]:
        if not body and self._target is not None:
            return {}
        raise BadArgumentsError(f"raw bytes need one parameter, or one that is named body{self._expected()}")

    def _taker_of_bytes(self) -> str | None:
        """The parameter that takes raw bytes: nothing where there is none, None where there are several."""
        target = ["body"] if "body" in self._names else sorted(self._required) or self._places[:1]
        return None if len(target) > 1 else "".join(target)

    def _by_place(self, named: dict[str, Any], rest: tuple[Any, ...]) -> Bound:
        """Some parameters have no name for callers of Python: what is left of the last one goes by place."""
        places = [each for each in self._all.values() if each.kind in _BY_PLACE]
        if not rest:
            places = [each for each in places if each.name in self._placed]
            while places and places[-1].name not in named:
                places.pop()
        args = [named.pop(each.name) if each.name in named else each.default for each in places]
        return (*args, *rest), named

    def _refuse_unexpected(self, named: dict[Any, Any]) -> None:
        unexpected = [name for name in named if name not in self._names]
        odd = [name for name in unexpected if not isinstance(name, str)]
        if odd:
            raise BadArgumentsError(f"the name of an argument is a text, not {kind_of(odd[0])}")
        if self._options and self.context not in unexpected:
            return
        said = [self._suggest(name) for name in unexpected[:_MAX_NAMED]]
        if len(unexpected) > _MAX_NAMED:
            said.append(f"and {len(unexpected) - _MAX_NAMED} more")
        raise BadArgumentsError(f"unexpected: {', '.join(said)}{self._expected()}")

    def _suggest(self, name: str) -> str:
        return suggest(name, self._names)

    def _missing(self, named: dict[str, Any]) -> str:
        missing = [name for name in self._all if name in self._required and name not in named]
        return f"missing: {', '.join(missing)}{self._expected()}"

    def _expected(self) -> str:
        shown = [f"{each['name']}{'' if each['required'] else '?'}" for each in self.parameters]
        return f" (the tool takes {', '.join(shown) or 'no arguments'})"


def suggest(name: str, known: typing.Iterable[str]) -> str:
    """The name as it was given, shortened, with a known one that looks like it."""
    near = get_close_matches(name[:100], list(known), 1)
    shown = name if len(name) <= 100 else name[:100] + "…"
    return f"{shown} (did you mean {near[0]}?)" if near else shown


def _context(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> str | None:
    """Which parameter takes the context."""
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # a hint may name what is imported for type checkers only
        hints = {}
    for each in parameters:
        hint = hints.get(each.name, each.annotation)
        if hint is Context or Context in typing.get_args(hint) or hint in _CONTEXT_NAMES:
            return each.name
    bare = (each.name for each in parameters if each.name == "ctx" and each.annotation is each.empty)
    return next(bare, None)


def _describe(parameter: inspect.Parameter) -> dict[str, object]:
    described: dict[str, object] = {"name": parameter.name}
    hint = _hint(parameter.annotation)
    if hint:
        described["type"] = hint
    variadic = _VARIADIC.get(parameter.kind)
    if variadic:
        described["variadic"] = variadic
    described["required"] = parameter.default is parameter.empty and not variadic
    if parameter.default is not parameter.empty:
        try:
            shown = json.dumps(parameter.default, allow_nan=False)
        except Exception:  # a default may be anything, with any behaviour
            return described
        if len(shown) <= _MAX_DEFAULT:
            described["default"] = json.loads(shown)
    return described


def _hint(annotation: Any) -> str | None:
    if annotation is inspect.Signature.empty:
        return None
    if isinstance(annotation, str):
        return annotation
    try:
        return str(inspect.formatannotation(annotation)).replace("typing.", "")
    except Exception:  # an annotation may be anything, with any behaviour
        return None
