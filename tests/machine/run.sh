#!/bin/bash
# Boots a machine with every cgroup v2 controller, runs the cases of guest/ in it against the real
# binary, cuts its power, boots it again and says what was seen. README.md tells how and why.
#
#   run.sh [PATH-TO-SIDEWINDER]        the default is the release build of this checkout
#
# With an older and with a newer systemd, one machine after the other. The kernel is the same, so on the second one only
# what depends on systemd is tried; SIDEWINDER_MACHINE_SUITE names one, on which everything is.
#
# Exit status: 0 all passed, 1 something failed or there is no binary, 77 no machine was run (the reason is printed).
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source-path=SCRIPTDIR source=image.sh
source "$here/image.sh"

kind=${SIDEWINDER_MACHINE:-qemu}
# Debian 12 with systemd 252, Debian 13 with systemd 257.
suites=${SIDEWINDER_MACHINE_SUITE:-bookworm trixie}
cache=${SIDEWINDER_MACHINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sidewinder/machine}

say() { echo "machine: $*"; }
not_run() {
    say "not run: $*"
    exit 77
}

prepare_machine() {
    case $kind in
        qemu) need qemu-system-x86_64 qemu-system-x86 ;;
        uml) need linux.uml user-mode-linux ;;
        *) not_run "SIDEWINDER_MACHINE is qemu or uml, not $kind" ;;
    esac
    need mkfs.ext4 e2fsprogs
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
    cp -r "$here/../../deploy/systemd" "$work/payload/deploy"
    chmod -R u+w,a+rX "$work/payload"
    make_disk "$work/payload.img" "$work/payload" 16
}

# run_suite SUITE CASES: one machine, in a shell of its own: who cannot have it leaves alone.
run_suite() {
    suite=$1
    work=$all/$suite
    mkdir "$work"
    prepare_machine
    ensure_image
    pack_payload
    say "booting ($kind, $suite, $2 cases); ready after ${SECONDS} s"
    export MACHINE_KIND=$kind MACHINE_IMAGE=$image MACHINE_PAYLOAD=$work/payload.img MACHINE_CASES=$2
    python3 "$here/host/phases.py" "$work" "$image/disk.img" bash "$here/boot.sh" || exit 1
}

main() {
    local one status=77 of_this cases=all
    all=$(mktemp -d)
    trap 'rm -rf "$all"' EXIT
    find_binary "${1:-}"
    for one in $suites; do
        set +e
        (
            set -eE
            trap 'echo "machine: failed: $BASH_COMMAND" >&2' ERR
            run_suite "$one" "$cases"
        )
        of_this=$?
        set -e
        cases=manager
        case $of_this in
            0) [[ $status != 77 ]] || status=0 ;;
            77) say "$one: NOT RUN, for the reason above" ;;
            *) status=1 ;;
        esac
    done
    exit "$status"
}
main "$@"
