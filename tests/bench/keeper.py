"""What a keeper weighs and costs.

Three figures, each beside a baseline of the same run: a command under
``sidewinder keep`` against the same command alone; a worker started by a
standing keeper against ``posix_spawn``; and the resident and proportional
memory of owner, keeper and warden.

And one that nobody can improve: what the kernel needs to give back the memory of a
process that is killed, without any keeper. A promise about a death cannot be shorter.

    python3 tests/bench/keeper.py [--runs N]
"""

from __future__ import annotations

import argparse
import array
import json
import mmap
import os
import select
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
HEADER = struct.Struct("<BBHI")
FIELD = struct.Struct("<HI")
HELLO, SPAWN, ACKNOWLEDGE = 1, 3, 8
WELCOME, SPAWNED, GONE = 65, 66, 69
FRAME_MAX = 128 * 1024
GIBIBYTE = 1 << 30
DEATHS = 5


def binary() -> Path:
    """The binary under test."""
    given = os.environ.get("SIDEWINDER_BIN")
    found = Path(given) if given else TESTS.parent / "target" / "release" / "sidewinder"
    if not found.exists():
        sys.exit(f"there is no {found}: run `cargo build --release` first, or set SIDEWINDER_BIN")
    return found


def number(value: int) -> bytes:
    """A number as fields carry it."""
    return struct.pack("<Q", value)


def frame(kind: int, worker: int, fields: list[tuple[int, bytes]]) -> bytes:
    """One frame of the keeper's protocol (proto/KEEPER.md)."""
    body = b"".join(FIELD.pack(tag, len(value)) + value for tag, value in fields)
    return HEADER.pack(1, kind, 0, worker) + body


class Owner:
    """The owner's end of a keeper."""

    def __init__(self, sidewinder: Path, namespace: str) -> None:
        self.line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with tempfile.TemporaryFile() as lock:
            record = os.path.join(tempfile.gettempdir(), f"sidewinder-bench-{os.getpid()}")
            command = [str(sidewinder), "__keeper", namespace, record]
            subprocess.run(command, stdin=theirs.fileno(), stdout=lock.fileno(), check=True)
        theirs.close()
        fields = [(1, number(1)), (2, number(1)), *((tag, number(0)) for tag in (3, 4, 5))]
        own = os.pidfd_open(os.getpid())
        beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [own]))]
        self.line.sendmsg([frame(HELLO, 0, fields)], beside)
        os.close(own)
        self.expect(WELCOME)

    def expect(self, wanted: int) -> None:
        """Reads until a report of this kind, and closes what came beside."""
        while True:
            data, beside, _, _ = self.line.recvmsg(FRAME_MAX, socket.CMSG_SPACE(4))
            for _, _, received in beside:
                for fd in array.array("i", received):
                    os.close(fd)
            if not data:
                sys.exit("the keeper has left")
            kind = HEADER.unpack_from(data)[1]
            if kind == wanted:
                return

    def life(self, worker: int, program: str) -> tuple[float, float]:
        """Starts a worker that ends at once: milliseconds until it ran, and until it was proved gone."""
        begun = time.perf_counter()
        self.line.send(frame(SPAWN, worker, [(1, program.encode())]))
        self.expect(SPAWNED)
        ran = time.perf_counter()
        self.expect(GONE)
        gone = time.perf_counter()
        self.line.send(frame(ACKNOWLEDGE, worker, []))
        return (ran - begun) * 1e3, (gone - begun) * 1e3


def spawn_alone(program: str) -> float:
    """Milliseconds from posix_spawn to the reaped end."""
    begun = time.perf_counter()
    os.waitpid(os.posix_spawn(program, [program], {}), 0)
    return (time.perf_counter() - begun) * 1e3


def run(command: list[str]) -> float:
    """Milliseconds of one command, from outside."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - begun) * 1e3


def memory(pid: int) -> tuple[int, int]:
    """Resident and proportional KiB of a process; the second is 0 when it may not be read."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        proportional = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
    except PermissionError:
        proportional = "Pss: 0 kB"
    return int(resident.split()[1]), int(proportional.split()[1])


