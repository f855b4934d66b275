#!/bin/sh
# Shows what Sidewinder is for: a command that does all it can to outlive its keeper, and does not.
# Needs nothing but the built binary and python3; `make run` calls it.
set -eu
cd "$(dirname "$0")/.."

sidewinder=${SIDEWINDER_BIN:-${CARGO_TARGET_DIR:-target}/release/sidewinder}
scratch=$(mktemp -d)
report=$scratch/report
SIDEWINDER_RUNTIME_DIR=$scratch/run
export SIDEWINDER_RUNTIME_DIR
trap 'rm -rf "$scratch"' EXIT

# A parent, a child in a session of its own, and a daemonised grandchild that nobody waits for.
# All three ignore every polite signal and hold no file open that could give them away.
nasty='
import os, signal, time

def fork_and_leave():
    if os.fork() == 0:
        os.setsid()
        return True
    return False

for polite in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(polite, signal.SIG_IGN)
if fork_and_leave() and fork_and_leave():
    os.closerange(0, 1024)
while True:
    time.sleep(3600)
'

step() { printf '\n== %s\n' "$*"; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }

# Every process of the run carries its mark in the environment it was started with.
marked() { grep -lzx "SIDEWINDER_RUN=$run" /proc/[0-9]*/environ 2>/dev/null | cut -d / -f 3; }
count() { marked | wc -l; }

# value NAME: a number or a string out of the line that says the command has started.
value() { sed -n "/\"started\"/s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p" "$report"; }

# until_true SECONDS COMMAND…: asks again and again, and gives up with a word about what it waited for.
until_true() {
    deadline=$(($(now_ms) + $1 * 1000))
    shift
    until "$@"; do
        if [ "$(now_ms)" -gt "$deadline" ]; then
            echo "gave up waiting for: $*" >&2
            return 1
        fi
        sleep 0.005
    done
}
started() { [ -n "$(value run)" ]; }
all_there() { [ "$(count)" = 3 ]; }
all_gone() { [ "$(count)" = 0 ]; }

# hold: a caller that starts the keeper around the nasty command, as a BEAM or a shell would.
hold() {
    : >"$report"
    (
        "$sidewinder" keep --report "$report" -- python3 -c "$nasty" &
        wait
    ) &
    caller=$!
    until_true 10 started
    run=$(value run)
    owner=$(value owner)
    until_true 10 all_there
    echo "tier $(value tier): caller $caller, owner $owner, keeper $(value keeper), and below it:"
    for pid in $(marked); do
        printf '  %-8s %s\n' "$pid" "$(tr '\0\n' '  ' <"/proc/$pid/cmdline" | cut -c 1-60)"
    done
}

# strike WHO PID: kills it in the rudest way and watches the rest go.
strike() {
    step "kill -9 the $1 (pid $2)"
    struck=$(now_ms)
    kill -9 "$2"
    until_true 10 all_gone
    echo "nothing is left after $(($(now_ms) - struck)) ms"
    # The shell that was the caller is ours to reap; what it says about its death is of no interest.
    wait "$caller" 2>/dev/null || true
}

step 'What this machine gives (sidewinder doctor)'
"$sidewinder" doctor

step 'A keeper around three processes that ignore SIGTERM and daemonise'
hold
strike 'owner' "$owner"

step 'The same again, and this time whoever called the keeper dies'
hold
strike 'caller' "$caller"

step 'What earlier runs left behind (sidewinder reap)'
"$sidewinder" reap
