import { expect, test } from '@jest/globals';
import type { TaskName } from '../../src/config/runConfig.js';
import type { Batch } from '../../src/data/batches/batch.js';
import type { BatchPosition } from '../../src/data/batches/batching.js';
import { scheduledSource } from '../../src/pretrain/scheduledSource.js';
import { fakeBatch, fakeSource } from './support/fakeParts.js';

/** Sources whose batches tell which tasks they are prepared for, and what was opened and given back. */
function recorded() {
  const released: string[] = [];
  const opened: string[] = [];
  const given: Batch[] = [];
  const open = (tasks: readonly TaskName[]) => {
    const name = tasks.join('+');
    opened.push(name);
    return {
      ...fakeSource({ batchesPerEpoch: 2 }),
      async *train({ epoch, batch }: BatchPosition) {
        for (let at = 2 * epoch + batch; ; at++) {
          const part = fakeBatch(name, at);
          given.push(part);
          yield { position: { epoch: Math.floor(at / 2), batch: at % 2 }, parts: [part] };
        }
      },
      release: (batch: Batch) => void released.push(`${name} ${batch.sampleIds[0]}`),
    };
  };
  return { open, opened, released, given };
}

const all = ['maskedLm', 'matched'] as const;
const schedule = {
  all,
  tasksOn: (epoch: number): readonly TaskName[] => (epoch < 1 || epoch >= 3 ? all : ['matched']),
  changes: [0, 1, 3],
};

async function take(source: ReturnType<typeof scheduledSource>, from: BatchPosition, count: number) {
  const seen: string[] = [];
  for await (const { position, parts } of source.train(from)) {
    seen.push(`${position.epoch}.${position.batch} ${parts[0].sampleIds[0]} ${parts[0].tokenIds[1]}`);
    parts.forEach((part) => source.release(part));
    if (seen.length === count) break;
  }
  return seen;
}

test('every epoch comes from the data prepared for its tasks, wherever one begins', async () => {
  const { open, opened, released, given } = recorded();
  const source = scheduledSource({ ...schedule, open });
  const expected = [
    '0.0 maskedLm+matched/a 0',
    '0.1 maskedLm+matched/a 1',
    '1.0 matched/a 2',
    '1.1 matched/a 3',
    '2.0 matched/a 4',
    '2.1 matched/a 5',
    '3.0 maskedLm+matched/a 6',
    '3.1 maskedLm+matched/a 7',
  ];
  expect(await take(source, { epoch: 0, batch: 0 }, 8)).toEqual(expected);
  for (let at = 1; at < 8; at++)
    expect(await take(source, { epoch: Math.floor(at / 2), batch: at % 2 }, 8 - at)).toEqual(expected.slice(at));
  expect(opened).toEqual(['maskedLm+matched', 'matched']);
  // Each batch goes back to the data that it came from, those beyond a border too.
  expect(released).toHaveLength(given.length);
  for (const text of released) expect(text).toMatch(/^(.*) \1\/a$/);
});

test('data whose tasks never change are used as they are', () => {
  const { open, opened } = recorded();
  const source = scheduledSource({ all, open, tasksOn: () => [...all].reverse(), changes: [0] });
  expect(opened).toEqual(['maskedLm+matched']);
  expect(Object.keys(source)).toEqual(Object.keys(fakeSource()));
});