def parent(pid: int) -> int:
    """The parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def weigh(sidewinder: Path, options: list[str]) -> dict[str, tuple[int, int]]:
    """The memory of everybody around a kept `cat`."""
    read, write = os.pipe()
    command = [str(sidewinder), "keep", "--report", f"/dev/fd/{write}", *options, "--", "cat"]
    kept = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[write])
    os.close(write)
    select.select([read], [], [])
    started = json.loads(os.read(read, 65536).splitlines()[0])
    people = {"owner": kept.pid, "keeper": started["keeper"], "warden": parent(started["command"])}
    weights = {name: memory(pid) for name, pid in people.items()}
    kept.communicate()
    os.close(read)
    return weights


def give_back() -> tuple[float, float]:
    """Kills a child that has touched a gibibyte: ms until it is gone, and ms of a processor in the kernel."""
    said, word = os.pipe()
    child = os.fork()
    if child == 0:
        memory = mmap.mmap(-1, GIBIBYTE)
        for page in range(0, GIBIBYTE, mmap.PAGESIZE):
            memory[page] = 1
        os.write(word, f"{os.times().system}".encode())
        signal.pause()
    used = float(os.read(said, 64))
    os.close(said)
    os.close(word)
    begun = time.perf_counter()
    os.kill(child, signal.SIGKILL)
    _, _, usage = os.wait4(child, 0)
    return (time.perf_counter() - begun) * 1e3, (usage.ru_stime - used) * 1e3


def row(name: str, figures: list[float], baseline: list[float]) -> None:
    """One line: the median and its ratio to the baseline's."""
    median, base = statistics.median(figures), statistics.median(baseline)
    ratio, worst = median / base, max(figures)
    print(f"  {name:<42} {median:7.2f} ms   {ratio:5.2f} × baseline {base:.2f} ms   (max {worst:.2f})")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description="What a keeper weighs and costs")
    parser.add_argument("--runs", type=int, default=200)
    runs: int = parser.parse_args().runs
    sidewinder, program = binary(), "/bin/true"
    ways: dict[str, list[str]] = {"tier A": [], "tier C": ["--namespace", "off", "--cgroup", "off"]}

    print(f"`sidewinder keep -- true` against `true` alone ({runs} runs in turn)")
    for name, options in ways.items():
        pairs = [
            (run([str(sidewinder), "keep", *options, "--", program]), run([program])) for _ in range(runs)
        ]
        row(name, [kept for kept, _ in pairs], [alone for _, alone in pairs])

    print(f"one worker of a standing keeper against posix_spawn ({runs} lives in turn)")
    for name, namespace in {"tier A": "auto", "tier C": "off"}.items():
        owner = Owner(sidewinder, namespace)
        lives = [(owner.life(worker, program), spawn_alone(program)) for worker in range(1, runs + 1)]
        alone = [baseline for _, baseline in lives]
        row(f"{name}: until its program runs", [ran for (ran, _), _ in lives], alone)
        row(f"{name}: until its tree is proved gone", [gone for (_, gone), _ in lives], alone)

    print("memory, KiB resident (proportional)")
    for name, options in ways.items():
        weights = weigh(sidewinder, options)
        text = ", ".join(f"{who} {rss} ({pss})" for who, (rss, pss) in weights.items())
        print(f"  {name:<42} {text}")

    print(f"kill -9 of a process that holds a gibibyte, without a keeper ({DEATHS} deaths)")
    walls, busy = zip(*(give_back() for _ in range(DEATHS)))
    print(
        f"  {'until it is gone':<42} {statistics.median(walls):7.0f} ms (max {max(walls):.0f}), "
        f"of which the kernel works {statistics.median(busy):.0f} ms"
    )


if __name__ == "__main__":
    main()
