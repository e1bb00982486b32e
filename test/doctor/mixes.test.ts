import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { planRun } from '../../src/doctor/index.js';
import { writeScenes } from '../../src/scenes/index.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'doctor-mixes-'));
  await writeScenes({ out: join(folder, 'data'), images: 20, seed: 1, pictures: 0 });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Bytes of the arenas whose size depends on the batch. */
async function roomOf(more: Readonly<Record<string, string>>, steps = 0): Promise<number> {
  const flags = { data: join(folder, 'data'), device: 'cpu', 'batch-size': '8', epochs: '3', workers: '0', ...more };
  const { memory } = await planRun({ sources: { flags, preset: 'tiny' }, steps });
  return (memory.arenas.workspace ?? 0) + (memory.arenas.inputs ?? 0);
}

test('the planned memory is that of the epoch with the largest need, even if this epoch comes late', async () => {
  const always = await roomOf({});
  // The limit is 0.95, because batches of different epochs differ a little in size.
  const schedules: Record<string, string>[] = [
    { 'masked-lm-from-epoch': '1' },
    { 'masked-lm-to-epoch': '1' },
    { 'qa-from-epoch': '2' },
  ];
  for (const schedule of schedules) expect(await roomOf(schedule)).toBeGreaterThan(0.95 * always);
  // An epoch with fewer losses may need more memory than an epoch with many losses.
  const words = await roomOf({
    'matched-from-epoch': '2',
    'qa-from-epoch': '2',
    'objects-from-epoch': '2',
    'masked-lm-to-epoch': '2',
  });
  expect(words).toBeGreaterThan(1.05 * (await roomOf({ tasks: 'matched,qa,objects' })));
});

test('an epoch after the end of the run does not count', async () => {
  const without = await roomOf({ tasks: 'matched,qa' });
  expect(await roomOf({ tasks: 'maskedLm,matched,qa', 'masked-lm-from-epoch': '3' })).toBeLessThan(1.05 * without);
});

test('the disk space includes checkpoints that are never removed', async () => {
  const flags = {
    data: join(folder, 'data'),
    device: 'cpu',
    'batch-size': '8',
    epochs: '7',
    keep: '1',
    'keep-every': '2',
  };
  const { disk } = await planRun({ sources: { flags, preset: 'tiny' }, steps: 0 });
  // The checkpoints: the newest, the best, three that are never removed, and the one that is being written.
  expect(disk.checkpoints).toBe(6);
});
