# Checks and measurements beside CI. `just --list` shows this.

# Run everything that CI runs.
ci:
    bash .ci/run

# Check names and prose; `just prose --list` shows the rules, a path limits the check.
prose *args:
    .ci/prose {{args}}

# Check spelling; needs `cargo install typos-cli`.
typos:
    typos

# Check licences, advisories and sources; needs `cargo install cargo-deny`.
deny:
    cargo deny check

# Check that the public API of the libraries is compatible with a commit; needs `cargo install cargo-semver-checks`.
semver baseline="origin/main":
    cargo semver-checks --baseline-rev {{baseline}} -p llmspell -p llmspell-flow -p llmspell-models -p llmspell-mcp

# Print the public API of a crate; needs `cargo install cargo-public-api` and a nightly toolchain.
public-api crate="llmspell":
    cargo public-api --simplified -p {{crate}}

# Print the tables of crates/llmspell/benches/README.md.
bench *groups:
    cargo bench -p llmspell --bench patterns -- {{groups}}
    cargo bench -p llmspell --bench scaling
    cargo bench -p llmspell --bench hedge -- {{groups}}
    cargo bench -p llmspell --bench adaptive -- {{groups}}
    cargo bench -p llmspell --bench agent

# Compare with asyncio, LangChain and Effect: the tables of docs/performance.md, in half an hour.
peers-bench *tasks:
    bash bench/peers/run {{tasks}}

# Compare 2,000 agents, and a turn with eight tool calls, with rig and adk-rust: see bench/agents/README.md.
agents-bench:
    bash bench/agents/run

# Test against third-party servers: a mock with faults, a small real model, MCP; or the named ones. Downloads 550 MB, takes 20 min.
peers *which:
    bash tests/peers/run.sh {{which}}

# Test against MCP's official servers, clients and conformance suite: downloads 400 MB, writes tests/peers/mcp/RESULT.md.
peers-mcp:
    bash tests/peers/mcp/run.sh

# Measure hazards by hand and in LLMSpell; words select some, `--runtime current` selects the scheduler.
hazards *args:
    cargo run --quiet -p hazards -- {{args}}

# Run the tests twenty times in a row: a flaky test is a bug.
soak times="20":
    for n in $(seq {{times}}); do echo "run $n of {{times}}"; cargo test --quiet --workspace || exit 1; done

# Test our own synchronisation under many interleavings of threads; a failure prints the schedule to replay.
schedules:
    RUSTFLAGS="--cfg shuttle" cargo test -p llmspell --lib --target-dir target/shuttle schedules

# Measure a first build of the example, of another one, or of the first command of the README (`command`).
first-build *what:
    bash .ci/first-build {{what}}

# Kill a run over 10,000 records at 200 random instants, and check the result of each resumed run.
crash *args:
    cargo build --release -p llmspell-cli
    python3 tests/crash/run.py {{args}}

# Measure a million records with and without the journal, and three stages relative to their optimum.
runs-bench *records:
    cargo build --release -p llmspell-cli
    python3 bench/runs/run.py {{records}}

# Draw the terminal pictures in docs/pictures from real runs.
pictures *which:
    cargo build --release -p llmspell-cli
    docs/pictures/make {{which}}
