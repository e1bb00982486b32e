/** Signals before the first step: while data are opened, features are loaded, or weights are initialised or read. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdtemp, open, readFile, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeScenes } from '../../src/scenes/index.js';
import type { FeatureTable } from '../../src/data/features/residentFeatures.js';
import type { LoadOptions } from '../../src/step/featureTable.js';
import { pretrain } from '../../src/pretrain/pretrain.js';
import type { StateKind } from '../../src/train/trainable.js';
import type { PretrainParts } from '../../src/pretrain/parts.js';
import { CompiledCopy } from './support/compile.js';
import type { RunningProcess } from './support/compile.js';
import { FakeModel } from './support/fakeModel.js';
import { fakeParts } from './support/fakeParts.js';
import { fakeRun, filesOf, metricsOf, newestFiles, shortRun } from './support/runs.js';

let folder: string;
let serial = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'interrupt-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const fresh = () => join(folder, `run-${serial++}`);

type Stage = 'data' | 'model' | 'features' | 'weights';

/** A fake model that calls `reach` before each stage. */
class WatchedModel extends FakeModel {
  constructor(private readonly reach: (stage: Stage) => void) {
    super();
  }

  override async loadFeatures(_: FeatureTable, { signal }: LoadOptions = {}): Promise<void> {
    this.reach('features');
    signal?.throwIfAborted();
  }

  override async initialize(seed: number): Promise<void> {
    this.reach('weights');
    await super.initialize(seed);
  }
}

function watchedParts(reach: (stage: Stage) => void): PretrainParts {
  const parts = fakeParts();
  const pieces = () => {
    throw new Error('nobody reads it');
  };
  const table: FeatureTable = { rows: 4000, featureDim: 250, sharedRows: 2000, pieces };
  return {
    openData: async (config, { signal } = {}) => {
      reach('data');
      signal?.throwIfAborted();
      return { ...(await parts.openData(config)), table };
    },
    openModel: async () => {
      reach('model');
      return new WatchedModel(reach);
    },
  };
}

/** A run that gets its signal when the given stage begins. */
async function interruptedRun(out: string, at: Stage | undefined, resume = false) {
  const controller = new AbortController();
  const reached: Stage[] = [];
  const notes: string[] = [];
  const parts = watchedParts((stage) => {
    reached.push(stage);
    if (stage === at) controller.abort();
  });
  const observer = { note: (text: string) => notes.push(text) };
  const request = { sources: { flags: shortRun(out) }, resume, observer, signal: controller.signal };
  return { summary: await pretrain(request, parts), reached, notes };
}

const stages: readonly Stage[] = ['data', 'model', 'features', 'weights'];

describe('a signal before the first step', () => {
  test.each(stages)('ends a new run without writing anything: %s', async (stage) => {
    const [out, straight] = [fresh(), fresh()];
    const { summary, reached } = await interruptedRun(out, stage);
    expect(summary).toEqual({ step: 0, finished: false, stoppedEarly: false });
    expect(reached).toEqual(stages.slice(0, stages.indexOf(stage) + 1));
    expect(await filesOf(out)).toEqual([]);
    // The same command works again without --resume, because nothing was written.
    await interruptedRun(out, undefined);
    await fakeRun(straight);
    expect(await metricsOf(out)).toEqual(await metricsOf(straight));
    expect(await newestFiles(out)).toEqual(await newestFiles(straight));
  });

  test.each(['data', 'model', 'features'] as const)(
    'does not change a run that is being resumed: %s',
    async (stage) => {
      const [out, straight] = [fresh(), fresh()];
      await expect(fakeRun(out, { fake: { failAfter: 15 } })).rejects.toThrow('cut short');
      const before = [await filesOf(out), await metricsOf(out), await newestFiles(out)];
      const { summary } = await interruptedRun(out, stage, true);
      const checkpoint = join(out, 'checkpoints', 'step-00000012');
      expect(summary).toMatchObject({ step: 12, totalSteps: 23, finished: false, stoppedEarly: false, checkpoint });
      expect([await filesOf(out), await metricsOf(out), await newestFiles(out)]).toEqual(before);
      await interruptedRun(out, undefined, true);
      await fakeRun(straight);
      expect(await metricsOf(out)).toEqual(await metricsOf(straight));
      expect(await newestFiles(out)).toEqual(await newestFiles(straight));
    },
  );

  test('ends the run while a checkpoint is read', async () => {
    const out = fresh();
    await expect(fakeRun(out, { fake: { failAfter: 15 } })).rejects.toThrow('cut short');
    const controller = new AbortController();
    const written: string[] = [];
    class Interrupted extends FakeModel {
      override async write(_: StateKind, name: string): Promise<void> {
        written.push(name);
        controller.abort();
      }
    }
    const parts = { ...fakeParts(), openModel: async () => new Interrupted() };
    const request = { sources: { flags: shortRun(out) }, resume: true, signal: controller.signal };
    expect(await pretrain(request, parts)).toMatchObject({ step: 12, finished: false });
    expect(new Set(written).size).toBe(1);
  });

  test('does not hide an error', async () => {
    const controller = new AbortController();
    const openData = () => {
      controller.abort();
      return Promise.reject(new Error('the disk is broken'));
    };
    const request = { sources: { flags: shortRun(fresh()) }, signal: controller.signal };
    await expect(pretrain(request, { ...fakeParts(), openData })).rejects.toThrow('the disk is broken');
  });

  test('a note says which features two splits share', async () => {
    const { notes } = await interruptedRun(fresh(), undefined);
    expect(notes.find((text) => text.startsWith('features of'))).toMatch(
      /^features of 4,000 objects are on the device: 2 MB of float16, loaded in .* s; training and validation share 2,000 objects, which saves 1 MB$/,
    );
  });
});

