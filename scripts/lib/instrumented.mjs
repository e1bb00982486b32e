import { compiler } from './compiler.mjs';
import { benchSources, cpuObjectOf, cpuSources } from './devicePrograms.mjs';
import { emulatorFlags, Objects } from './objects.mjs';
import { at, readJson, root } from './paths.mjs';
import { outputOf, runStep } from './process.mjs';
import { ensureEmulatorPackages, ensureSystemPackages } from './systemPackages.mjs';

/** Flags with which each load, store and misaligned access calls a function (native/cuda/emulator/instrumented.cc). */
const INSTRUMENT = [
  '-fsanitize=thread,alignment,bounds,shift,signed-integer-overflow',
  '-fno-sanitize-recover=all',
  '-fno-sanitize=null',
  // A load of 16 bytes is reported as one load, not as four loads of the used parts.
  '-fno-tree-sra',
];

const LINK = ['-fopenmp', '-pthread', '-lboost_context', '-ldl'];

/** Kernels and programs are instrumented; the emulator, which runs them, is not. */
function flagsOf(source) {
  const flags = [...emulatorFlags(), '-g1', '-DLXMERT_RACECHECK'];
  return source.startsWith('native/cuda/emulator/') ? [...flags, '-O2'] : [...flags, '-O1', ...INSTRUMENT];
}

/** Whether the compiler supports these flags. */
export const canInstrument = () => outputOf(compiler, [...INSTRUMENT, '-x', 'c++', '-fsyntax-only', '-'], '') !== null;

const listed = (list) => readJson(at('native', 'sources.gypi')).variables[`lxmert_${list}_sources`];

/** The sources of the CUDA back end on the emulator, which both watchers need. */
const cudaSources = () => ['cuda', 'emulator', 'instrumented'].flatMap(listed);

/** The watchers of memory accesses, by name. One of them is linked into a program. */
const WATCHERS = { races: 'racecheck', traffic: 'traffic' };

/**
 * Compiles the changed sources of such programs, and the given further sources.
 * @returns the object files by source: of the CUDA back end on the emulator, of each watcher, of the program that checks the
 * kernels, and of the further sources
 */
export async function instrumentedObjects(further = []) {
  await ensureSystemPackages();
  await ensureEmulatorPackages();
  const [cuda, bench] = [cudaSources(), benchSources()];
  const watchers = Object.entries(WATCHERS).map(([name, list]) => [name, listed(list)]);
  const objects = new Objects(at('build', 'emulator-instrumented'), 'the search for races and the count of traffic');
  await objects.ensure([...cuda, ...watchers.flatMap(([, sources]) => sources), ...bench, ...further], flagsOf);
  const of = (sources) => Object.fromEntries(sources.map((source) => [source, objects.path(source)]));
  const cpu = Object.fromEntries(cpuSources().map((source) => [source, cpuObjectOf(at('build', 'Release'), source)]));
  return {
    cuda: of(cuda),
    watchers: Object.fromEntries(watchers.map(([name, sources]) => [name, of(sources)])),
    kernels: { ...of(bench), ...cpu },
    further: of(further),
  };
}

/** Flags to compile one more source like the kernels, and to link it. */
export const instrumentedFlags = () => ({ compile: flagsOf(''), link: LINK });

/**
 * Builds a program from a source (null: the program that checks the kernels) and returns its path.
 * @param {keyof typeof WATCHERS} watcher
 */
export async function buildInstrumented(watcher, source) {
  const { cuda, watchers, kernels, further } = await instrumentedObjects(source === null ? [] : [source]);
  const name = source === null ? 'kernels' : source.replaceAll('/', '-').replace(/\.cu$/, '');
  return link(`${watcher}-${name}`, { ...cuda, ...watchers[watcher], ...(source === null ? kernels : further) });
}

/** Builds the library that searches for races in whole models. LXMERT_CUDA_LIBRARY must name it. */
export async function buildRaceLibrary() {
  const { cuda, watchers } = await instrumentedObjects();
  return link('lxmert_cuda_emulator.so', { ...cuda, ...watchers.races }, ['-shared', '-Wl,--no-undefined']);
}

async function link(name, objects, flags = []) {
  const result = at('build', 'emulator-instrumented', name);
  await runStep(`linking ${name}`, compiler, [...flags, ...Object.values(objects), ...LINK, '-o', result], {
    cwd: root,
  });
  return result;
}
