import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from '@jest/globals';

export const root = fileURLToPath(new URL('../../../', import.meta.url));

const { variables } = JSON.parse(readFileSync(join(root, 'native/sources.gypi'), 'utf8')) as {
  variables: Record<string, string[]>;
};

/** The sources of the emulator, and of the CUDA back end for the emulator. */
export const emulatorSources = variables['lxmert_emulator_sources'];
export const cudaSources = [...variables['lxmert_cuda_sources'], ...emulatorSources];

/**
 * The sources of the program that checks the kernels and measures their time, with the CPU's kernels for comparison.
 */
export const kernelSources = [
  ...readdirSync(join(root, 'bench/cuda'))
    .filter((name) => name.endsWith('.cu'))
    .map((name) => `bench/cuda/${name}`),
  ...variables['lxmert_sources'].filter((path) => /^native\/cpu\/(?!device|linear|packed_weights|product)/.test(path)),
  ...cudaSources,
];

const objectsFolder = mkdtempSync(join(tmpdir(), 'lxmert-objects-'));
afterAll(() => rmSync(objectsFolder, { recursive: true }));

let running = 0;
const waiting: (() => void)[] = [];

/** Runs the compiler, on as many files at a time as there are cores. */
export async function compiler(args: readonly string[], cwd: string): Promise<void> {
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

/** Compiles a source once, or uses the object that was compiled for the libraries. */
function objectOf(source: string, sanitized: boolean): Promise<string> {
  if (!sanitized && cudaSources.includes(source))
    return Promise.resolve(join(root, 'build/emulator', `${source.replaceAll('/', '-')}.o`));
  if (!sanitized && source.startsWith('native/cpu/'))
    return Promise.resolve(join(root, 'build/Release/obj.target/lxmert', source.replace(/cc$/, 'o')));
  const object = join(objectsFolder, `${source.replaceAll('/', '-')}${sanitized ? '.asan' : ''}.o`);
  const known = compiled.get(object) ?? compile(source, object, sanitized ? ['-O0', '-fsanitize=address'] : ['-O1']);
  compiled.set(object, known);
  return known;
}

async function compile(source: string, object: string, flags: readonly string[]): Promise<string> {
  const all = ['-std=c++20', '-g1', '-fopenmp', '-Wno-unknown-pragmas', '-Wno-psabi'];
  await compiler([...all, ...flags, '-Inative', '-x', 'c++', '-c', source, '-o', object], root);
  return object;
}

async function link(program: string, objects: readonly string[], sanitized: boolean): Promise<void> {
  const flags = ['-fopenmp', '-pthread', ...(sanitized ? ['-fsanitize=address'] : [])];
  await compiler([...flags, ...objects, '-o', program, '-lboost_context', '-ldl'], root);
}

/** Builds a program on the emulator; if `sanitized`, with the address sanitizer. */
export async function build(program: string, sources: readonly string[], sanitized: boolean): Promise<void> {
  await link(program, await Promise.all(sources.map((source) => objectOf(source, sanitized))), sanitized);
}

/** A fault that is made in a copy of one of the project's files. */
export interface Fault {
  readonly file: string;
  /** The text to replace, which occurs once, and its replacement. */
  readonly from: string;
  readonly to: string;
  /** The source to compile, if the file is a header. */
  readonly source?: string;
}

/** Writes the faulty copy. Returns its folder, and the source to compile, which includes the copy. */
export function writeFault(program: string, fault: Fault): { folder: string; compiled: string } {
  const { file, from, to, source = file } = fault;
  const text = readFileSync(join(root, file), 'utf8');
  if (text.split(from).length !== 2) throw new Error(`${file} must have "${from}" exactly once`);
  const folder = `${program}-sources`;
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  writeFileSync(
    join(folder, file),
    text.replace(from, () => to),
  );
  return { folder, compiled: source === file ? join(folder, file) : source };
}

/** Builds a program from these sources, with a fault in one of them. */
export async function buildWithFault(program: string, sources: readonly string[], fault: Fault): Promise<void> {
  const { folder, compiled } = writeFault(program, fault);
  const faulty = compile(compiled, `${program}.o`, ['-O1', `-I${folder}/native`]);
  const objects = sources.map((each) => (each === (fault.source ?? fault.file) ? faulty : objectOf(each, false)));
  await link(program, await Promise.all(objects), false);
}

/** Runs a program to its end. Memory on the stacks of the threads of a failed launch does not count as a leak. */
export const run = (program: string, args: readonly string[], env: Record<string, string> = {}) =>
  spawnSync(program, args, {
    encoding: 'utf8',
    timeout: 300_000,
    env: { ...process.env, ASAN_OPTIONS: 'detect_leaks=0', ...env },
  });
