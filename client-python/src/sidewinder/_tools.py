"""What a worker offers: functions that were marked, functions that were named, and the hooks of its life.

The decorators return the function unchanged, so a tool stays an ordinary function to everybody else, also to
its author's tests. Whatever was marked while the tools were imported is offered.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from typing import Any, Callable, TypeVar, overload

from ._signature import Signature

Function = TypeVar("Function", bound=Callable[..., Any])

MAX_DOC = 16 * 1024

_marked: list[tuple[str, Callable[..., Any]]] = []
SETUP: list[Callable[[], Any]] = []
TEARDOWN: list[Callable[[], Any]] = []
BEFORE_FORK: list[Callable[[], Any]] = []
AFTER_FORK: list[Callable[[], Any]] = []


@overload
def tool(function: Function) -> Function: ...


@overload
def tool(*, name: str | None = None) -> Callable[[Function], Function]: ...


def tool(function: Any = None, *, name: str | None = None) -> Any:
    """Offers a function as a tool: `@tool`, or `@tool(name="other")`."""

    def mark(function: Function) -> Function:
        _marked.append((name or _name(function), function))
        return function

    if function is None:
        return mark
    if not callable(function):
        raise TypeError("@sidewinder.tool takes no arguments but name=: @sidewinder.tool(name='…')")
    return mark(function)


def setup(function: Function) -> Function:
    """Runs this function once, before the first call of a worker's life. It may be async."""
    SETUP.append(function)
    return function


def teardown(function: Function) -> Function:
    """Runs this function once, after the last call of a worker's life. It may be async. The last one comes
    first."""
    TEARDOWN.append(function)
    return function


def before_fork(function: Function) -> Function:
    """Runs this function in a fork server, each time before workers are forked."""
    BEFORE_FORK.append(function)
    return function


def after_fork(function: Function) -> Function:
    """Runs this function once in each worker that was forked from a fork server, before its setup. It may be
    async."""
    AFTER_FORK.append(function)
    return function


for _hook in (tool, setup, teardown, before_fork, after_fork):
    _hook.__module__ = "sidewinder"


class NothingOfferedError(Exception):
    """The tools could be imported, but cannot be served."""


NothingOfferedError.__module__ = "sidewinder"


class Tool:
    """A function and everything that has to be known before it is called."""

    __slots__ = ("asynchronous", "function", "name", "signature", "streams")

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.function = function
        self.signature = Signature(function)
        called = _called(function)
        self.streams = inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called)
        self.asynchronous = inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)

    def describe(self) -> dict[str, object]:
        described: dict[str, object] = {
            "name": self.name,
            "kind": "generator" if self.streams else "function",
        }
        doc = inspect.getdoc(self.function)
        if doc:
            described["doc"] = doc[:MAX_DOC]
        described["parameters"] = self.signature.parameters
        if self.signature.returns:
            described["returns"] = self.signature.returns
        return described


def offered(modules: Iterable[str], exposed: Iterable[str]) -> dict[str, Tool]:
    """Imports the tools and says what they are. Whatever goes wrong in there is raised as it is."""
    modules = list(modules)
    for module in modules:
        importlib.import_module(module)
    named = [_expose(path) for path in exposed]
    tools: dict[str, Tool] = {}
    for name, function in _marked + named:
        known = tools.get(name)
        if known is None:
            tools[name] = Tool(name, function)
        elif known.function is not function:
            raise NothingOfferedError(
                f"two tools are called {name}: {_origin(known.function)} and {_origin(function)}"
            )
    if not tools:
        where = ", ".join(modules) or "nothing: SIDEWINDER_TOOLS and SIDEWINDER_EXPOSE are empty"
        raise NothingOfferedError(f"no function is decorated with @sidewinder.tool in {where}")
    return tools


def _expose(path: str) -> tuple[str, Callable[..., Any]]:
    module, colon, name = path.partition(":")
    if not (module and colon and name):
        raise NothingOfferedError(f"{path!r} is not of the form module:function")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise NothingOfferedError(f"{path} is not a function, but {type(found).__name__}")
    return name, found


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        raise TypeError(f"{function!r} has no name: use @sidewinder.tool(name='…')")
    return name


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """Where the code is: behind partials, or behind an object that can be called."""
    while hasattr(function, "func") and not inspect.isroutine(function):
        function = function.func
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    return getattr(function, "__call__", function)  # noqa: B004 - the method, not the question


def _origin(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', function)}"
