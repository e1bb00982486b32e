/** Saves checkpoints of steps 1, 2, … into the given folder without end, and prints each saved step. */
import { CheckpointStore } from '../../../src/train/checkpointStore.js';
import { FakeModel } from './fakeModel.js';
import { stateAt } from './states.js';

const store = new CheckpointStore(process.argv[2], { keep: 2 });
const model = new FakeModel({ ballast: 300_000 });
await store.prepare();
const first = ((await store.steps()).at(-1) ?? 0) + 1;
for (let step = first; ; step++) {
  // Every number of a checkpoint is derived from its step, so a mixture of two checkpoints is found.
  for (const { name, shape } of model.parameters) {
    const values = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(step);
    for (const kind of ['parameter', 'firstMoment', 'secondMoment'] as const) await model.write(kind, name, values);
  }
  const best = step % 3 === 0 ? step : Math.max(1, step - (step % 3));
  await store.save({
    model,
    state: stateAt(step, { best: { step: best, loss: 1 } }),
    files: { 'config.json': '{}\n' },
  });
  process.stdout.write(`saved ${step}\n`);
}
