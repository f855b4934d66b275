"""The life of a worker in order: hello, welcome, tools, ready, calls, teardown."""

from __future__ import annotations

import contextlib
import faulthandler
import inspect
import json
import os
import platform
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, NoReturn

from .. import _tools
from .._call import raising
from .._call.strike import NUDGE, meet
from .._frames import NUMBER_MAX, VERSION, Kind, ProtocolError, Tag, UnknownFieldError, field, meta
from .._leaving import UNFIT, broken, leave
from .._link import Link
from . import home, standard
from .control import Control
from .serving import Serving, Solo

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

MAX_SEATS = 1024


def main() -> int:
    home.hold()
    standard.prepare()
    try:
        calls = Link(int(os.environ.get("SIDEWINDER_CALLS_FD", "3")))
        link = Link(int(os.environ.get("SIDEWINDER_CONTROL_FD", "4")))
    except (OSError, ValueError) as error:
        print(
            f"sidewinder.worker is started by a daemon, which gives it two sockets: {error}", file=sys.stderr
        )
        return 2
    return Life(calls, link).live()


class Imported(NamedTuple):
    """The tools, and what is said of them."""

    tools: dict[str, _tools.Tool]
    offer: bytes
    seats: int

    @property
    def looped(self) -> bool:
        """Whether the main thread runs an event loop."""
        return self.seats > 1 or is_async(self.tools.values())


def load(environment: Mapping[str, str]) -> Imported:
    seated = seats(environment)
    tools = _tools.offered(names(environment, "SIDEWINDER_TOOLS"), names(environment, "SIDEWINDER_EXPOSE"))
    offer = json.dumps({"tools": [tool.describe() for tool in tools.values()]}).encode()
    return Imported(tools, offer, seated)


class Life:
    """One life. What it has before it is told apart from any other, a fork server makes once for all its
    forks: what is made later, each of them has to itself."""

    def __init__(self, calls: Link, link: Link, imported: Imported | None = None) -> None:
        self.calls = calls
        self.link = link
        self.imported = imported
        self.control = Control(link)
        self.solo = None if imported is None or imported.looped else self._solo(imported)
        self.at_fork = _forgetting(calls, link)
        _introduction()
        _handle_signals(self.control)

    def live(self) -> int:
        os.register_at_fork(**self.at_fork)
        greet(self.calls, self.link)
        self.control.start()
        loop: AbstractEventLoop | None = None
        try:
            imported = self.imported or load(os.environ)
            if imported.looped:
                loop = _new_loop()
            for hook in _tools.SETUP if self.imported is None else [*_tools.AFTER_FORK, *_tools.SETUP]:
                _run_hook(hook, loop)
            serving = self._serving(imported, loop)
            serving.be_woken()
        except BaseException as error:
            unfit(self.link, error)
        self.control.serving = serving
        self.link.say(Kind.READY, 0, field(Tag.SEATS, imported.seats), imported.offer)
        serving.serve()
        _tear_down(loop)
        return 0

    def _serving(self, imported: Imported, loop: AbstractEventLoop | None) -> Serving:
        if loop is None:
            return self.solo or self._solo(imported)
        from .looped import Looped

        return Looped(loop, self.calls, self.link, imported.tools, imported.seats)

    def _solo(self, imported: Imported) -> Solo:
        return Solo(self.calls, self.link, imported.tools, imported.seats)


def greet(calls: Link, link: Link) -> None:
    link.say(Kind.HELLO, 0, _introduction() + field(Tag.PID, os.getpid()))
    try:
        welcome = link.receive()
        if welcome is None or welcome.kind != Kind.WELCOME:
            raise ProtocolError("a welcome was expected")
        version = welcome.number(Tag.NEWEST, NUMBER_MAX)
        if version != VERSION:
            raise ProtocolError(f"welcome to version {version}: this is version {VERSION}")
        max_message = welcome.number(Tag.MAX_MESSAGE)
    except (ProtocolError, UnknownFieldError) as error:
        broken(error)
    calls.bound(max_message)
    link.bound(max_message)


