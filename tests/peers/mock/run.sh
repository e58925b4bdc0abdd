#!/usr/bin/env bash
# Models and agents against aimock, an OpenAI-compatible server with faults that others have written; the scenarios are in
# tests/peers/rust/src/bin/mock, what the server says in fixtures.json. Prints what was tried and what came of it, and
# leaves it in tests/peers/.cache/mock/rows; fails if anything did.
set -euo pipefail
cd "$(dirname "$0")/../../.."
cache=$PWD/tests/peers/.cache/mock
bash tests/peers/mock/install
cargo build --quiet --locked -p model-peers --bin mock

children=()
stop() {
    for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
    wait
}
# Whatever ends this, Ctrl-C included, ends the server; in the background, for a signal waits for what is in front.
trap stop EXIT
trap 'exit 130' INT TERM

# Not a secret: the key that the server asks for, so that a wrong one can be tried.
export AIMOCK_API_KEYS=sk-mock-0123456789abcdef
: >"$cache/log"
node "$cache/node_modules/@copilotkit/aimock/dist/cli.js" --port 0 --fixtures tests/peers/mock/fixtures.json --strict \
    --validate-on-load --journal-max 0 >"$cache/log" 2>&1 &
children+=($!)
address() {
    for _ in $(seq 150); do
        if sed -n 's/.* listening on \(http:.*\)$/\1/p' "$cache/log" | grep .; then return; fi
        sleep 0.2
    done
    echo "the server has not come up; its last words:" >&2
    tail -n 5 "$cache/log" >&2
    return 1
}
url=$(address)
"${CARGO_TARGET_DIR:-target}/debug/mock" "$url" "$AIMOCK_API_KEYS" >"$cache/rows" &
children+=($!)
wait $!
