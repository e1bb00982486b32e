import { readdirSync } from 'node:fs';
import { compiler } from './compiler.mjs';
import { emulatorFlags, Objects } from './objects.mjs';
import { at, readJson, root } from './paths.mjs';
import { outputOf, runStep } from './process.mjs';
import { ensureEmulatorPackages, ensureSystemPackages } from './systemPackages.mjs';

/** The compiler makes each load and store call us (native/cuda/emulator/instrumented.cc), and what is misaligned. */
const INSTRUMENT = [
  '-fsanitize=thread,alignment,bounds,shift,signed-integer-overflow',
  '-fno-sanitize-recover=all',
  '-fno-sanitize=null',
];

const LINK = ['-fopenmp', '-pthread', '-lboost_context', '-ldl'];

const isOurs = (source) => source.startsWith('native/cuda/emulator/') || source.startsWith('native/cpu/');

/** Kernels and programs are instrumented; the emulator, which runs them, and the CPU's kernels are not. */
function flagsOf(source) {
  const flags = [...emulatorFlags(), '-g1', '-DLXMERT_RACECHECK'];
  return isOurs(source) ? [...flags, '-O2'] : [...flags, '-O1', ...INSTRUMENT];
}

/** Whether the compiler can do that. */
export const canInstrument = () => outputOf(compiler, [...INSTRUMENT, '-x', 'c++', '-fsyntax-only', '-'], '') !== null;

/** The CUDA back end on the emulator that looks for races. */
function cudaSources() {
  const { variables } = readJson(at('native', 'sources.gypi'));
  return ['lxmert_cuda_sources', 'lxmert_emulator_sources', 'lxmert_racecheck_sources'].flatMap(
    (list) => variables[list],
  );
}

/** The program that checks every kernel, with the CPU's kernels to compare with. */
function kernelSources() {
  const { variables } = readJson(at('native', 'sources.gypi'));
  const bench = readdirSync(at('bench', 'cuda')).filter((name) => name.endsWith('.cu'));
  return [
    ...bench.map((name) => `bench/cuda/${name}`),
    ...variables.lxmert_sources.filter((path) => /^native\/cpu\/(?!device|linear|product)/.test(path)),
  ];
}

/**
 * Compiles, where something has changed, what programs that look for races are made of; also these further sources.
 * @returns each source's object, and the flags for one more source like the kernels.
 */
export async function raceObjects(further = []) {
  await ensureSystemPackages();
  await ensureEmulatorPackages();
  const sources = [...cudaSources(), ...kernelSources(), ...further];
  const objects = new Objects(at('build', 'emulator-races'), 'the search for races');
  await objects.ensure(sources, flagsOf);
  return {
    cuda: cudaSources().map((source) => objects.path(source)),
    kernels: kernelSources().map((source) => objects.path(source)),
    further: further.map((source) => objects.path(source)),
    flags: flagsOf('native/cuda'),
    link: LINK,
  };
}

/** Builds a program of a source (null: the one that checks the kernels) and gives its path. */
export async function buildRaceProgram(source) {
  const { cuda, kernels, further, link } = await raceObjects(source === null ? [] : [source]);
  const name = source === null ? 'kernels' : source.replaceAll('/', '-').replace(/\.cu$/, '');
  const program = at('build', 'emulator-races', name);
  const own = source === null ? kernels : further;
  await runStep(`linking ${name}`, compiler, [...own, ...cuda, ...link, '-o', program], { cwd: root });
  return program;
}
