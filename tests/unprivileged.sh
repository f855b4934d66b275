#!/bin/sh
# Runs the black-box tests once more as a user without any privilege. That is where tiers differ:
# user namespaces instead of plain ones, no cgroup of one's own, other people's processes all around.
# The checkout may be unreadable for that user, so the built tests are copied to where they can be.
set -eu
cd "$(dirname "$0")/.."

nobody=65534
if [ "$(id -u)" != 0 ]; then
    echo 'unprivileged run: this was it, the tests ran without privileges already'
    exit 0
fi

stage=$(mktemp -d)
cgroup=
trap 'rm -rf "$stage"; [ -z "$cgroup" ] || rmdir "$cgroup/tests" "$cgroup"' EXIT
mkdir "$stage/bin" "$stage/home" "$stage/run" "$stage/tmp"
cp -R tests "$stage/tests"
cp -R docs "$stage/docs"
mkdir "$stage/client-python"
cp -R client-python/src "$stage/client-python/src"
cp "$SIDEWINDER_BIN" "$stage/bin/sidewinder"

# tidy judges the checkout, not the binary; systemd boots its own and needs root for it.
cargo test --locked --quiet --no-run --message-format=json -p sidewinder-tests --tests >"$stage/built"
python3 -c '
import json, sys

for line in sys.stdin:
    built = json.loads(line)
    target = built.get("target", {})
    if built.get("executable") and target["kind"] == ["test"] and target["name"] not in ("tidy", "systemd"):
        print(target["name"], built["executable"])
' <"$stage/built" >"$stage/list"
if ! [ -s "$stage/list" ]; then
    echo 'unprivileged run: cargo built no black-box test, so nothing would be proved' >&2
    exit 1
fi

while read -r name path; do cp "$path" "$stage/bin/$name"; done <"$stage/list"
chown -R "$nobody:$nobody" "$stage"

# A delegated cgroup, as systemd gives one to a user: the tests live in one leaf of it and may build others.
delegate() {
    mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    [ -n "$mount" ] && mkdir "$mount/sidewinder-unprivileged-$$" 2>/dev/null || return 0
    cgroup=$mount/sidewinder-unprivileged-$$
    mkdir "$cgroup/tests"
    for folder in "$cgroup" "$cgroup/tests"; do
        chown "$nobody:$nobody" "$folder" "$folder/cgroup.procs" "$folder/cgroup.subtree_control"
    done
}
delegate

failed=
while read -r name path; do
    printf '\n== %s, as user %s\n' "$name" "$nobody"
    (
        cd "$stage/tests" || exit
        [ -z "$cgroup" ] || echo 0 >"$cgroup/tests/cgroup.procs"
        # An environment of its own: root's PATH and HOME lead to places that user cannot enter.
        env -i PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 \
            HOME="$stage/home" TMPDIR="$stage/tmp" SIDEWINDER_RUNTIME_DIR="$stage/run" \
            SIDEWINDER_BIN="$stage/bin/sidewinder" CARGO_MANIFEST_DIR="$stage/tests" \
            ${cgroup:+"SIDEWINDER_TEST_CGROUP=$cgroup"} ${CI:+"CI=$CI"} ${MATRIX:+"MATRIX=$MATRIX"} ${CYCLES:+"CYCLES=$CYCLES"} \
            setpriv --reuid="$nobody" --regid="$nobody" --clear-groups "$stage/bin/$name" </dev/null
    ) || failed="$failed $name"
done <"$stage/list"

[ -z "$failed" ] || { echo "without privileges these failed:$failed" >&2; exit 1; }
