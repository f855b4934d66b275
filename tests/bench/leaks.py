"""Who leaves what alive: one nasty worker under four supervisors.

The worker is ``zoo/deaf.py``: a worker, its child and its daemonised grandchild,
all of them deaf to TERM. Each supervisor runs it with the best settings it has.
Then one of three things happens: the supervisor is killed with SIGKILL, the
supervisor is asked to stop with SIGTERM, or the worker is killed with SIGKILL.

Nothing sleeps here. The three processes are held by pidfds from the moment the
worker says ``ready``, and a pidfd tells when its process has ended. Whoever has
not ended when the limit passes is counted as alive, and then ended by pidfd.
This process is a subreaper, so every survivor comes back to it.
"""

import argparse
import ctypes
import os
import platform
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
WORKER = TESTS / "zoo" / "deaf.py"
MEMBERS = 3
READY_LIMIT_S = 20.0
# Somebody who does not end after all this time ends the whole bench by SIGALRM.
GATHER_LIMIT_S = 60
PR_SET_CHILD_SUBREAPER = 36
PACKAGES = {"supervisord": "supervisor", "tini": "tini", "dumb-init": "dumb-init"}

Argv = list[str]


@dataclass(frozen=True)
class Supervisor:
    """One contender: how it is started around a command."""

    name: str
    program: str
    around: Callable[[Path, Argv], Argv]
    note: str


@dataclass(frozen=True)
class Outcome:
    """What one deed left behind."""

    alive: int
    gone_ms: float


@dataclass(frozen=True)
class Process:
    """A member of the worker's tree, held by its pidfd."""

    pid: int
    pidfd: int


@dataclass(frozen=True)
class Deed:
    """What happens to a standing tree."""

    title: str
    to_worker: bool
    signal: signal.Signals


DEEDS = (
    Deed("`kill -9` of the supervisor", to_worker=False, signal=signal.SIGKILL),
    Deed("graceful stop (TERM)", to_worker=False, signal=signal.SIGTERM),
    Deed("`kill -9` of the worker", to_worker=True, signal=signal.SIGKILL),
)


def under_supervisord(nest: Path, command: Argv) -> Argv:
    line = shlex.join(command).replace("%", "%%")
    settings = nest / "supervisord.conf"
    settings.write_text(
        f"[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\n"
        f"pidfile={nest}/supervisord.pid\n"
        f"[program:worker]\ncommand={line}\nautorestart=false\nstartsecs=0\n"
        f"stopwaitsecs=1\nstopasgroup=true\nkillasgroup=true\n"
    )
    return ["supervisord", "-c", str(settings)]


def under_tini(_: Path, command: Argv) -> Argv:
    return ["tini", "-s", "-g", "--", *command]


def under_dumb_init(_: Path, command: Argv) -> Argv:
    return ["dumb-init", "--", *command]


def contenders(sidewinder: str) -> list[Supervisor]:
    def keep(*options: str) -> Callable[[Path, Argv], Argv]:
        return lambda _, command: [sidewinder, "keep", "--grace", "1s", *options, "--", *command]

    weakest = keep("--namespace", "off", "--cgroup", "off")
    return [
        Supervisor(
            "supervisord",
            "supervisord",
            under_supervisord,
            "stopasgroup, killasgroup, stopwaitsecs=1",
        ),
        Supervisor("tini", "tini", under_tini, "-s -g: subreaper, signals to the group"),
        Supervisor("dumb-init", "dumb-init", under_dumb_init, "signals to the session"),
        Supervisor("`sidewinder keep`", sidewinder, keep(), "--grace 1s, as it comes"),
        Supervisor("`sidewinder keep`, tier C", sidewinder, weakest, "--grace 1s, lineage only"),
    ]


def main() -> int:
    arguments = parse_arguments()
    become_subreaper()
    install_missing()
    lines = ["| supervisor | " + " | ".join(deed.title for deed in DEEDS) + " | settings |"]
    lines.append("|---" * (len(DEEDS) + 2) + "|")
    versions = []
    for contender in contenders(arguments.sidewinder):
        if shutil.which(contender.program) is None:
            print(f"{contender.name}: not installed, no row", file=sys.stderr)
            continue
        cells = [measure(contender, deed, arguments) for deed in DEEDS]
        lines.append(f"| {contender.name} | " + " | ".join(cells) + f" | {contender.note} |")
        print(lines[-1], file=sys.stderr, flush=True)
        version = version_of(contender.program)
        if version not in versions:
            versions.append(version)
    table = "\n".join([caption(arguments, versions), "", *lines, ""])
    print(table)
    if arguments.write is not None:
        arguments.write.write_text("# Who leaves what alive\n\n" + table)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Who leaves what alive.")
    parser.add_argument("--write", type=Path, help="write the table to this file as well")
    parser.add_argument("--repeat", type=int, default=5, help="times each deed is done (5)")
    parser.add_argument("--limit", type=float, default=3.0, help="seconds until alive counts (3)")
    parser.add_argument("--sidewinder", default=find_sidewinder(), help="the binary to measure")
    return parser.parse_args()


def find_sidewinder() -> str:
    built = [TESTS.parent / "target" / profile / "sidewinder" for profile in ("release", "debug")]
    found = [str(path) for path in built if path.exists()]
    return os.environ.get("SIDEWINDER_BIN") or (found[0] if found else "sidewinder")


