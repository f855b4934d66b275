#!/bin/sh
# Installs what a verb of the Makefile needs and says so first. Quick when nothing is missing.
#
#   sh tests/setup.sh NEED…      build | test | check | peers | mutants | science | perf | race
#
# Debian packages come from apt-get (as root; otherwise the command to run is printed), Python
# packages go into .venv; cargo-deny, cargo-mutants and the Pythons of the benches go below the target directory. Nothing
# else is touched.
set -eu
cd "$(dirname "$0")/.."

deny_version=0.20.2
mutants_version=27.1.0
tools=${CARGO_TARGET_DIR:-target}/tools
packages=
reasons=

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# want REASON PACKAGE…: remembered, so that all packages come in one go.
want() {
    reasons="$reasons
setup:   $1"
    shift
    packages="$packages $*"
}

want_environments() {
    python3 -c 'import ensurepip, venv' 2>/dev/null ||
        want 'Python virtual environments, for what the tests and the checks install' python3 python3-venv
}

want_elixir() {
    have mix || want 'Elixir, for the client of that language' elixir
}

want_systemd() {
    [ -x /lib/systemd/systemd ] || want 'a systemd, which the tests boot in namespaces' systemd
    { [ -x /usr/bin/dbus-daemon ] && [ -e /usr/lib/systemd/user/dbus.socket ]; } ||
        want 'message buses, through which that systemd is asked for scopes' dbus dbus-user-session
    have ip || want 'ip, for the loopback of that systemd' iproute2
    have supervisord || want 'supervisord, whose example is tested' supervisor
    have runsvdir || want 'runit, whose example is tested' runit
    have pgrep || want 'pgrep, which finds who is left' procps
}

want_packages() {
    case $1 in
        build)
            have cargo || fail 'no cargo. Install a Rust toolchain (rustup), then try again.'
            have cc || want 'a C compiler driver, which links Rust programs' gcc libc6-dev
            ;;
        test)
            # pyenv and the like may live where only root can look; the tests also run as another user.
            [ -x /usr/bin/python3 ] || want 'a python3 that every user can run' python3
            have setpriv || want 'setpriv, which runs the tests without privileges' util-linux
            want_environments
            want_elixir
            [ -n "$(PATH=$PATH:/usr/sbin command -v dnsmasq)" ] || want 'a name server, whose services a client follows' dnsmasq-base
            # Without root no systemd can be booted: its tests say so.
            [ "$(id -u)" != 0 ] || want_systemd
            ;;
        check)
            have git || want 'git, which lists the files of the project' git
            want_environments
            want_elixir
            ;;
        peers)
            have supervisord || want 'supervisord, to compare with' supervisor
            have tini || want 'tini, to compare with' tini
            have dumb-init || want 'dumb-init, to compare with' dumb-init
            ;;
        mutants) ;;
        perf) have valgrind || want 'valgrind, which counts instructions' valgrind ;;
        science) want_environments ;;
        race)
            want_environments
            # uWSGI comes as its source.
            have cc || want 'a C compiler, which builds a peer' gcc libc6-dev
            ;;
        *) fail "unknown need: $1" ;;
    esac
}

install_packages() {
    [ -n "$packages" ] || return 0
    say "missing:$reasons"
    have apt-get || fail "no apt-get here. Install the equivalent of:$packages"
    if [ "$(id -u)" != 0 ]; then
        fail "not root. Run this, then try again:
    sudo apt-get install --no-install-recommends$packages"
    fi
    say "installing Debian packages:$packages"
    # In this runlevel no package starts a service of its own.
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    apt-get -o DPkg::Lock::Timeout=300 -qq update
    # shellcheck disable=SC2086 # a list of package names
    apt-get -o DPkg::Lock::Timeout=300 -qq install --no-install-recommends $packages >/dev/null
}

