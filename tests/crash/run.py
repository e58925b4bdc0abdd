#!/usr/bin/env python3
"""Kills a run repeatedly at random instants and resumes it. Checks that no record is lost or duplicated, and that no
more calls are repeated than were in flight.

    cargo build --release -p llmspell-cli
    python3 tests/crash/run.py                      # 200 kills over 10,000 records, some minutes
    python3 tests/crash/run.py --kills 12 --records 1000 --binary target/debug/llmspell

The flow calls a server in this script, which counts its calls, rejects some for ever (400) and some once (503). After
the last kill the run finishes, and its output must be the same as without any kill. Python 3.11, no packages. `--seed`
repeats the instants.
"""

import argparse
import asyncio
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# The maximum number of records in flight.
LIMIT = 32


def is_refused(record):
    """3 in 100 records fail for ever."""
    return record % 100 in (7, 42, 93)


class Server:
    """Counts the calls of each step for each record, by the session of the run that made them."""

    def __init__(self):
        self.session = 0
        self.calls = {}
        self.refused_once = set()
        self.ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True).start()
        self.ready.wait()

    async def serve(self):
        server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        await server.serve_forever()

    async def talk(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = 0
                for line in head.split("\r\n"):
                    if line.lower().startswith("content-length:"):
                        length = int(line.split(":")[1])
                body = (await reader.readexactly(length)).decode() if length else ""
                _, step, record = head.split(" ")[1].split("/")
                status, text = await self.answer(step, int(record), body)
                writer.write(f"HTTP/1.1 {status} X\r\ncontent-type: text/plain\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, step, record, body):
        self.calls.setdefault((step, record), []).append(self.session)
        await asyncio.sleep(random.random() * 0.01)
        if step == "store" and is_refused(record):
            return 400, "never"
        if record % 10 == 3 and (step, record) not in self.refused_once:
            self.refused_once.add((step, record))
            return 503, "later"
        return 200, f"word {record}" if step == "fetch" else f"stored {body}"

    def repeated(self, session):
        """The number of calls that were made up to this session and repeated after it."""
        again = 0
        for sessions in self.calls.values():
            again += any(made <= session for made in sessions) and any(made > session for made in sessions)
        return again


def fail(text):
    sys.exit(f"FAILED: {text}")


def check(output, records):
    """Checks that the output is the same as without any kill."""
    lines = output.read_text().splitlines()
    if len(lines) != records:
        fail(f"{len(lines)} lines for {records} records")
    for record, line in enumerate(lines):
        row = json.loads(line)
        if row["index"] != record or row["line"] != record + 1:
            fail(f"line {record + 1} is that of record {row['index']}, line {row['line']}")
        if is_refused(record) != (row["status"] == "failed"):
            fail(f"record {record} is {row['status']}")
        expected = {"word": f"WORD {record}", "stored": f"stored WORD {record}"}
        if row["status"] == "ok" and row["output"] != expected:
            fail(f"record {record} has the output {row['output']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target" / "release" / "llmspell")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    args = parser.parse_args()
    args.binary = args.binary.resolve()
    if not args.binary.exists():
        sys.exit(f"{args.binary} is not there: build it first")
    random.seed(args.seed)
    server = Server()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        records, output = folder / "records.jsonl", folder / "out.jsonl"
        records.write_text("".join(json.dumps({"id": i, "port": server.port}) + "\n" for i in range(args.records)))
        grant = ["--allow", "net=127.0.0.1", "--quiet"]
        first = [args.binary, "run", HERE / "flow.yaml", "--input", records, "--output", output, "--limit", LIMIT, *grant]
        again = [args.binary, "resume", "crash-1", "--limit", LIMIT, *grant]
        kills, worst = 0, 0
        # Kills are spread over the whole run, and some come immediately.
        pace = 1.2 * args.records * 2 * 0.006 / 16 / args.kills
        while True:
            # The run was killed before it started, so it cannot be resumed.
            begun = any(folder.glob(".llmspell/runs/*.db"))
            command = [str(part) for part in (again if begun else first)]
            run = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, start_new_session=True)
            try:
                last = None if kills >= args.kills else 0.02 + random.expovariate(1 / pace)
                _, told = run.communicate(timeout=last)
                if begun and b"killed before it began" in told:
                    subprocess.run([args.binary, "runs", "rm", "crash-1"], cwd=folder, check=True, capture_output=True)
                    continue
                if run.returncode not in (0, 3):
                    fail(f"the run ended with {run.returncode}: {told.decode()}")
                break
            except subprocess.TimeoutExpired:
                os.killpg(run.pid, signal.SIGKILL)
                run.communicate()
                kills += 1
                server.session += 1
        check(output, args.records)
        for session in range(kills):
            worst = max(worst, server.repeated(session))
        if worst > LIMIT:
            fail(f"{worst} calls were made again after one kill; {LIMIT} records were in flight")
        left = sorted(path.name for path in folder.iterdir())
        if left != [".llmspell", "out.jsonl", "records.jsonl"]:
            fail(f"left behind: {left}")
        calls = sum(len(sessions) for sessions in server.calls.values())
        took = time.monotonic() - began
        print(f"{args.records:,} records, {kills} kills in {took:.0f} s (seed {args.seed}): none lost, none doubled;")
        print(f"{calls:,} calls; at most {worst} made again after a kill, of {LIMIT} records in flight")


main()
