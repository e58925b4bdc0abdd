# What is not part of every CI run. `just --list` shows this.

# Everything that CI does.
ci:
    bash .ci/run

# The tables of crates/llmspell/benches/README.md.
bench *groups:
    cargo bench -p llmspell --bench patterns -- {{groups}}
    cargo bench -p llmspell --bench scaling
    cargo bench -p llmspell --bench hedge -- {{groups}}
    cargo bench -p llmspell --bench adaptive -- {{groups}}
    cargo bench -p llmspell --bench agent

# The same work in asyncio, LangChain and Effect: the tables of docs/performance.md, in half an hour.
peers-bench *tasks:
    bash bench/peers/run {{tasks}}

# 2,000 agents at once, and a turn with eight tool calls, beside rig and adk-rust: see bench/agents/README.md.
agents-bench:
    bash bench/agents/run

# Servers of others: a mock with faults, a real small model, MCP; or those that are named. Downloads 550 MB, takes 20 min.
peers *which:
    bash tests/peers/run.sh {{which}}

# MCP's official servers, clients and conformance suite against ours: downloads 400 MB, writes tests/peers/mcp/RESULT.md.
peers-mcp:
    bash tests/peers/mcp/run.sh

# The hazards by hand and with LLMSpell; words choose some, `--runtime current` the scheduler.
hazards *args:
    cargo run --quiet -p hazards -- {{args}}

# The tests twenty times in a row: a flaky test is a bug.
soak times="20":
    for n in $(seq {{times}}); do echo "run $n of {{times}}"; cargo test --quiet --workspace || exit 1; done

# The library's own synchronisation under many interleavings of threads; a failure prints the schedule to replay.
schedules:
    RUSTFLAGS="--cfg shuttle" cargo test -p llmspell --lib --target-dir target/shuttle schedules

# The cost of a first build of the example, of another one, or of README's first command (`command`).
first-build *what:
    bash .ci/first-build {{what}}

# 200 kills at random instants of a run over 10,000 records, and what is left held against what must be.
crash *args:
    cargo build --release -p llmspell-cli
    python3 tests/crash/run.py {{args}}

# A million records with and without the journal, and how near three stages come to the best.
runs-bench *records:
    cargo build --release -p llmspell-cli
    python3 bench/runs/run.py {{records}}

# The pictures of the terminal in docs/pictures, from real runs.
pictures *which:
    cargo build --release -p llmspell-cli
    docs/pictures/make {{which}}

# Licences, advisories, sources; needs `cargo install cargo-deny`.
deny:
    cargo deny check
