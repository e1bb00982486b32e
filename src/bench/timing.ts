import type { Engine, OpArgument, OpName, Recording } from '../engine/index.js';

/**
 * Calls are repeated until all calls together take this number of milliseconds, so that the clock's precision and the
 * time of enqueuing have little influence.
 */
const lasting = 10;
const mostCalls = 1000;
/** If the calls take this many milliseconds, they are not captured as a graph, because one launch would save no time. */
const slow = 100;

/** Milliseconds of one replay, until the device has finished it. */
async function take(engine: Engine, recording: Recording): Promise<number> {
  const start = performance.now();
  engine.replay(recording);
  await engine.synchronize();
  return performance.now() - start;
}

/**
 * Milliseconds of one call of an op, measured `takes` times with recorded calls. On CUDA all recorded calls are one launch
 * of a graph.
 */
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
      // The first replay runs the calls one by one, and the second captures a graph. All later replays launch the graph.
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