install_rust_components() {
    for tool in fmt clippy; do
        cargo "$tool" --version >/dev/null 2>&1 && continue
        have rustup || fail "no cargo $tool. Install it for your Rust toolchain, then try again."
        say "installing the Rust components rustfmt and clippy"
        rustup component add rustfmt clippy
    done
}

install_python_tools() {
    # The copy says what was installed last; it is written when everything has succeeded.
    cmp -s tests/requirements.txt .venv/requirements.txt && return 0
    say 'installing into .venv:' "$(grep -v '^#' tests/requirements.txt | tr '\n' ' ')"
    python3 -m venv --clear .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
    cp tests/requirements.txt .venv/requirements.txt
}

# Forked workers are measured with what is worth a fork.
install_science() {
    science=${CARGO_TARGET_DIR:-target}/science
    cmp -s tests/bench/science.txt "$science/science.txt" && return 0
    say "installing into $science:" "$(grep -v '^#' tests/bench/science.txt | tr '\n' ' ')"
    python3 -m venv --clear "$science"
    "$science/bin/pip" install --quiet --disable-pip-version-check --requirement tests/bench/science.txt
    cp tests/bench/science.txt "$science/science.txt"
}

# Who cannot be installed or built does not race, and the table says so: no reason to measure nobody.
install_race() {
    race=${CARGO_TARGET_DIR:-target}/race
    cmp -s tests/race/peers.txt "$race/peers.txt" && return 0
    say "installing into $race:" "$(grep -v '^#' tests/race/peers.txt | tr '\n' ' ')"
    python3 -m venv --clear "$race"
    grep -v '^#' tests/race/peers.txt | while read -r peer; do
        "$race/bin/pip" install --quiet --disable-pip-version-check "$peer" </dev/null >"$race/log" 2>&1 || {
            tail -n 5 "$race/log" >&2
            say "$peer cannot be installed here, and the table will say so; remove $race to try again"
        }
    done
    cp tests/race/peers.txt "$race/"
}

install_cargo_deny() {
    for candidate in ${CARGO_DENY:+"$CARGO_DENY"} "$tools/bin/cargo-deny" cargo-deny; do
        [ "$("$candidate" --version 2>/dev/null)" = "cargo-deny $deny_version" ] && return 0
    done
    say "installing cargo-deny $deny_version into $tools (a few minutes, once)"
    cargo install --quiet --locked --root "$tools" cargo-deny --version "$deny_version"
}

install_cargo_mutants() {
    [ "$("$tools/bin/cargo-mutants" mutants --version 2>/dev/null)" = "cargo-mutants $mutants_version" ] && return 0
    say "installing cargo-mutants $mutants_version into $tools (a few minutes, once)"
    cargo install --quiet --locked --root "$tools" cargo-mutants --version "$mutants_version"
}

# Header compression is tried against an implementation that others wrote. Debian has it inside of another package; the
# tests say so where it cannot be had.
install_header_oracle() {
    oracle=client-elixir/_build/cowlib
    [ -d "$oracle/ebin" ] && return 0
    have apt-get && have dpkg-deb || return 0
    say "unpacking cowlib out of the Debian package rabbitmq-server into $oracle"
    unpacked=$(mktemp -d)
    if (cd "$unpacked" && apt-get -qq -o APT::Sandbox::User=root download rabbitmq-server && dpkg-deb -x ./*.deb .) >/dev/null 2>&1; then
        mkdir -p "$oracle"
        cp -R "$unpacked"/usr/lib/rabbitmq/lib/*/plugins/cowlib-*/ebin "$oracle/"
    else
        say 'that package cannot be had here: the tests go on without it'
    fi
    rm -rf "$unpacked"
}

for need in "$@"; do want_packages "$need"; done
install_packages
for need in "$@"; do
    case $need in
        test)
            install_python_tools
            install_header_oracle
            ;;
        check)
            install_rust_components
            install_python_tools
            install_cargo_deny
            ;;
        mutants) install_cargo_mutants ;;
        science) install_science ;;
        race) install_race ;;
    esac
done
