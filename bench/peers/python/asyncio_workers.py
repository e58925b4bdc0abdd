"""asyncio, a fixed number of workers that take from a `Queue`.

https://docs.python.org/3/library/asyncio-queue.html#examples
"""

import asyncio
import time

import work


async def pool(count, take, queue):
    """Workers that end when the filled queue is empty; the first failure cancels the others."""

    async def worker():
        while not queue.empty():
            await take(queue.get_nowait())

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(worker())


def filled(items):
    queue = asyncio.Queue()
    for item in range(items):
        queue.put_nowait(item)
    return queue


async def map_items(items, step):
    results = []

    async def take(n):
        results.append(await step(n))

    await pool(work.MAP_LIMIT, take, filled(items))
    return work.mapped(results, items)


async def pipeline(records):
    """Workers for each stage, behind a queue with as many places as workers."""
    stages = work.Stages(records)
    source = filled(len(records))
    first, second, done = (asyncio.Queue(maxsize=work.STAGE_LIMIT) for _ in range(3))

    async def worker(place, inputs, outputs):
        while True:
            number = await inputs.get()
            await stages.work(place, number)
            await outputs.put(number)

    workers = [
        asyncio.create_task(worker(place, inputs, outputs))
        for place, (inputs, outputs) in enumerate([(source, first), (first, second), (second, done)])
        for _ in range(work.STAGE_LIMIT)
    ]
    early = set()
    for _ in records:
        early.add(await done.get())
        while stages.next in early:
            early.remove(stages.next)
            stages.arrive(stages.next)
    for task in workers:
        task.cancel()
    return stages.said()


async def slow_consumer():
    """A queue of results with as many places as workers."""
    probe, began, longest = work.Probe(), time.monotonic(), 0
    source, results = filled(work.SOURCE), asyncio.Queue(maxsize=work.LIMIT)

    async def take(_):
        await results.put(await work.waits_twice(probe))

    workers = asyncio.create_task(pool(work.LIMIT, take, source))
    for _ in range(work.CONSUMED):
        longest = max(longest, await results.get())
        await asyncio.sleep(work.CONSUMER)
    ahead = probe.started - work.CONSUMED
    workers.cancel()
    return {"ahead": ahead, "longest_ms": longest * 1000, "elapsed_ms": (time.monotonic() - began) * 1000}


async def first_error():
    probe, began = work.Probe(), time.monotonic()

    async def take(item):
        await work.fallible(probe, item)

    try:
        await pool(work.LIMIT, take, filled(work.FALLIBLE))
    except* ValueError:
        said = await work.aftermath(probe, began)
    return said


work.main(
    {
        "map": lambda: map_items(work.MAP_ITEMS, work.ready),
        "map-yield": lambda: map_items(work.MAP_ITEMS, work.gives_way),
        "pipeline": lambda: pipeline(work.fixed()),
        "pipeline-scattered": lambda: pipeline(work.scattered()),
        "slow-consumer": slow_consumer,
        "first-error": first_error,
    }
)
