"""The sizes of the tasks, the durations of their steps, and a probe that counts steps.

The same figures are in ../rust/src/lib.rs, ../rust/src/stages.rs and ../effect/work.mjs.
"""

import asyncio
import json
import sys
import time
from threading import Lock

MAP_ITEMS, MAP_LIMIT = 100_000, 1000
RECORDS, STAGE_LIMIT = 300, 10
TIMEOUT, STUBBORN, ATTEMPTS = 0.100, 0.600, 3
STUBBORN_CALLS, STUBBORN_LIMIT = 6, 2
SOURCE, CONSUMED, LIMIT, HALF_STEP, CONSUMER = 5000, 100, 10, 0.005, 0.020
FALLIBLE, FAILS, FALLIBLE_STEP, AFTERMATH = 200, 5, 0.050, 0.5


def fixed():
    return [[100, 200, 150]] * RECORDS


def scattered():
    """The "minimal standard" of Park and Miller; every program draws the same numbers."""
    seed, records = 42, []
    for stages in fixed():
        record = []
        for millis in stages:
            seed = seed * 48_271 % 2_147_483_647
            record.append(int(millis * (0.2 + 1.6 * seed / 2_147_483_647)))
        records.append(record)
    return records


class Probe:
    """Counts work: its starts and ends, the current number, and the maximum."""

    def __init__(self):
        self.started = self.finished = self.alive = self.most = 0
        self.lock = Lock()  # some work runs in threads

    def __enter__(self):
        with self.lock:
            self.started += 1
            self.alive += 1
            self.most = max(self.most, self.alive)

    def __exit__(self, failed, *_):
        with self.lock:
            self.alive -= 1
            self.finished += failed is None


async def ready(n):
    return n + 1


async def gives_way(n):
    await asyncio.sleep(0)
    return n + 1


def mapped(results, items):
    """Every result counts once."""
    assert sum(results) == items * (items + 1) // 2
    return {}


async def waits_twice(probe):
    """A step of the slow consumer; reports its duration."""
    began = time.monotonic()
    with probe:
        await asyncio.sleep(HALF_STEP)
        await asyncio.sleep(HALF_STEP)
    return time.monotonic() - began


async def fallible(probe, item):
    with probe:
        await asyncio.sleep(FALLIBLE_STEP)
        if item == FAILS:
            raise ValueError("no")
    return item


def block(probe):
    """Work that cannot be stopped, for a thread."""
    with probe:
        time.sleep(STUBBORN)


class Stages:
    """Counts the records of the pipeline, and records their arrival in order."""

    def __init__(self, records):
        self.records = records
        self.probes = [Probe(), Probe(), Probe()]
        self.began = time.monotonic()
        self.first = None
        self.next = 0

    async def work(self, place, number):
        with self.probes[place]:
            await asyncio.sleep(self.records[number][place] / 1000)
        return number

    def arrive(self, number):
        assert number == self.next, "in the order of the inputs"
        self.first = self.first or time.monotonic() - self.began
        self.next += 1

    def said(self):
        assert self.next == RECORDS
        elapsed = time.monotonic() - self.began
        most = max(probe.most for probe in self.probes)
        return {"elapsed_ms": elapsed * 1000, "first_ms": self.first * 1000, "most_in_stage": most}


async def stubborn(call, tried, limited):
    """Measures work that ignores its timeout; each function takes the probe that the work counts in.

    `call` makes one call, `tried` makes it three times, `limited` makes six under a limit of two. All return
    when the caller is free, and fail if a call did not time out.
    """
    said = {}
    for name, run in (("", call), ("retry_", tried), ("limit_", limited)):
        probe, began = Probe(), time.monotonic()
        await run(probe)
        said[f"{name}free_ms"] = (time.monotonic() - began) * 1000
        if not name:
            said["running_then"] = probe.alive
        while probe.alive:
            await asyncio.sleep(0.01)
        said[f"{name}made"] = probe.started
        said[f"{name}most"] = probe.most
    return said


async def aftermath(probe, began):
    """Counts the work after the error is known."""
    known, started, finished = time.monotonic() - began, probe.started, probe.finished
    await asyncio.sleep(AFTERMATH)
    return {
        "error_ms": known * 1000,
        "started_after": probe.started - started,
        "finished_after": probe.finished - finished,
    }


def main(tasks):
    """Runs the task that the command line names, and prints its result as one line of JSON."""
    print(json.dumps(asyncio.run(tasks[sys.argv[1]]())))
