"""A child that holds one GiB of memory, every page of it touched."""

import mmap

import rollcall

MEBIBYTE = 1 << 20
MEBIBYTES = 1024

roll = rollcall.RollCall()


def fill() -> None:
    block = mmap.mmap(-1, MEBIBYTES * MEBIBYTE)
    for _ in range(MEBIBYTES):
        block.write(b"x" * MEBIBYTE)
    roll.present()
    rollcall.stand()


rollcall.fork_into(fill)
roll.complete(1)
rollcall.ready()
rollcall.stand()
