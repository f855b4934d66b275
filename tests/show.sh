#!/bin/sh
# Shows what Sidewinder is for: a command that does all it can to outlive its keeper, and does not.
# Needs nothing but the built binary and python3; `make run` calls it.
set -eu
cd "$(dirname "$0")/.."

sidewinder=${SIDEWINDER_BIN:-${CARGO_TARGET_DIR:-target}/release/sidewinder}
binary=$(realpath "$sidewinder")
scratch=$(mktemp -d)
report=$scratch/report
SIDEWINDER_RUNTIME_DIR=$scratch/run
export SIDEWINDER_RUNTIME_DIR
run=
trap leave EXIT

# Should the promise be broken, the show does not leave the survivors to its guest.
leave() {
    if [ -n "$run" ]; then
        for pid in $(marked); do kill -9 "$pid"; done
    fi
    rm -rf "$scratch"
}

python=$(python3 -c 'import sys; print(sys.executable)')
# A parent, a child in a session of its own, and a daemonised grandchild: twice forked, its father gone.
# All three ignore every polite signal; the last holds no file open that could give it away.
nasty='
import os, signal, sys, time

for polite in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD):
    signal.signal(polite, signal.SIG_IGN)
orphan = False
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        orphan = True
with open(sys.argv[1], "a") as roll:
    roll.write("here\n")
if orphan:
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
all_there() { [ "$(wc -l <"$scratch/roll")" = 3 ]; }
all_gone() { [ "$(count)" = 0 ]; }

# hold: a caller that starts the keeper around the nasty command, as a BEAM or a shell would.
hold() {
    : >"$report"
    : >"$scratch/roll"
    (
        "$sidewinder" keep --report "$report" -- "$python" -c "$nasty" "$scratch/roll" &
        wait
    ) &
    caller=$!
    until_true 10 started
    run=$(value run)
    owner=$(value owner)
    until_true 10 all_there
    echo "tier $(value tier): caller $caller, owner $owner, keeper $(value keeper), and below it:"
    for pid in $(marked); do
        sed -E "s/.*\((.*)\) . ([0-9]+) [0-9]+ ([0-9]+) .*/  $pid \1, child of \2, in session \3/" "/proc/$pid/stat"
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

# call: the pool of the show, from its first call to its stop.
call() {
    cat >"$scratch/shop.py" <<'PYTHON'
import os
import sidewinder

@sidewinder.tool
def add(a: int, b: int) -> int:
    return a + b

@sidewinder.tool
def count(until: int):
    yield from range(until)

@sidewinder.tool
def crash():
    os.abort()
PYTHON
    (cd "$scratch" && exec "$binary" run --tools shop --workers 1 2>"$scratch/log") &
    daemon=$!
    ask wait --ready
    ask call add '{"a": 40, "b": 2}'
    ask stream count '{"until": 3}'
    ask status
    ask call crash || true
    ask call add '{"a": 1, "b": 1}'
    ask status
    killed=$(worker)
    echo "\$ kill -9 $killed"
    kill -9 "$killed"
    until_true 10 replaced
    ask wait --ready
    ask call add '{"a": 2, "b": 2}'
    ask quit
    wait "$daemon"
    [ -z "$(ls "$SIDEWINDER_RUNTIME_DIR/runs")" ] && echo 'stopped, and nothing is left'
}
# The process of the only worker; nothing while there is none.
worker() { "$sidewinder" status --json | sed -n 's/.*"workers":\[{[^]]*"pid":\([1-9][0-9]*\).*/\1/p'; }
# A call that came before the daemon has seen the death would share it.
replaced() { [ -n "$(worker)" ] && [ "$(worker)" != "$killed" ]; }
ask() {
    echo "\$ sidewinder $*"
    "$sidewinder" "$@" 2>&1 | cut -c 1-110 | head -12
}

step 'A first call, a stream, a crash, and the next call (sidewinder run)'
call

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

step "The program is $sidewinder; README.md goes on from here"
