import { createServer } from 'node:net';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeScenes } from '../../src/scenes/index.js';
import { CompiledCopy } from '../train/support/compile.js';
import type { RunningProcess } from '../train/support/compile.js';

/** Scenes, a compiled copy of the sources, and the processes that were started from this copy. */
export class RankRuns {
  readonly folder: string;
  readonly copy: CompiledCopy;
  /** The CUDA back end of the runs; undefined: they compute on the CPU. */
  readonly #cuda: string | undefined;
  readonly #started: RunningProcess[] = [];
  #serial = 0;

  private constructor(folder: string, copy: CompiledCopy, cuda: string | undefined) {
    this.folder = folder;
    this.copy = copy;
    this.#cuda = cuda;
  }

  /** @param cuda file of the CUDA back end on which the runs compute; without it they compute on the CPU */
  static async make(cuda?: string): Promise<RankRuns> {
    const folder = await mkdtemp(join(tmpdir(), 'ranks-'));
    await writeScenes({ out: join(folder, 'scenes'), images: 12, featureDim: 16, pictures: 0 });
    return new RankRuns(folder, await CompiledCopy.make(), cuda);
  }

  /** Ends the processes that still run, each by its number. */
  async remove(): Promise<void> {
    for (const { child } of this.#started)
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await this.copy.remove();
    await rm(this.folder, { recursive: true, force: true });
  }

  fresh(): string {
    return join(this.folder, `run-${this.#serial++}`);
  }

  /** Flags of a small run. It continues until it is ended, unless it has a number of steps. */
  flags(out: string, ...more: readonly string[]): string[] {
    const model = ['--hidden-size', '32', '--num-attention-heads', '2', '--intermediate-size', '32'];
    const dropout = ['--hidden-dropout-prob', '0.1', '--attention-probs-dropout-prob', '0.1'];
    const device = this.#cuda === undefined ? 'cpu' : 'cuda';
    const run = ['--preset', 'tiny', '--device', device, '--batch-size', '10', '--micro-batch-size', '2'];
    const length = more.includes('--max-steps') ? [] : ['--max-steps', '1000000'];
    const threads = more.includes('--gradient-parts') || more.includes('--resume') ? [] : ['--threads', '1'];
    const valid = more.includes('--valid-every') ? ['--valid', 'train'] : ['--valid', 'none'];
    const data = more.includes('--data') ? [] : ['--data', join(this.folder, 'scenes')];
    return ['pretrain', ...data, '--out', out, ...valid, ...run, ...threads, ...model, ...dropout, ...length, ...more];
  }

  start(args: readonly string[], env: NodeJS.ProcessEnv = {}, wrapper: readonly string[] = []): RunningProcess {
    const cuda = this.#cuda === undefined ? {} : { LXMERT_CUDA_LIBRARY: this.#cuda };
    const run = this.copy.start('src/cli/main.js', args, wrapper, { ...cuda, ...env });
    this.#started.push(run);
    return run;
  }

  /**
   * Starts each rank separately, as torchrun does. `more` has further flags of a rank, and `wrapped` has the command
   * that starts it.
   */
  async startEach(
    ranks: number,
    flags: readonly string[],
    more: Readonly<Record<number, readonly string[]>> = {},
    wrapped: Readonly<Record<number, readonly string[]>> = {},
  ): Promise<RunningProcess[]> {
    const port = await freePort();
    return Array.from({ length: ranks }, (_, rank) =>
      this.start(
        [...flags, ...(more[rank] ?? [])],
        {
          ...{ RANK: `${rank}`, WORLD_SIZE: `${ranks}`, LOCAL_RANK: `${rank}` },
          ...{ MASTER_ADDR: '127.0.0.1', MASTER_PORT: `${port}` },
        },
        wrapped[rank],
      ),
    );
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, done));
  const address = server.address();
  await new Promise<void>((done) => void server.close(() => done()));
  return typeof address === 'object' && address ? address.port : 0;
}

/** Waits until the process has written a text to stderr. */
export async function told(run: RunningProcess, text: RegExp): Promise<void> {
  while (!text.test(run.errors)) {
    if (run.child.exitCode !== null || run.child.signalCode !== null)
      throw new Error(`it ended without ${text}: ${run.errors}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}

/** Checksums of all files of a run's checkpoints, and its metrics without the values that depend on the clock. */
export async function contentsOf(out: string): Promise<Readonly<Record<string, string>>> {
  const contents: Record<string, string> = {};
  for (const entry of await readdir(join(out, 'checkpoints'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    contents[path.slice(out.length)] = createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
  }
  const metrics = await readFile(join(out, 'metrics.jsonl'), 'utf8');
  return { ...contents, metrics: metrics.replaceAll(/,"samplesPerSecond":[^,}]*/g, '') };
}

/** The losses of each step. */
export async function lossesOf(out: string): Promise<number[]> {
  const lines = (await readFile(join(out, 'metrics.jsonl'), 'utf8')).trimEnd().split('\n');
  return lines.map((line) => (JSON.parse(line) as { readonly loss: number }).loss);
}