@cache
def _introduction() -> bytes:
    """What is the same in every fork of this process: it is found out once."""
    from .. import __version__

    language = f"{platform.python_implementation().lower()} {platform.python_version()}".replace(
        "cpython", "python"
    )
    fields: list[tuple[int, int | str]] = [
        (Tag.OLDEST, VERSION),
        (Tag.NEWEST, VERSION),
        (Tag.LANGUAGE, language),
        (Tag.RUNTIME, __version__),
    ]
    installed = _installed(sys.path)
    if installed not in (None, __version__):
        fields.append((Tag.INSTALLED, str(installed)))
    return meta(fields)


def _installed(path: list[str]) -> str | None:
    """The version of `sidewinder` that is installed on this path, by the name of its metadata: to import what
    reads them takes longer than everything else before the hello."""
    for place in path:
        with contextlib.suppress(OSError):
            for name in os.listdir(place or "."):
                if name.startswith("sidewinder-") and name.endswith(".dist-info"):
                    return name[len("sidewinder-") : -len(".dist-info")]
    return None


def _new_loop() -> AbstractEventLoop:
    import asyncio  # only for those who need it: it takes longer to import than all the rest

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


def unfit(link: Link, error: BaseException) -> NoReturn:
    link.say(Kind.UNFIT, 0, raising.unfit(error))
    leave(UNFIT)


def names(environment: Mapping[str, str], variable: str) -> list[str]:
    return [name.strip() for name in environment.get(variable, "").split(",") if name.strip()]


def seats(environment: Mapping[str, str]) -> int:
    given = environment.get("SIDEWINDER_SEATS") or "1"
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= MAX_SEATS):
        raise ValueError(f"SIDEWINDER_SEATS is a number from 1 to {MAX_SEATS}, not {given!r}")
    return int(given)


def is_async(tools: Any) -> bool:
    hooks = [*_tools.AFTER_FORK, *_tools.SETUP, *_tools.TEARDOWN]
    return any(tool.asynchronous for tool in tools) or any(map(inspect.iscoroutinefunction, hooks))


def _run_hook(hook: Callable[[], Any], loop: AbstractEventLoop | None) -> None:
    result = hook()
    if loop is not None and inspect.isawaitable(result):
        loop.run_until_complete(_awaited(result))


async def _awaited(result: Any) -> None:
    await result


def _tear_down(loop: AbstractEventLoop | None) -> None:
    """Every hook has its turn, whatever the others raise."""
    for hook in reversed(_tools.TEARDOWN):
        try:
            _run_hook(hook, loop)
        except BaseException:
            traceback.print_exc()
    if loop is not None:
        with contextlib.suppress(Exception):
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()


def _handle_signals(control: Control) -> None:
    """Handlers run in the main thread, between two steps of whatever it does."""
    signal.signal(signal.SIGINT, lambda *_: control.interrupt())
    signal.signal(signal.SIGTERM, lambda *_: control.drain())
    # A tool that has a use for it keeps it, and hears of a cancel when it is back from the kernel.
    if signal.getsignal(NUDGE) is signal.SIG_DFL:
        signal.signal(NUDGE, meet)
    # Of the thread that crashed: what is written last is what a caller gets to read.
    faulthandler.enable(file=2, all_threads=False)
    # The main thread shows itself at once, even when it is lost in C. Every thread is shown when the
    # interpreter can be had: to read the frames of a thread that runs would be a way to crash.
    signal.signal(signal.SIGUSR1, lambda *_: faulthandler.dump_traceback(file=2, all_threads=True))
    faulthandler.register(signal.SIGUSR1, file=2, all_threads=False, chain=True)


def _forgetting(*links: Link) -> dict[str, Callable[[], None]]:
    """A forked child is not the worker: it does not speak as it, and signals mean to it what they mean to
    others. They are held back meanwhile: one that came early would find our handler, and be forgotten."""
    ours = (signal.SIGINT, signal.SIGTERM, NUDGE)
    before = threading.local()

    def hold() -> None:
        before.mask = signal.pthread_sigmask(signal.SIG_BLOCK, ours)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before.mask)

    def forget() -> None:
        for link in links:
            link.sever()
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if signal.getsignal(NUDGE) is meet:
                signal.signal(NUDGE, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
        release()

    return {"before": hold, "after_in_parent": release, "after_in_child": forget}
