"""``subprocess.Popen(start_new_session=True)``: a program of its own, in a session of its own."""

import subprocess
import sys

import rollcall

DAEMON = "import os, signal, sys\nos.write(int(sys.argv[1]), b'.')\nwhile True: signal.pause()"

roll = rollcall.RollCall()
for _ in range(2):
    subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(roll.writer)],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=(roll.writer,),
    )
roll.complete(2)
rollcall.ready()
rollcall.stand()
