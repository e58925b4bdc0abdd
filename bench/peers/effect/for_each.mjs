// Effect over a collection: `Effect.forEach` with `concurrency`.
//
// https://effect.website/docs/v4/concurrency/basic-concurrency
// https://effect.website/docs/v4/concurrency/semaphore
// https://effect.website/docs/v4/api/effect/Effect

import { Effect, Semaphore } from "effect"
import * as work from "./work.mjs"

const map = (items, step) =>
  Effect.forEach(work.range(items), step, { concurrency: work.MAP_LIMIT }).pipe(
    Effect.map((results) => work.mapped(results.reduce((sum, n) => sum + n, 0), items))
  )

// One fiber per record; it takes a permit of each stage.
const pipeline = (records) =>
  Effect.gen(function*() {
    const stages = new work.Stages(records)
    const permits = yield* Effect.forEach([0, 1, 2], () => Semaphore.make(work.STAGE_LIMIT))
    const through = Effect.fnUntraced(function*(number) {
      for (const place of [0, 1, 2]) {
        yield* permits[place].withPermits(1)(stages.work(place, number))
      }
      return number
    })
    const results = yield* Effect.forEach(work.range(records.length), through, { concurrency: "unbounded" })
    results.forEach((number) => stages.arrive(number))
    return stages.said()
  })

const timeout = () =>
  Effect.gen(function*() {
    const call = (probe) => work.stubborn(probe).pipe(Effect.timeout(work.TIMEOUT))
    const cases = {
      "": call,
      retry_: (probe) => call(probe).pipe(Effect.retry({ times: work.ATTEMPTS - 1 })),
      limit_: (probe) =>
        Effect.forEach(work.range(work.STUBBORN_CALLS), () => Effect.flip(call(probe)), {
          concurrency: work.STUBBORN_LIMIT
        }).pipe(Effect.flip)
    }
    const said = {}
    for (const [name, run] of Object.entries(cases)) {
      const [probe, began] = [new work.Probe(), performance.now()]
      yield* Effect.exit(run(probe))
      said[`${name}free_ms`] = performance.now() - began
      if (name === "") {
        said.running_then = probe.alive
      }
      while (probe.alive > 0) {
        yield* Effect.sleep(10)
      }
      said[`${name}made`] = probe.started
      said[`${name}most`] = probe.most
    }
    return said
  })

const firstError = () => {
  const probe = new work.Probe()
  const items = Effect.forEach(work.range(work.FALLIBLE), (item) => work.fallible(probe, item), {
    concurrency: work.LIMIT
  })
  return work.aftermath(probe, items)
}

await work.main({
  start: () => map(1, work.ready),
  map: () => map(work.MAP_ITEMS, work.ready),
  "map-yield": () => map(work.MAP_ITEMS, work.givesWay),
  pipeline: () => pipeline(work.fixed()),
  "pipeline-scattered": () => pipeline(work.scattered()),
  timeout,
  "first-error": firstError
})
