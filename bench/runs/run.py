#!/usr/bin/env python3
"""Measures the cost of a run: records a second, memory and CPU time, with and without the journal; and compares three
stages with the theoretical optimum.

    cargo build --release -p llmspell-cli
    python3 bench/runs/run.py [RECORDS]        # 1,000,000 by default: two minutes on two cores

Python 3.11, no packages. The output of every run is compared with its input, line by line.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BINARY = HERE.parent.parent / "target" / "release" / "llmspell"


def run(flow, records, folder, *options):
    """Runs a flow and returns wall time, CPU time and peak memory in MB."""
    output = folder / "out.jsonl"
    shown = [] if "--report" in options else ["--quiet"]
    command = [BINARY, "run", HERE / flow, "--input", records, "--output", output, "--force", *shown, *options]
    began = time.monotonic()
    with (folder / "stderr").open("w") as told:
        child = subprocess.Popen([str(part) for part in command], cwd=folder, stderr=told)
        _, status, usage = os.wait4(child.pid, 0)
    took = time.monotonic() - began
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{flow} ended with {os.waitstatus_to_exitcode(status)}")
    return took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output


def check(output, count):
    """Checks that every record has one line, in order."""
    with output.open() as lines:
        for index, line in enumerate(lines):
            if not line.startswith(f'{{"index":{index},'):
                sys.exit(f"line {index + 1} of the output is not that of record {index}: {line[:80]}")
    if index + 1 != count:
        sys.exit(f"{index + 1} lines instead of {count}")


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    if not BINARY.exists():
        sys.exit("build it first: cargo build --release -p llmspell-cli")
    with tempfile.TemporaryDirectory(dir=HERE.parent.parent / "target") as folder:
        folder = pathlib.Path(folder)
        records = folder / "records.jsonl"
        with records.open("w") as file:
            for i in range(count):
                file.write(json.dumps({"id": i, "text": f" record number {i} of the run "}) + "\n")
        few = folder / "few.jsonl"
        few.write_text("".join(f'{{"id":{i}}}\n' for i in range(300)))

        print(f"{count:,} records through three steps\n")
        print("| flow | journal | records/s | CPU µs a record | peak MB | journal MB |")
        print("|---|---|---:|---:|---:|---:|")
        rows = [("million.yaml", "on", ()), ("million.yaml", "off", ("--no-journal",))]
        rows += [("effects.yaml", "on", ("--limit", "1000")), ("effects.yaml", "off", ("--limit", "1000", "--no-journal"))]
        for flow, journal, options in rows:
            took, cpu, peak, output = run(flow, records, folder, *options)
            check(output, count)
            size = sum(file.stat().st_size for file in folder.glob(".llmspell/runs/*.db*")) / 1e6
            for file in folder.glob(".llmspell/runs/*"):
                file.unlink()
            print(f"| {flow} | {journal} | {count / took:,.0f} | {1e6 * cpu / count:.1f} | {peak:.0f} | {size:,.0f} |", flush=True)

        best = 0.1 + 300 / 10 * 0.2 + 0.15
        print("\n300 records through stages of 100, 200 and 150 ms, ten in each, in the order of the input\n")
        print("| journal | the run | of the best | the process, from start to exit | of the best |")
        print("|---|---:|---:|---:|---:|")
        for journal, options in (("on", ()), ("off", ("--no-journal",))):
            process, _, _, output = run("makespan.yaml", few, folder, "--progress", "none", "--report", "json", *options)
            check(output, 300)
            report = (folder / "stderr").read_text().splitlines()
            took = json.loads(next(line for line in report if line.startswith("{")))["took_ms"] / 1000
            print(f"| {journal} | {took:.2f} s | {best / took:.3f} | {process:.2f} s | {best / process:.3f} |", flush=True)


main()