describe('the command, while it waits for its data', () => {
  let copy: CompiledCopy;
  let data: string;
  beforeAll(async () => {
    copy = await CompiledCopy.make();
    data = join(folder, 'scenes');
    await writeScenes({ out: data, images: 12, featureDim: 16, pictures: 0 });
    await rename(join(data, 'train.json'), join(data, 'sentences.json'));
  });
  afterAll(() => copy.remove());

  const start = (out: string, ...more: string[]) => {
    const model = ['--hidden-size', '32', '--num-attention-heads', '2', '--intermediate-size', '32'];
    const run = ['--preset', 'tiny', '--threads', '1', '--valid', 'none', '--max-steps', '2', '--batch-size', '4'];
    return copy.start('src/cli/main.js', ['pretrain', '--data', data, '--out', out, ...run, ...model, ...more]);
  };

  const hasEnded = ({ child }: RunningProcess) => child.exitCode !== null || child.signalCode !== null;

  /** Opens the pipe that replaces the file of sentences as soon as the run opens it. */
  async function pipeTo(run: RunningProcess, path: string): Promise<FileHandle> {
    for (;;) {
      // ENXIO: no process reads from the pipe yet.
      const pipe = await open(path, constants.O_WRONLY | constants.O_NONBLOCK).catch(() => undefined);
      if (pipe) return pipe;
      if (hasEnded(run)) throw new Error(`ended before it read: ${run.errors}`);
      await new Promise((done) => setTimeout(done, 5));
    }
  }

  async function told(run: RunningProcess, text: string): Promise<void> {
    while (!run.errors.includes(text)) {
      if (hasEnded(run)) throw new Error(`ended without a word: ${run.errors}`);
      await new Promise((done) => setTimeout(done, 5));
    }
  }

  test('ends with code 130 after the next piece of data; a second signal ends it even if no piece comes', async () => {
    const [path, out] = [join(data, 'train.json'), fresh()];
    const sentences = await readFile(join(data, 'sentences.json'));
    execFileSync('mkfifo', [path]);
    const once = start(out);
    const pipe = await pipeTo(once, path);
    once.kill('SIGINT');
    await told(once, 'SIGINT: stops loading; a second signal ends it at once');
    await pipe.write(sentences.subarray(0, 100));
    expect(await once.ended).toBe(130);
    await pipe.close();
    expect(once.lines).toEqual(['Stopped after step 0; --resume continues the run.', 'Checkpoint: none yet']);
    expect(await filesOf(out)).toEqual([]);

    const twice = start(out);
    const silent = await pipeTo(twice, path);
    twice.kill('SIGTERM');
    await told(twice, 'SIGTERM: stops loading');
    // A second signal that comes sooner counts as a copy of the first.
    await new Promise((done) => setTimeout(done, 600));
    twice.kill('SIGTERM');
    expect(await twice.ended).toBe('SIGTERM');
    await silent.close();

    await rename(join(data, 'sentences.json'), path);
    const rest = start(out, '--resume');
    expect(await rest.ended).toBe(0);
    expect(rest.lines[0]).toBe('All 2 steps are done.');
  });
});
