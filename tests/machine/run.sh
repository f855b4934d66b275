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

kind=${SIDEWINDER_MACHINE:-qemu}
suite=${SIDEWINDER_MACHINE_SUITE:-bookworm}
cache=${SIDEWINDER_MACHINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sidewinder/machine}

say() { echo "machine: $*"; }
not_run() {
    say "not run: $*"
    exit 77
}

prepare_machine() {
    [[ $kind != qemu || $suite == bookworm ]] ||
        not_run "the kernel of $suite does not boot reliably under qemu; set SIDEWINDER_MACHINE=uml"
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

main() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    find_binary "${1:-}"
    prepare_machine
    ensure_image
    pack_payload
    say "booting ($kind, $suite); ready after ${SECONDS} s"
    export MACHINE_KIND=$kind MACHINE_IMAGE=$image MACHINE_PAYLOAD=$work/payload.img
    python3 "$here/host/phases.py" "$work" "$image/disk.img" bash "$here/boot.sh" || exit 1
}
main "$@"
