#!/bin/sh
# Runs everything of the Elixir client under every Elixir that is here: format, compilation without a warning, the tests
# against the real daemon. SIDEWINDER_BIN names it.
#
#   sh tests/elixirs.sh [MIX…]      each the program `mix` of an Elixir, or `trixie`; by default: mix trixie
#
# `trixie` is the Elixir of Debian trixie, in a root that debootstrap makes once, below the user's cache or at
# TRIXIE_ROOT. That takes root and a mirror; where one is missing it is said, and is a failure only for who asked for it.
# The checkout is seen there read-only, and whatever is built there is gone afterwards.
set -eu
cd "$(dirname "$0")/.."

root=${TRIXIE_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/sidewinder/trixie}
packages='elixir erlang-ssl openssl python3 python3-grpcio dnsmasq-base'
say() { printf '\n== %s\n' "$*"; }

# In client-elixir, with a folder for what is built that no other Elixir uses.
# shellcheck disable=SC2016 # it is for another shell
all='set -eu
export LC_ALL=C.UTF-8 MIX_BUILD_PATH="$2/build"
"$1" --version
"$1" format --check-formatted
"$1" compile
MIX_BUILD_PATH="$2/test" exec "$1" test'

here() {
    mix=$(command -v "$1")
    say "$1: $mix"
    built=$(mktemp -d)
    status=0
    # `mix` looks for its `elixir`, and the tests for both, where commands are.
    (cd client-elixir && PATH=$(dirname "$mix"):$PATH sh -c "$all" sh "$mix" "$built") || status=$?
    rm -rf "$built"
    return "$status"
}

# Why there is no trixie here; nothing if there is.
prepare() {
    [ "$(id -u)" = 0 ] || { echo 'only root can enter another root'; return; }
    [ -x "$root/usr/bin/mix" ] && return
    command -v debootstrap >/dev/null || { echo 'no debootstrap here'; return; }
    # It takes its place when it is whole.
    rm -rf "$root.new"
    mkdir -p "$root.new"
    # shellcheck disable=SC2086 # a list of package names
    {
        debootstrap --variant=minbase trixie "$root.new" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} &&
            chroot "$root.new" env DEBIAN_FRONTEND=noninteractive apt-get -y install --no-install-recommends $packages
    } >"$root.log" 2>&1 || { echo "debootstrap failed, see $root.log: $(tail -n 1 "$root.log")"; return; }
    rm -rf "$root"
    mv "$root.new" "$root"
}

trixie() {
    say "Debian trixie in $root"
    missing=$(prepare)
    if [ -n "$missing" ]; then
        echo "not run: $missing"
        return "$1"
    fi
    # What is mounted here is gone with the last process of it.
    # shellcheck disable=SC2016 # it is for another shell
    unshare --mount --propagation private sh -c 'set -eu
        mount -t tmpfs tmpfs "$1/tmp"
        mkdir -p "$1/tmp/checkout" "$1/tmp/bin" "$1/tmp/built"
        mount --bind "$PWD" "$1/tmp/checkout"
        mount -o remount,bind,ro "$1/tmp/checkout"
        cp "$SIDEWINDER_BIN" "$1/tmp/bin/sidewinder"
        mount --rbind /proc "$1/proc"
        mount --rbind /sys "$1/sys"
        mount --rbind /dev "$1/dev"
        exec env -i HOME=/tmp PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin SIDEWINDER_BIN=/tmp/bin/sidewinder \
            chroot "$1" sh -c "cd /tmp/checkout/client-elixir && exec sh -c \"\$1\" sh mix /tmp/built" sh "$2"
    ' sh "$root" "$all"
}

asked=1
[ $# != 0 ] || { asked=0; set -- mix trixie; }
for elixir in "$@"; do
    if [ "$elixir" = trixie ]; then
        trixie "$asked"
    elif command -v "$elixir" >/dev/null; then
        here "$elixir"
    else
        echo "$elixir: not here"
        [ "$asked" = 0 ]
    fi
done
