#!/usr/bin/env bash
# Tests models and agents against aimock, a third-party OpenAI-compatible server with faults. The scenarios are in
# tests/peers/rust/src/bin/mock, the replies of the server in fixtures.json. Prints the results, and stores them in
# tests/peers/.cache/mock/rows. Fails if a test did.
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
# Any end of this script, Ctrl-C included, ends the server. It runs in the background, because a signal waits for a
# foreground command.
trap stop EXIT
trap 'exit 130' INT TERM

# Not a secret: the server requires this key, so that a wrong one can be tested.
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
    echo "the server did not start; its last output:" >&2
    tail -n 5 "$cache/log" >&2
    return 1
}
url=$(address)
"${CARGO_TARGET_DIR:-target}/debug/mock" "$url" "$AIMOCK_API_KEYS" >"$cache/rows" &
children+=($!)
wait $!
