"""asyncio, one task per item: `TaskGroup` with a `Semaphore`.

https://docs.python.org/3/library/asyncio-task.html#task-groups
https://docs.python.org/3/library/asyncio-sync.html#semaphore
"""

import asyncio
import time

import work


async def map_items(items, step):
    limit = asyncio.Semaphore(work.MAP_LIMIT)

    async def limited(n):
        async with limit:
            return await step(n)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(limited(n)) for n in range(items)]
    return work.mapped((task.result() for task in tasks), items)


async def pipeline(records):
    stages = work.Stages(records)
    limits = [asyncio.Semaphore(work.STAGE_LIMIT) for _ in range(3)]

    async def through(number):
        for place, limit in enumerate(limits):
            async with limit:
                await stages.work(place, number)
        return number

    tasks = [asyncio.create_task(through(number)) for number in range(len(records))]
    for task in tasks:
        stages.arrive(await task)
    return stages.said()


async def timeout():
    """A thread: `asyncio.timeout` around `asyncio.to_thread`."""

    async def call(probe):
        try:
            async with asyncio.timeout(work.TIMEOUT):
                await asyncio.to_thread(work.block, probe)
        except TimeoutError:
            return False
        return True

    return await calls(call)


async def timeout_swallowed():
    """A coroutine that continues when it is cancelled."""

    async def ignores(probe):
        ends = time.monotonic() + work.STUBBORN
        with probe:
            while (left := ends - time.monotonic()) > 0:
                try:
                    await asyncio.sleep(left)
                except asyncio.CancelledError:
                    pass

    async def call(probe):
        try:
            async with asyncio.timeout(work.TIMEOUT):
                await ignores(probe)
        except TimeoutError:
            return False
        return True

    return await calls(call)


async def calls(call):
    async def tried(probe):
        for _ in range(work.ATTEMPTS):
            if await call(probe):
                break

    async def limited(probe):
        limit = asyncio.Semaphore(work.STUBBORN_LIMIT)

        async def one():
            async with limit:
                await call(probe)

        async with asyncio.TaskGroup() as group:
            for _ in range(work.STUBBORN_CALLS):
                group.create_task(one())

    return await work.stubborn(call, tried, limited)


async def slow_consumer():
    """`asyncio.as_completed`: asyncio's results in order of completion."""
    probe, limit, began, longest = work.Probe(), asyncio.Semaphore(work.LIMIT), time.monotonic(), 0

    async def limited():
        async with limit:
            return await work.waits_twice(probe)

    consumed = 0
    for result in asyncio.as_completed([limited() for _ in range(work.SOURCE)]):
        longest = max(longest, await result)
        await asyncio.sleep(work.CONSUMER)
        consumed += 1
        if consumed == work.CONSUMED:
            break
    return {
        "ahead": probe.started - consumed,
        "longest_ms": longest * 1000,
        "elapsed_ms": (time.monotonic() - began) * 1000,
    }


async def first_error():
    probe, limit, began = work.Probe(), asyncio.Semaphore(work.LIMIT), time.monotonic()

    async def limited(item):
        async with limit:
            return await work.fallible(probe, item)

    try:
        async with asyncio.TaskGroup() as group:
            for item in range(work.FALLIBLE):
                group.create_task(limited(item))
    except* ValueError:
        said = await work.aftermath(probe, began)
    return said


work.main(
    {
        "start": lambda: map_items(1, work.ready),
        "map": lambda: map_items(work.MAP_ITEMS, work.ready),
        "map-yield": lambda: map_items(work.MAP_ITEMS, work.gives_way),
        "pipeline": lambda: pipeline(work.fixed()),
        "pipeline-scattered": lambda: pipeline(work.scattered()),
        "timeout": timeout,
        "timeout-swallowed": timeout_swallowed,
        "slow-consumer": slow_consumer,
        "first-error": first_error,
    }
)
