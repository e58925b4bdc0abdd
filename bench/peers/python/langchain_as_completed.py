"""LangChain, results in order of completion: `abatch_as_completed` with `max_concurrency`.

https://reference.langchain.com/python/langchain-core/runnables/base/Runnable/abatch_as_completed
"""

import asyncio
import time

from langchain_core.runnables import RunnableLambda

import work
from langchain_abatch import chain


async def map_items(items, step):
    config = {"max_concurrency": work.MAP_LIMIT}
    results = RunnableLambda(step).abatch_as_completed(list(range(items)), config=config)
    return work.mapped([result async for _, result in results], items)


async def pipeline(records):
    stages, early = work.Stages(records), set()
    config = {"max_concurrency": work.STAGE_LIMIT}
    async for number, _ in chain(stages).abatch_as_completed(list(range(len(records))), config=config):
        early.add(number)
        while stages.next in early:
            early.remove(stages.next)
            stages.arrive(stages.next)
    return stages.said()


async def slow_consumer():
    probe, began, longest, consumed = work.Probe(), time.monotonic(), 0, 0

    async def run(_):
        return await work.waits_twice(probe)

    config = {"max_concurrency": work.LIMIT}
    async for _, took in RunnableLambda(run).abatch_as_completed(list(range(work.SOURCE)), config=config):
        longest = max(longest, took)
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
    probe, began = work.Probe(), time.monotonic()

    async def run(item):
        return await work.fallible(probe, item)

    config = {"max_concurrency": work.LIMIT}
    try:
        async for _ in RunnableLambda(run).abatch_as_completed(list(range(work.FALLIBLE)), config=config):
            pass
    except ValueError:
        return await work.aftermath(probe, began)
    raise AssertionError("the error comes out")


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
