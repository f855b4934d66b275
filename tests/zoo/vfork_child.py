"""A parent held inside vfork for ever, and its child between vfork and exec.

``posix_spawn`` performs its file actions in the vforked child. The first one
opens a FIFO that the worker reads, which proves the child is there; the second
opens a FIFO that nobody ever writes, so the child never reaches ``exec`` and
its parent sleeps in the kernel, deaf to everything but SIGKILL.
"""

import os
import sys
import tempfile

import rollcall

nest = tempfile.mkdtemp()
here = os.path.join(nest, "here")
never = os.path.join(nest, "never")
os.mkfifo(here)
os.mkfifo(never)


def hang_in_vfork() -> None:
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", "pass"],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 20, here, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 21, never, os.O_RDONLY, 0),
        ],
    )


rollcall.fork_into(hang_in_vfork)
present = os.open(here, os.O_RDONLY)
rollcall.ready()
rollcall.stand()
