import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { compiler, root, writeFault, type Fault } from './programs.js';

type BySource = Readonly<Record<string, string>>;
export type Watcher = 'races' | 'traffic';

/** The objects that scripts/check-races.mjs has compiled, by source, and the flags for one more source. */
interface InstrumentedObjects {
  readonly cuda: BySource;
  readonly watchers: Readonly<Record<Watcher, BySource>>;
  readonly kernels: BySource;
  readonly flags: { readonly compile: readonly string[]; readonly link: readonly string[] };
}

async function printed(args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  const texts = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (texts[0] += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (texts[1] += text));
  const [code] = (await once(child, 'close')) as [number];
  if (code !== 0) throw new Error(texts[1]);
  return texts[0];
}

let objects: Promise<InstrumentedObjects> | undefined;

/** Builds the library for whole models, and gives its path. */
export async function raceLibrary(): Promise<string> {
  const text = await printed(['scripts/check-races.mjs', '--library']);
  return text.trim().replace('export LXMERT_CUDA_LIBRARY=', '');
}

/** Compiles what has changed since the last time, in build/emulator-instrumented. */
export const instrumentedObjects = (): Promise<InstrumentedObjects> =>
  (objects ??= printed(['scripts/check-races.mjs', '--objects']).then(
    (text) => JSON.parse(text) as InstrumentedObjects,
  ));

const compiled = new Map<string, Promise<string>>();

async function compile(from: string, object: string, include: readonly string[] = []): Promise<string> {
  const { flags } = await instrumentedObjects();
  await compiler([...include, ...flags.compile, '-x', 'c++', '-c', from, '-o', object], root);
  return object;
}

/**
 * Builds a program with a watcher, from a source and the CUDA back end; null means the program that checks the kernels.
 * A fault is made in a copy of one of its sources.
 */
export async function buildWatched(
  watcher: Watcher,
  program: string,
  source: string | null,
  fault?: Fault,
): Promise<void> {
  const { cuda, watchers, kernels, flags } = await instrumentedObjects();
  const all = new Map(Object.entries({ ...cuda, ...watchers[watcher], ...(source === null ? kernels : {}) }));
  if (source !== null) {
    const own = compiled.get(source) ?? compile(source, `${program}-own.o`);
    compiled.set(source, own);
    all.set(source, await own);
  }
  if (fault) {
    const { folder, compiled } = writeFault(program, fault);
    all.set(fault.source ?? fault.file, await compile(compiled, `${program}-faulty.o`, [`-I${folder}/native`]));
  }
  await compiler([...all.values(), ...flags.link, '-o', program], root);
}
