"""The race: the same work on Sidewinder and its peers, in turn, one at a time.

    python3 tests/race/race.py [--quick] [--only NAME,…] [--write FILE] [--json FILE]

Run by a Python that has the peers (`make bench-peers` makes one). Nobody passes or fails by a time. Each
figure of a peer stands beside one of Sidewinder from the same moments of the same run, and the ratio of the
two says more than either. A peer that is not installed, does not stand or does not answer has a cell that
says so.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from subprocess import SubprocessError

from measures import changes, echo, faults
from measures.faults import Told
from measures.starts import Start, start as measure_start
from peers.executor import Executor
from peers.granian import Granian
from peers.grpcio import Grpcio
from peers.gunicorn import Gunicorn
from peers.litserve import LitServe
from peers.mosec import Mosec
from peers.peer import Order, Peer
from peers.ray import Ray
from peers.sidewinder import Sidewinder, binary
from peers.uwsgi import Uwsgi
from plan import FULL, QUICK, Plan
from processes import become_subreaper
from report import Cell, Table, seconds
from speak.caller import CallFailedError
from standing import NeverStoodError, Standing
from telling import how

OURS = Sidewinder()
PEERS: tuple[Peer, ...] = (Gunicorn(), Granian(), Uwsgi(), Mosec(), LitServe(), Ray(), Executor(), Grpcio())
EVERYBODY = (OURS, *PEERS)
# Seconds after which a worker that does not answer is to be replaced, where a peer can be told.
PATIENCE = 1.0
CRASHES = "app ends at boot: spawns"
# What a reader of the README wants to know first.
EXCERPT = (
    "echo 10 B, 16",
    "client hangs",
    "`kill -9` of a worker: ",
    "worker stops",
    "`kill -9` of the m",
    "reload",
    CRASHES,
)
# What a peer may do instead of what it is asked for.
WRONG = (NeverStoodError, CallFailedError, TimeoutError, OSError, StopIteration, ValueError, SubprocessError)


class Race:
    """One run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.table = Table()
        # What Sidewinder had last, for whoever it takes turns with, and all that it ever had in this run.
        self.own: dict[str, float] = {}
        self.turns: dict[str, list[float]] = {}
        self.client = 0.0
        # What is to be looked at when everybody has raced.
        self.kept = ExitStack()
        self.broken: Callable[[], None] = lambda: None

    def run(self, peer: Peer) -> None:
        """Everything about one of them."""
        try:
            self.table.peers[peer.name] = f"{peer.name} {peer.version()}"
        except Exception:
            self.table.peers[peer.name] = peer.name
            self.table.absent.add(peer.name)
            self.table.notes.append(f"{peer.name}: could not be installed here")
            return
        self.table.notes.append(f"{peer.name}: {peer.note}")
        parts: tuple[Callable[[Peer], None], ...] = (self.echoes, self.starts, self.faults, self.changes)
        for part in parts:
            begun = time.monotonic()
            part(peer)
            print(
                f"{peer.name}: {part.__name__} in {time.monotonic() - begun:.1f} s",
                file=sys.stderr,
                flush=True,
            )

    def attempt(self, peer: Peer, rows: list[str], measure: Callable[[], None]) -> None:
        """What goes wrong is a cell in these rows, where there is none yet."""
        try:
            measure()
        except WRONG as error:
            text = f"failed: {error or type(error).__name__}".replace("|", "/").replace("\n", " ")
            print(f"{peer.name}: {rows[0]}: {text}", file=sys.stderr, flush=True)
            for row in rows:
                if peer.name not in self.table.rows.get(row, {}):
                    self.table.put(row, peer.name, Cell(text))

    def echoes(self, peer: Peer) -> None:
        """With Sidewinder in turn, load by load."""

        def measure() -> None:
            with ExitStack() as stack:
                theirs = ours = stack.enter_context(Standing(peer, Order(echo.WORKERS)))
                theirs.until_serving()
                if peer is not OURS:
                    ours = stack.enter_context(Standing(OURS, Order(echo.WORKERS)))
                ours.until_serving()
                for load in self.plan.echoes:
                    self.echo(load, ours, theirs)

        self.attempt(peer, [load.title() for load in self.plan.echoes], measure)

    def echo(self, load: echo.Echo, ours: Standing, theirs: Standing) -> None:
        """One load, on both."""
        figures: list[float] = []
        ratios: list[float] = []
        echo.load(theirs, load, self.plan.span / 4)
        for turn in range(self.plan.rounds):
            order = (ours, theirs) if turn % 2 == 0 else (theirs, ours)
            seen = {standing: echo.load(standing, load, self.plan.span) for standing in dict.fromkeys(order)}
            self.client = max(self.client, *(one.client for one in seen.values()))
            if seen[theirs].error:
                self.table.put(load.title(), theirs.peer.name, Cell(f"refused: {seen[theirs].error[:60]}"))
                return
            figures.append(seen[theirs].figure)
            if not seen[ours].error:
                self.turns.setdefault(load.title(), []).append(seen[ours].figure)
                share = seen[theirs].figure / seen[ours].figure
                ratios.append(share if load.callers == 1 else 1 / share)
        middle = statistics.median(figures)
        text = seconds(middle) if load.callers == 1 else f"{middle:,.0f}"
        against = statistics.median(ratios) if ratios and theirs.peer is not OURS else None
        self.table.put(load.title(), theirs.peer.name, Cell(text, against))

    def starts(self, peer: Peer) -> None:
        """Small ones with Sidewinder in turn; a hundred workers once."""
        for start in (start for start in self.plan.starts if start.fits(peer)):
            if start.imports and find_spec(start.imports) is None:
                self.table.put(start.title(), peer.name, Cell(f"no {start.imports} here"))
                continue
            self.attempt(peer, [start.title()], partial(self.start, peer, start))

    def start(self, peer: Peer, start: Start) -> None:
        """One crowd."""
        weight = f"{start.crowd()}: memory"
        if peer is not OURS and start.workers <= 10:
            self.own[start.title()] = measure_start(OURS, start)[0]
            self.turns.setdefault(start.title(), []).append(self.own[start.title()])
        took, size = measure_start(peer, start)
        if peer is OURS:
            self.own[start.title()], self.own[weight] = took, size
            self.turns[start.title()] = [took]
        self.put(peer, start.title(), seconds(took), took)
        if start.workers >= 10 and size:
            self.put(peer, weight, f"{size / 1e6:,.0f} MB", size)

    def put(self, peer: Peer, row: str, text: str, figure: float | None) -> None:
        """A figure of which less is better, beside Sidewinder's."""
        own = self.own.get(row)
        if peer is OURS and figure is not None:
            self.own[row] = figure
        against = figure / own if peer is not OURS and figure and own else None
        self.table.put(row, peer.name, Cell(text, against))

    def tell(self, peer: Peer, row: str, told: Told) -> None:
        """The same, of a fault."""
        self.put(peer, row, told.text, told.figure)

    def faults(self, peer: Peer) -> None:
        """One after the other; a peer that was hurt is ended, and the next fault meets a fresh one."""
        plan = self.plan
        left = "client hangs up in mid-call: worker free after"
        learns, back = (
            "`kill -9` of a worker in mid-call: its caller gets",
            "`kill -9` of a worker: another call is answered after",
        )
        stuck, gone = (
            "worker stops (SIGSTOP): a call is answered after",
            "`kill -9` of the manager: alive after 2 s",
        )

        def on(order: Order, deed: Callable[[Standing], None]) -> Callable[[], None]:
            def play() -> None:
                with Standing(peer, order) as standing:
                    standing.until_serving()
                    deed(standing)

            return play

        def hang_up_and_kill(standing: Standing) -> None:
            self.tell(peer, left, faults.hang_up(standing, plan.nap))
            if peer.has_workers:
                told = faults.kill_worker(standing, plan.nap, plan.limit)
                self.tell(peer, learns, told[0])
                self.tell(peer, back, told[1])

        patience = PATIENCE if peer.patient else 0.0
        rows = [left, learns, back] if peer.has_workers else [left]
        self.attempt(peer, rows, on(Order(1, once=peer.loads_once), hang_up_and_kill))
        wedged = on(
            Order(1, patience=patience),
            lambda standing: self.tell(peer, stuck, faults.wedge(standing, plan.limit)),
        )
        self.attempt(peer, [stuck], wedged)
        if peer.has_workers:
            killed = on(
                Order(2), lambda standing: self.tell(peer, gone, faults.kill_manager(standing, plan.nap))
            )
            self.attempt(peer, [gone], killed)

    def changes(self, peer: Peer) -> None:
        """A new version, and a broken one."""
        plan = self.plan
        row = f"reload of an app that takes {plan.slow:.0f} s to start"
        if peer.reloads:

            def reload() -> None:
                with Standing(peer, Order(2)) as standing:
                    standing.until_serving()
                    self.tell(peer, row, changes.reload(standing, plan.slow, 4 * plan.slow + 4.0))

            self.attempt(peer, [row], reload)
        else:
            self.table.put(row, peer.name, Cell("has none"))

        def crash() -> None:
            with ExitStack() as stack:
                standing = stack.enter_context(Standing(peer, Order(1, dies=True)))
                since = changes.broken_since(standing)
                told = changes.crash(standing, since, plan.crash)
                self.tell(peer, CRASHES, told)
                if peer is OURS and plan.crash_own:
                    # It has given up and costs nothing, so nobody has to wait for the rest of the time.
                    self.kept.push(stack.pop_all())
                    self.broken = lambda: self.still_broken(standing, since, told)

        self.attempt(peer, [CRASHES], crash)

    def settle(self) -> None:
        """Sidewinder's own figures are the middle of all its turns."""
        for row, figures in self.turns.items():
            middle = statistics.median(figures)
            text = f"{middle:,.0f}" if row.endswith("calls/s") else seconds(middle)
            self.table.put(row, OURS.name, Cell(text))

    def still_broken(self, standing: Standing, since: float, told: Told) -> None:
        """Sidewinder's broken app, a minute later."""
        later = changes.crash(standing, since, self.plan.crash_own)
        self.table.put(CRASHES, OURS.name, Cell(f"{told.text}, {later.text}"))


