import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../../', import.meta.url));

const { variables } = JSON.parse(readFileSync(join(root, 'native/sources.gypi'), 'utf8')) as {
  variables: Record<string, string[]>;
};

/** The emulator by itself, and the CUDA back end as it is compiled for it. */
export const emulatorSources = variables['lxmert_emulator_sources'];
export const cudaSources = [...variables['lxmert_cuda_sources'], ...emulatorSources];

/** Built before the tests, where Boost.Context is (scripts/lib/emulator.mjs says so when it is not). */
export const emulatorLibrary = join(root, 'build/Release/lxmert_cuda_emulator.so');

/** `describe` or `test` where there is an emulator, else the same skipped. */
export const withEmulator = <T extends { skip: T | object }>(of: T): T =>
  existsSync(emulatorLibrary) ? of : (of.skip as T);

const objectsFolder = mkdtempSync(join(tmpdir(), 'lxmert-objects-'));
process.once('exit', () => rmSync(objectsFolder, { recursive: true }));

let running = 0;
const waiting: (() => void)[] = [];

/** The compiler, on as many files at a time as there are cores. */
async function compiler(args: readonly string[], cwd: string): Promise<void> {
  if (running >= availableParallelism()) await new Promise<void>((go) => waiting.push(go));
  ++running;
  try {
    const child = spawn(process.env['CXX'] || 'g++', args, { cwd });
    let output = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
    const [code] = (await once(child, 'close')) as [number];
    if (code !== 0) throw new Error(`g++ ${args.join(' ')}\n${output.slice(0, 5000)}`);
  } finally {
    --running;
    waiting.shift()?.();
  }
}

const compiled = new Map<string, Promise<string>>();

/** Compiles a source once, or takes what was compiled for the library. */
function objectOf(source: string, sanitized: boolean): Promise<string> {
  if (!sanitized && cudaSources.includes(source))
    return Promise.resolve(join(root, 'build/emulator', `${basename(source)}.o`));
  const object = join(objectsFolder, `${basename(source)}${sanitized ? '.asan' : ''}.o`);
  const flags = [
    ...['-std=c++20', '-O1', '-g1', '-fopenmp', '-Wall', '-Wextra', '-Werror', '-Wno-unknown-pragmas', '-Inative'],
    ...(sanitized ? ['-fsanitize=address'] : []),
  ];
  const known =
    compiled.get(object) ?? compiler([...flags, '-x', 'c++', '-c', source, '-o', object], root).then(() => object);
  compiled.set(object, known);
  return known;
}

/** Builds a program on the emulator; `sanitized` with the address sanitizer. */
export async function build(program: string, sources: readonly string[], sanitized: boolean): Promise<void> {
  const objects = await Promise.all(sources.map((source) => objectOf(source, sanitized)));
  const flags = ['-fopenmp', '-pthread', ...(sanitized ? ['-fsanitize=address'] : [])];
  await compiler([...flags, ...objects, '-o', program, '-lboost_context', '-ldl'], root);
}

/** Runs a program to its end. What a launch that fails leaves on its threads' stacks is not a leak of ours. */
export const run = (program: string, args: readonly string[], env: Record<string, string> = {}) =>
  spawnSync(program, args, {
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, ASAN_OPTIONS: 'detect_leaks=0', ...env },
  });
