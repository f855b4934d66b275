#!/bin/sh
# Runs inside the machine, as root: the first boot's cases as a unit of root and as a unit of an ordinary user,
# both delegated; the second boot's as root only, who speaks for both. Rows go to the serial line that the kernel's command line names.
set -u
word() { tr ' ' '\n' </proc/cmdline | sed -n "s/^machine\.$1=//p"; }

# unit USER PHASE: a real unit with Delegate=yes, whose main process is the test program.
unit() {
    systemd-run --quiet --wait --pipe --collect --unit="cases-$1" \
        --property=Delegate=yes --property=User="$1" --property=StateDirectory="cases-$1" \
        --property=TimeoutStopSec=20 \
        --setenv=PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 /payload/cases.py "$2" "$(word cases)" ||
        echo "FAIL | machine | the test program of $1 | it comes to its end | exit $?"
}

phase=$(word phase)
exec >"/dev/$(word rows)" 2>&1
[ "$phase" != 1 ] || echo "machine: Linux $(uname -r), $(nproc) CPU, $(systemctl --version | head -n 1), up after $(cut -d ' ' -f 1 /proc/uptime) s"
# It beats until the power is cut. Should it die, that is a finding, or its silence would pass for a freeze.
(PYTHONDONTWRITEBYTECODE=1 python3 /payload/pulse.py || echo "FAIL | machine | the pulse | beats until the end | exit $?") &
# Whoever asks it anything must find it there.
until [ -d /run/machine-questions ]; do sleep 0.05; done
unit root "$phase"
[ "$phase $(word cases)" != "1 all" ] || unit tester "$phase"
sync
echo "phase $phase is over"
# Off at once, as when the power is cut: nobody is asked to end first.
systemctl poweroff -ff >/dev/null 2>&1
