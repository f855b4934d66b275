#!/bin/sh
# Builds an earlier revision of this program under a version of its own, and has the present daemon take over the workers
# that it has started, while clients call.
#
#   tests/builds.sh [REVISION]      the default is the commit before this one; SIDEWINDER_BIN is the present program
set -eu
cd "$(dirname "$0")/.."
revision=$(git rev-parse --verify "${1:-HEAD~1}^{commit}")
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
source=$target/earlier/source
: "${SIDEWINDER_BIN:?names the present program}"

say() { printf 'builds: %s\n' "$*"; }

mkdir -p "$target/earlier"
rm -rf "$source"
git worktree prune
git worktree add --quiet --force --detach "$source" "$revision"
trap 'git worktree remove --force "$source"' EXIT
# Two builds that call themselves the same could be one.
sed -i "s/^version = .*/version = \"0.0.1-$(git rev-parse --short "$revision")\"/" "$source/Cargo.toml"
say "building $(git log -1 --format='%h %s' "$revision")"
(cd "$source" && CARGO_TARGET_DIR=$target/earlier/target cargo build --quiet --bin sidewinder)
export SIDEWINDER_EARLIER_BIN="$target/earlier/target/debug/sidewinder"
# In its process, and under a real systemd.
cargo test --locked --quiet -p sidewinder-tests --test daemon --test systemd -- --ignored --nocapture builds
