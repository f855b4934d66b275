#!/bin/sh
# Licences, bans and sources are judged without a network, always. Advisories need the advisory
# database: it is fetched if it can be, an older copy serves if it cannot (deny.toml says how old),
# and with neither that is said and nothing more. A known advisory fails.
set -eu
cd "$(dirname "$0")/.."

deny=${CARGO_DENY:-${CARGO_TARGET_DIR:-target}/tools/bin/cargo-deny}
[ -x "$deny" ] || deny=cargo-deny

# Even a crate that only another system needs has to be at hand to be judged. No network is used when all are.
cargo fetch --locked --quiet
"$deny" --locked --offline check bans licenses sources

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if timeout 120 "$deny" fetch db >"$log" 2>&1; then
    echo 'advisory database: fetched just now'
else
    echo 'advisory database: cannot be fetched'
    # Younger than the bound in deny.toml: an old copy would judge without knowing, so it does not judge.
    databases=${CARGO_HOME:-$HOME/.cargo}/advisory-dbs
    if [ -z "$(find "$databases" -path '*/.git/FETCH_HEAD' -mtime -90 2>/dev/null)" ]; then
        sed 's/^/    /' "$log"
        echo 'advisories: not checked: no database'
        exit 0
    fi
    echo 'advisory database: using the copy of an earlier fetch'
fi
"$deny" --locked --offline check advisories
