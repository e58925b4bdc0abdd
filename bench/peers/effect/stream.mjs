// Effect over a stream: `Stream.mapEffect` with `concurrency`.
//
// https://effect.website/docs/v4/api/effect/Stream

import { Effect, Stream } from "effect"
import * as work from "./work.mjs"

// The order of the results does not matter to a sum.
const map = (items, step) =>
  Stream.fromIterable(work.range(items)).pipe(
    Stream.mapEffect(step, { concurrency: work.MAP_LIMIT, unordered: true }),
    Stream.runFold(() => 0, (sum, n) => sum + n),
    Effect.map((sum) => work.mapped(sum, items))
  )

const pipeline = (records) => {
  const stages = new work.Stages(records)
  const stage = (place) => Stream.mapEffect((number) => stages.work(place, number), { concurrency: work.STAGE_LIMIT })
  return Stream.fromIterable(work.range(records.length)).pipe(
    stage(0),
    stage(1),
    stage(2),
    Stream.runForEach((number) => Effect.sync(() => stages.arrive(number))),
    Effect.map(() => stages.said())
  )
}

const slowConsumer = () => {
  const [probe, began] = [new work.Probe(), performance.now()]
  let longest = 0
  return Stream.fromIterable(work.range(work.SOURCE)).pipe(
    Stream.mapEffect(() => work.waitsTwice(probe), { concurrency: work.LIMIT, unordered: true }),
    Stream.take(work.CONSUMED),
    Stream.runForEach((took) => {
      longest = Math.max(longest, took)
      return Effect.sleep(work.CONSUMER)
    }),
    Effect.map(() => ({
      ahead: probe.started - work.CONSUMED,
      longest_ms: longest,
      elapsed_ms: performance.now() - began
    }))
  )
}

const firstError = () => {
  const probe = new work.Probe()
  const items = Stream.fromIterable(work.range(work.FALLIBLE)).pipe(
    Stream.mapEffect((item) => work.fallible(probe, item), { concurrency: work.LIMIT, unordered: true }),
    Stream.runCollect
  )
  return work.aftermath(probe, items)
}

await work.main({
  map: () => map(work.MAP_ITEMS, work.ready),
  "map-yield": () => map(work.MAP_ITEMS, work.givesWay),
  pipeline: () => pipeline(work.fixed()),
  "pipeline-scattered": () => pipeline(work.scattered()),
  "slow-consumer": slowConsumer,
  "first-error": firstError
})