def main() -> int:
    """Everybody in turn."""
    arguments = parse_arguments()
    become_subreaper()
    race = Race(QUICK if arguments.quick else FULL)
    everybody = [peer.name.lower() for peer in EVERYBODY if not (arguments.quick and peer.sluggish)]
    wanted = arguments.only.lower().split(",") if arguments.only else everybody
    begun = time.monotonic()
    if not Path(binary()).exists():
        sys.exit(f"there is no {binary()}: run `make build` first, or set SIDEWINDER_BIN")
    with race.kept:
        for peer in EVERYBODY:
            if peer.name.lower() in wanted:
                race.run(peer)
        race.broken()
        race.settle()
    print(f"all of it in {time.monotonic() - begun:.0f} s", file=sys.stderr)
    page = race.table.page(how(race.plan, race.client))
    print(page)
    if arguments.write:
        arguments.write.write_text(page)
    if arguments.excerpt:
        arguments.excerpt.write_text(race.table.excerpted(arguments.excerpt.read_text(), EXCERPT))
    if arguments.json:
        shown = {
            row: {peer: cell.__dict__ for peer, cell in cells.items()}
            for row, cells in race.table.rows.items()
        }
        arguments.json.write_text(json.dumps(shown, indent=1))
    return 0


def parse_arguments() -> argparse.Namespace:
    """What was asked."""
    parser = argparse.ArgumentParser(description="The same work on Sidewinder and its peers.")
    parser.add_argument(
        "--quick", action="store_true", help="all of it once, without Ray: figures that mean little"
    )
    parser.add_argument("--only", help="these, by name: " + ",".join(peer.name.lower() for peer in EVERYBODY))
    parser.add_argument("--write", type=Path, help="write the page to this file as well")
    parser.add_argument("--excerpt", type=Path, help="renew the excerpt between the two marks of this file")
    parser.add_argument("--json", type=Path, help="write the cells to this file as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
