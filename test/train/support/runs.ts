import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pretrain } from '../../../src/pretrain/pretrain.js';
import type { TrainObserver } from '../../../src/train/observer.js';
import { fakeParts } from './fakeParts.js';
import type { FakeOptions } from './fakeParts.js';

/** Flags of a short run: 23 steps, 5 steps in each epoch, a validation every 4 steps. */
export const shortRun = (out: string): Record<string, string> => ({
  out,
  data: 'nowhere',
  'max-steps': '23',
  'batch-size': '4',
  'micro-batch-size': '2',
  'save-every': '6',
  'valid-every': '4',
  lr: '0.05',
});

export interface FakeRun {
  readonly flags?: Readonly<Record<string, string | undefined>>;
  readonly resume?: boolean;
  readonly fake?: FakeOptions;
  readonly signal?: AbortSignal;
  readonly observer?: TrainObserver;
}

/** Pre-trains in this process with fake parts. */
export async function fakeRun(out: string, { flags = {}, resume = false, fake, signal, observer = {} }: FakeRun = {}) {
  const notes: string[] = [];
  const parts = fakeParts(fake);
  const summary = await pretrain(
    {
      sources: { flags: { ...shortRun(out), ...flags } },
      resume,
      ...(signal ? { signal } : {}),
      observer: { ...observer, note: (text) => notes.push(text) },
    },
    parts,
  );
  return { summary, notes, parts, model: parts.models[0] };
}

/** The metrics of a run, without the values that depend on time. */
export async function metricsOf(out: string): Promise<Record<string, unknown>[]> {
  const text = await readFile(join(out, 'metrics.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => {
      const { samplesPerSecond: _, ...rest } = JSON.parse(line) as Record<string, unknown>;
      return rest;
    });
}

/** The exact contents of the newest checkpoint: its trainer state as text, and the checksums of its other files. */
export async function newestFiles(out: string): Promise<Record<string, string>> {
  const names = [
    'model.safetensors',
    'optimizer-00000.safetensors',
    'config.json',
    'trainer_state.json',
    'answers.json',
    'checksums.json',
  ];
  const files = names.map(async (name) => {
    const bytes = await readFile(join(out, 'checkpoints/last', name));
    return [name, name === 'trainer_state.json' ? bytes.toString() : createHash('sha256').update(bytes).digest('hex')];
  });
  return Object.fromEntries(await Promise.all(files)) as Record<string, string>;
}

/** The entries of a run folder, without TensorBoard's event files. */
export async function filesOf(out: string): Promise<string[]> {
  return (await readdir(out)).filter((name) => !name.startsWith('events.out.tfevents.')).sort();
}
