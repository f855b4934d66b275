"""The life of a fork server in order: hello, welcome, imports, a look at itself, held, forks.

It serves nothing and has no thread. It ends with its keeper, with its daemon, or when it is told to.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Mapping

from .. import _tools
from .._frames import Kind
from .._leaving import DONE, leave
from .._life import home, standard
from .._life.start import Imported, Life, greet, load, names, unfit
from .._link import Link
from . import kernel
from .birth import CLEAN, HATCH, HEADER, HELD, VERSION, Egg, Nest, deliver, receive, word
from .fitness import why_not
from .refusal import unforkable
from .rehearsal import rehearse

# Workers of one midwife. Whoever asks for more at once is served in turn.
MAX_EGGS = 16
SPARE_FDS = 8
# So many new things are looked through at a time for garbage while everything is imported.
YOUNG_MAX = 50_000


def main() -> int:
    home.hold()
    standard.prepare()
    try:
        # The link for calls is the nest until this is a worker.
        calls = Link(int(os.environ.get("SIDEWINDER_NEST_FD", "3")))
        link = Link(int(os.environ.get("SIDEWINDER_CONTROL_FD", "4")))
        workers = int(os.environ.get("SIDEWINDER_CALLS_FD", "3")), link.socket.fileno()
    except (OSError, ValueError) as error:
        print(
            f"sidewinder._fork is started by a daemon, which gives it two sockets: {error}", file=sys.stderr
        )
        return 2
    nest = calls.socket
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    greet(link, link)
    kernel.adopt_orphans(True)
    be_called_as_before = kernel.naming(_called())
    kernel.naming("sw-fork-server")()
    try:
        imported = _import(os.environ)
    except BaseException as error:
        unfit(link, error)
    # Before the first fork, after which each page that is changed is a fault.
    gc.collect()
    why = why_not((nest.fileno(), link.socket.fileno()))
    if why is not None:
        unforkable(link, why)
    with contextlib.suppress(
        OSError
    ):  # forks of one that cannot rehearse have more of their own, and no less
        rehearse()
    life = Life(calls, link, imported)
    gc.collect(0)
    gc.freeze()
    held = _be_held(nest, link)
    link.say(Kind.PRELOADED)
    _serve(nest, link, held)
    # From here on this is a worker.
    be_called_as_before()
    _settle_in()
    calls.take_over(workers[0])
    link.take_over(workers[1])
    return life.live()


def _import(environment: Mapping[str, str]) -> Imported:
    # Nearly all of it stays: whoever looks for garbage after every few things finds none.
    usual = gc.get_threshold()
    seldom = (YOUNG_MAX, *usual[1:])
    gc.set_threshold(*seldom)
    try:
        for module in names(environment, "SIDEWINDER_PRELOAD"):
            importlib.import_module(module)
        imported = load(environment)
        if imported.looped:
            importlib.import_module("sidewinder._life.looped")
    finally:
        # Unless what was imported has set another one.
        if gc.get_threshold() == seldom:
            gc.set_threshold(*usual)
    return imported


def _be_held(nest: socket.socket, link: Link) -> Nest:
    """From being a worker below a warden to being a child of the keeper."""
    warden = os.getppid()
    try:
        gone = os.pidfd_open(warden)
        # Orphans of its forks fall to the keeper, and the death of its warden is not its own.
        kernel.adopt_orphans(False)
        kernel.die_with_parent(False)
        nest.send(word(CLEAN))
        frame, fds = receive(nest, 1)
        if not frame:
            leave(DONE)
        if HEADER.unpack_from(frame)[:2] != (VERSION, HELD) or len(fds) != 1:
            unforkable(link, "its keeper does not hold it")
        select.select([gone], [], [])
        os.close(gone)
        kernel.die_with_parent(True)
        keeper = os.getppid()
    except OSError as error:
        unforkable(link, f"it cannot be held by its keeper: {error}")
    return Nest.of(keeper, fds[0], nest.fileno(), link.socket.fileno())


def _serve(nest: socket.socket, link: Link, held: Nest) -> None:
    """Returns in a worker."""
    collecting = gc.isenabled()
    gc.disable()
    most = _most_eggs()
    waiting = select.poll()
    waiting.register(nest, select.POLLIN)
    waiting.register(link.socket, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in waiting.poll()}
        if link.socket.fileno() in ready:
            frame = link.receive()
            if frame is not None and frame.kind == Kind.DRAIN:
                leave(DONE)
        if nest.fileno() in ready:
            eggs = _asked(nest, most)
            _before_fork()
            try:
                if eggs and deliver(held, eggs):
                    break
            except OSError:  # no process can be made now: their leashes end, and so it is known
                traceback.print_exc()
            for egg in eggs:
                egg.drop()
    if collecting:
        gc.enable()


def _most_eggs() -> int:
    """Each has three descriptors here, and some are for hooks and for births."""
    free = os.sysconf("SC_OPEN_MAX") - len(os.listdir("/proc/self/fd")) - SPARE_FDS
    return max(1, min(MAX_EGGS, free // 3))


def _asked(nest: socket.socket, most: int) -> list[Egg]:
    eggs: list[Egg] = []
    while len(eggs) < most:
        try:
            frame, fds = receive(nest, 1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            break
        if not frame:
            leave(DONE)  # without its keeper there is nobody to fork for
        version, kind, _, worker = HEADER.unpack_from(frame)
        if (version, kind) == (VERSION, HATCH) and len(fds) == 1:
            try:
                eggs.append(Egg.lay(worker, fds[0]))
                continue
            except OSError:  # it is known by the end of its leash
                traceback.print_exc()
        for fd in fds:
            os.close(fd)
    return eggs


def _before_fork() -> None:
    """Every hook has its turn, whatever the others raise. What was printed is not printed again by a fork."""
    for hook in _tools.BEFORE_FORK:
        try:
            hook()
        except BaseException:
            traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            traceback.print_exc()


def _settle_in() -> None:
    """What a fork shares with its siblings and must not. Python's own generators seed themselves anew."""
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()


def _called() -> str:
    with open("/proc/self/comm") as comm:
        return comm.read().strip()
