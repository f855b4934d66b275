#!/bin/sh
# Breaks the core in every small way that cargo-mutants knows, and says which breakage no test notices.
# What cannot matter is named, with its reason, in .cargo/mutants.toml.
#
#   MUTANTS='--shard 0/4'               a part of them
#   MUTANTS='--file server/core/src/pool/drain.rs'
#   MUTANTS_TIME=7200                   seconds that all of it may take
set -eu
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
results=$target/mutants
mkdir -p "$results"

# What is changed is a copy. The simulation is short: there are hundreds of mutants, and a long one finds no more of them.
status=0
# shellcheck disable=SC2086 # MUTANTS is a list of words
SIM_EVENTS=${MUTANTS_EVENTS:-40000} CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0 \
    timeout "${MUTANTS_TIME:-14400}" env -u CARGO_TARGET_DIR PATH="$target/tools/bin:$PATH" \
    cargo mutants --package sidewinder-core --output "$results" --colors never --no-times \
    --minimum-test-timeout 20 ${MUTANTS:-} -- --lib --tests || status=$?
# 2: some were missed. 3: a test took for ever, which is noticed as well.
case $status in
    0 | 3) echo 'mutants: no test is missing' ;;
    2)
        echo 'mutants: nobody notices these; test them, or say in .cargo/mutants.toml why they cannot matter'
        cat "$results/mutants.out/missed.txt"
        exit 1
        ;;
    124) echo "mutants: they took longer than ${MUTANTS_TIME:-14400} s; give MUTANTS_TIME, or MUTANTS='--shard 0/4'" && exit 1 ;;
    *) exit "$status" ;;
esac
