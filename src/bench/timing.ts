import type { Engine, OpArgument, OpName, Recording } from '../engine/index.js';

/** Calls are repeated until they last so long, in milliseconds: then neither the clock nor the way to the device counts. */
const lasting = 10;
const mostCalls = 1000;
/** What takes so long gains nothing from being made one launch. */
const slow = 100;

/** Milliseconds of one replay, waited for. */
async function take(engine: Engine, recording: Recording): Promise<number> {
  const start = performance.now();
  engine.replay(recording);
  await engine.synchronize();
  return performance.now() - start;
}

/** Milliseconds that one call of an op takes, measured so often, on recorded calls: on CUDA they are one launch of a graph. */
export async function timeCalls(
  engine: Engine,
  op: OpName,
  args: readonly OpArgument[],
  takes: number,
): Promise<number[]> {
  for (let calls = 1; ;) {
    const recording = engine.record(() => {
      for (let i = 0; i < calls; i++) engine.run(op, args);
    });
    try {
      // One by one first, then as a graph that is made on the way; the third time is like all others.
      let milliseconds = await take(engine, recording);
      for (let i = 0; i < 2 && milliseconds < slow; i++) milliseconds = await take(engine, recording);
      if (milliseconds < lasting / 2 && calls < mostCalls) {
        calls = Math.min(mostCalls, Math.ceil((calls * lasting) / milliseconds));
        continue;
      }
      const times: number[] = [];
      while (times.length < takes) times.push((await take(engine, recording)) / calls);
      return times;
    } finally {
      engine.forget(recording);
    }
  }
}
