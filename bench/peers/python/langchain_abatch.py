"""LangChain, all results together: `abatch` with `max_concurrency`.

https://reference.langchain.com/python/langchain-core/runnables/base/Runnable/abatch
https://reference.langchain.com/python/langchain-core/runnables/config/RunnableConfig/max_concurrency
"""

import asyncio
import time

from langchain_core.runnables import RunnableLambda

import work


async def map_items(items, step):
    results = await RunnableLambda(step).abatch(list(range(items)), config={"max_concurrency": work.MAP_LIMIT})
    return work.mapped(results, items)


def chain(stages):
    """The stages as a sequence of runnables."""

    def stage(place):
        async def run(number):
            return await stages.work(place, number)

        return RunnableLambda(run)

    return stage(0) | stage(1) | stage(2)


async def pipeline(records, limit):
    """A stage has no limit; the limit of the call bounds the stages if it is the same."""
    stages = work.Stages(records)
    for number in await chain(stages).abatch(list(range(len(records))), config={"max_concurrency": limit}):
        stages.arrive(number)
    return stages.said()


async def timeout():
    """Runnables have no timeout, so Python's timeout is inside one; a blocking function runs in a thread."""

    def bounded(probe):
        async def run(_):
            async with asyncio.timeout(work.TIMEOUT):
                await RunnableLambda(work.block).ainvoke(probe)

        return RunnableLambda(run)

    async def call(probe):
        await fails(bounded(probe).ainvoke(0))

    async def tried(probe):
        retried = bounded(probe).with_retry(
            retry_if_exception_type=(TimeoutError,),
            stop_after_attempt=work.ATTEMPTS,
            wait_exponential_jitter=False,
        )
        await fails(retried.ainvoke(0))

    async def limited(probe):
        results = await bounded(probe).abatch(
            list(range(work.STUBBORN_CALLS)),
            config={"max_concurrency": work.STUBBORN_LIMIT},
            return_exceptions=True,
        )
        assert all(isinstance(result, TimeoutError) for result in results)

    async def fails(run):
        try:
            await run
        except TimeoutError:
            return
        raise AssertionError("it did not time out")

    return await work.stubborn(call, tried, limited)


async def first_error():
    probe, began = work.Probe(), time.monotonic()

    async def run(item):
        return await work.fallible(probe, item)

    try:
        await RunnableLambda(run).abatch(list(range(work.FALLIBLE)), config={"max_concurrency": work.LIMIT})
    except ValueError:
        return await work.aftermath(probe, began)
    raise AssertionError("the error comes out")


if __name__ == "__main__":
    work.main(
        {
            "start": lambda: map_items(1, work.ready),
            "map": lambda: map_items(work.MAP_ITEMS, work.ready),
            "map-yield": lambda: map_items(work.MAP_ITEMS, work.gives_way),
            "pipeline": lambda: pipeline(work.fixed(), work.STAGE_LIMIT),
            "pipeline-scattered": lambda: pipeline(work.scattered(), work.STAGE_LIMIT),
            "pipeline-of-30": lambda: pipeline(work.fixed(), 3 * work.STAGE_LIMIT),
            "pipeline-scattered-of-30": lambda: pipeline(work.scattered(), 3 * work.STAGE_LIMIT),
            "timeout": timeout,
            "first-error": first_error,
        }
    )