def caption(arguments: argparse.Namespace, versions: list[str]) -> str:
    python = platform.python_version()
    release = ".".join(platform.release().split(".")[:2])
    return (
        f"How many of the {MEMBERS} processes of `tests/zoo/deaf.py` (worker, child, daemonised "
        f"grandchild, all deaf to TERM) live {arguments.limit:g} s after the deed, or how long "
        f"the last of them took to be gone (worst of {arguments.repeat}). Measured "
        f"{time.strftime('%Y-%m-%d')} on Linux {release} with {', '.join(versions)}, "
        f"Python {python}, by `make bench-leaks`."
    )


def install_missing() -> None:
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if not missing:
        return
    if os.geteuid() != 0:
        print(
            f"not root: cannot install {' '.join(missing)}; their rows are left out",
            file=sys.stderr,
        )
        return
    print(f"installing Debian packages: {' '.join(missing)}", file=sys.stderr, flush=True)
    # In this runlevel no package starts a service of its own.
    environment = {**os.environ, "RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "-q", "install", "-y", "--no-install-recommends", *missing]
    if subprocess.run(install, env=environment, stdout=sys.stderr, check=False).returncode != 0:
        subprocess.run(["apt-get", "-q", "update"], stdout=sys.stderr, check=True)
        subprocess.run(install, env=environment, stdout=sys.stderr, check=True)


def version_of(program: str) -> str:
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    words = (answer.stdout or answer.stderr).split()
    number = next((word for word in words if "." in word), "of unknown version")
    return f"{Path(program).name} {number.lstrip('v')}"


def measure(contender: Supervisor, deed: Deed, arguments: argparse.Namespace) -> str:
    outcomes = [play(contender, deed, arguments.limit) for _ in range(arguments.repeat)]
    alive = sorted({outcome.alive for outcome in outcomes})
    if alive == [0]:
        return f"**0 of {MEMBERS}**, gone in {max(outcome.gone_ms for outcome in outcomes):.0f} ms"
    counts = "–".join(str(count) for count in sorted({alive[0], alive[-1]}))
    return f"{counts} of {MEMBERS} alive"


def play(contender: Supervisor, deed: Deed, limit: float) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="leaks-") as name:
        nest = Path(name)
        token = nest.name
        word = nest / "word"
        os.mkfifo(word)
        listener = os.open(word, os.O_RDONLY | os.O_NONBLOCK)
        # Whatever the supervisor does with its child's stdout: `ready` comes here.
        shell = ["/bin/sh", "-c", 'word=$1; shift; exec "$@" >"$word"', "sh", str(word)]
        command = [*shell, sys.executable, str(WORKER), token]
        with (nest / "said").open("wb") as said:
            supervisor = subprocess.Popen(
                contender.around(nest, command),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        held = Process(supervisor.pid, os.pidfd_open(supervisor.pid))
        members: list[Process] = []
        try:
            wait_ready(listener, held, nest / "said")
            members = hold_members(token)
            outcome = strike(held, members, deed, limit)
        finally:
            end_all([*members, held])
            gather_in()
            for process in [*members, held]:
                os.close(process.pidfd)
            os.close(listener)
            supervisor.returncode = 0
        return outcome


def wait_ready(listener: int, supervisor: Process, said: Path) -> None:
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    poll.register(supervisor.pidfd, select.POLLIN)
    heard = b""
    deadline = time.monotonic() + READY_LIMIT_S
    while heard != b"ready\n":
        events = dict(poll.poll(max(0.0, deadline - time.monotonic()) * 1e3))
        if events.get(listener, 0) & select.POLLIN:
            heard += os.read(listener, 64)
        elif supervisor.pidfd in events or not events:
            raise RuntimeError(f"the worker never stood: {said.read_text()}")


def hold_members(token: str) -> list[Process]:
    """The worker's tree by its command line, which holds a token of this play; the eldest first."""
    argv = f"{sys.executable}\0{WORKER}\0{token}\0".encode()
    born = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and read(entry / "cmdline") == argv:
            start = int(read(entry / "stat").rsplit(b")", 1)[1].split()[19])
            born.append((start, int(entry.name)))
    if len(born) != MEMBERS:
        raise RuntimeError(f"{len(born)} processes stand, not {MEMBERS}")
    return [Process(pid, os.pidfd_open(pid)) for _, pid in sorted(born)]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def strike(supervisor: Process, members: list[Process], deed: Deed, limit: float) -> Outcome:
    victim = members[0] if deed.to_worker else supervisor
    signal.pidfd_send_signal(victim.pidfd, deed.signal)
    struck = time.monotonic()
    poll = select.poll()
    for member in members:
        poll.register(member.pidfd, select.POLLIN)
    alive = len(members)
    while alive > 0:
        left = struck + limit - time.monotonic()
        ended = poll.poll(left * 1e3) if left > 0 else []
        if not ended:
            break
        for pidfd, _ in ended:
            poll.unregister(pidfd)
            alive -= 1
    return Outcome(alive, (time.monotonic() - struck) * 1e3)


def end_all(processes: list[Process]) -> None:
    for process in processes:
        try:
            signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            continue


def gather_in() -> None:
    """Reaps until no child is left; what a supervisor's death releases comes here."""
    signal.alarm(GATHER_LIMIT_S)
    while True:
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED)
        except ChildProcessError:
            signal.alarm(0)
            return


def become_subreaper() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    sys.exit(main())
