#!/bin/bash
# Boots a machine with every cgroup v2 controller, runs the cases of guest/ in it against the real
# binary, cuts its power, boots it again and says what was seen. README.md tells how and why.
#
#   run.sh [PATH-TO-SIDEWINDER]        the default is the release build of this checkout
#
# Exit status: 0 all passed, 1 something failed or there is no binary, 77 not run (the reason is printed).
set -Eeuo pipefail
trap 'echo "machine: failed: $BASH_COMMAND" >&2' ERR
here=$(dirname "$(realpath "$0")")
# shellcheck source-path=SCRIPTDIR source=image.sh
source "$here/image.sh"
# shellcheck source-path=SCRIPTDIR source=boot.sh
source "$here/boot.sh"

kind=${SIDEWINDER_MACHINE:-qemu}
suite=${SIDEWINDER_MACHINE_SUITE:-bookworm}
cache=${SIDEWINDER_MACHINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sidewinder/machine}

say() { echo "machine: $*"; }
not_run() {
    say "not run: $*"
    exit 77
}

# need COMMAND PACKAGE: takes what is missing from Debian when that is allowed.
need() {
    local program=$1 package=$2
    have "$program" && return
    [[ $EUID == 0 ]] || not_run "$program is missing; as root: apt-get install $package"
    have apt-get || not_run "$program is missing and there is no apt-get to install $package with"
    say "installing the Debian package $package"
    install "$package" >"$work/apt.log" 2>&1 || not_run "$package cannot be installed: $(tail -n 1 "$work/apt.log")"
}
have() { PATH=$PATH:/usr/sbin:/sbin type -P "$1" >/dev/null; }
install() {
    local apt=(apt-get -y -q --no-install-recommends install "$1")
    export DEBIAN_FRONTEND=noninteractive
    "${apt[@]}" || { apt-get -q update && "${apt[@]}"; }
}

find_binary() {
    local target=${CARGO_TARGET_DIR:-$here/../../target}
    binary=$(realpath -m "${1:-$target/release/sidewinder}")
    [[ -x $binary ]] && return
    # A failure, not a "not run": whoever forgets the build must not believe that all is well.
    say "$binary is not there; build it with: cargo build --release -p sidewinder"
    exit 1
}

# The second disk: read-only inside, and made anew each time, so that the image outlives every build.
pack_payload() {
    mkdir "$work/payload"
    cp "$binary" "$work/payload/sidewinder"
    cp "$here"/guest/*.{py,sh} "$work/payload/"
    chmod -R u+w,a+rX "$work/payload"
    make_disk "$work/payload.img" "$work/payload" 16
}

# Everything but the rows goes to the logs, which are shown when there is no verdict.
run_phase() {
    local phase=$1
    boot "$phase" | tr -d '\r' | tee -a "$work/rows" || true
    grep -q "^phase $phase is over" "$work/rows" && return
    say "the machine gave no verdict in phase $phase; the end of its console:"
    tail -n 40 "$work/console.$phase" | tr -d '\r'
    echo "FAIL | machine | phase $phase | it comes to an end | it did not" | tee -a "$work/rows"
}

# A row that never arrived is a failed one.
count_rows() {
    local told arrived
    told=$(awk '/^[0-9]+ rows of / { sum += $1 } END { print sum + 0 }' "$work/rows")
    arrived=$(grep -cE '^(pass|FAIL) \| (root|tester) ' "$work/rows" || true)
    [[ $told == "$arrived" ]] || echo "FAIL | machine | rows | each one arrives | $arrived of $told" | tee -a "$work/rows"
}

verdict() {
    local passed failed
    passed=$(grep -c '^pass |' "$work/rows" || true)
    failed=$(grep -c '^FAIL |' "$work/rows" || true)
    say "$kind, $suite, ${SECONDS} s"
    echo "$passed passed, $failed failed"
    [[ $failed == 0 && $passed -gt 0 ]]
}

main() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    find_binary "${1:-}"
    prepare_machine
    ensure_image
    pack_payload
    cp --sparse=always "$image/disk.img" "$work/disk.img"
    say "booting ($kind, $suite); ready after ${SECONDS} s"
    run_phase 1
    run_phase 2
    count_rows
    verdict || exit 1
}
main "$@"
