// The sizes of the tasks, the durations of their steps, and a probe that counts steps.
//
// The same figures are in ../rust/src/lib.rs, ../rust/src/stages.rs and ../python/work.py.

import assert from "node:assert/strict"
import { Effect } from "effect"

export const MAP_ITEMS = 100_000
export const MAP_LIMIT = 1000
export const RECORDS = 300
export const STAGE_LIMIT = 10
export const TIMEOUT = 100
export const STUBBORN = 600
export const ATTEMPTS = 3
export const STUBBORN_CALLS = 6
export const STUBBORN_LIMIT = 2
export const SOURCE = 5000
export const CONSUMED = 100
export const LIMIT = 10
export const HALF_STEP = 5
export const CONSUMER = 20
export const FALLIBLE = 200
export const FAILS = 5
export const FALLIBLE_STEP = 50
export const AFTERMATH = 500

export const range = (count) => Array.from({ length: count }, (_, n) => n)

export const fixed = () => range(RECORDS).map(() => [100, 200, 150])

// The "minimal standard" of Park and Miller; every program draws the same numbers.
export const scattered = () => {
  let seed = 42
  const draw = (millis) => {
    seed = (seed * 48_271) % 2_147_483_647
    return Math.floor(millis * (0.2 + (1.6 * seed) / 2_147_483_647))
  }
  return fixed().map((stages) => stages.map(draw))
}

// Counts work: its starts and ends, the current number, and the maximum.
export class Probe {
  started = 0
  finished = 0
  alive = 0
  most = 0

  enter() {
    this.started += 1
    this.alive += 1
    this.most = Math.max(this.most, this.alive)
  }

  // Runs `work` under this probe; interrupted work does not count as finished.
  around(work) {
    const begin = Effect.sync(() => this.enter())
    const finish = Effect.tap(work, () => Effect.sync(() => (this.finished += 1)))
    return Effect.andThen(begin, Effect.ensuring(finish, Effect.sync(() => (this.alive -= 1))))
  }
}

export const ready = (n) => Effect.succeed(n + 1)

export const givesWay = (n) => Effect.as(Effect.yieldNow, n + 1)

// Every result counts once.
export const mapped = (sum, items) => {
  assert.equal(sum, (items * (items + 1)) / 2)
  return {}
}

// A step of the slow consumer; reports its duration.
export const waitsTwice = (probe) =>
  Effect.gen(function*() {
    const began = performance.now()
    yield* probe.around(Effect.andThen(Effect.sleep(HALF_STEP), Effect.sleep(HALF_STEP)))
    return performance.now() - began
  })

export const fallible = (probe, item) =>
  probe.around(Effect.andThen(Effect.sleep(FALLIBLE_STEP), item === FAILS ? Effect.fail("no") : Effect.succeed(item)))

// A promise that ignores its abort signal.
export const stubborn = (probe) =>
  Effect.tryPromise(async () => {
    probe.enter()
    await new Promise((resolve) => setTimeout(resolve, STUBBORN))
    probe.alive -= 1
    probe.finished += 1
  })

// Counts the records of the pipeline, and records their arrival in order.
export class Stages {
  probes = [new Probe(), new Probe(), new Probe()]
  began = performance.now()
  first
  next = 0

  constructor(records) {
    this.records = records
  }

  work(place, number) {
    return Effect.as(this.probes[place].around(Effect.sleep(this.records[number][place])), number)
  }

  arrive(number) {
    assert.equal(number, this.next, "in the order of the inputs")
    this.first ??= performance.now() - this.began
    this.next += 1
  }

  said() {
    assert.equal(this.next, RECORDS)
    const most = Math.max(...this.probes.map((probe) => probe.most))
    return { elapsed_ms: performance.now() - this.began, first_ms: this.first, most_in_stage: most }
  }
}

// Counts the work after the error of `work` is known.
export const aftermath = (probe, work) =>
  Effect.gen(function*() {
    const began = performance.now()
    yield* Effect.flip(work)
    const [known, started, finished] = [performance.now() - began, probe.started, probe.finished]
    yield* Effect.sleep(AFTERMATH)
    return { error_ms: known, started_after: probe.started - started, finished_after: probe.finished - finished }
  })

// Runs the task that the command line names, and prints its result as one line of JSON.
export const main = async (tasks) => {
  console.log(JSON.stringify(await Effect.runPromise(tasks[process.argv[2]]())))
}
