import { compiler } from './compiler.mjs';
import { benchSources, cpuObjectOf, cpuSources } from './devicePrograms.mjs';
import { emulatorFlags, Objects } from './objects.mjs';
import { at, readJson, root } from './paths.mjs';
import { outputOf, runStep } from './process.mjs';
import { ensureEmulatorPackages, ensureSystemPackages } from './systemPackages.mjs';

/** The compiler makes each load and store call us (native/cuda/emulator/instrumented.cc), and what is misaligned. */
const INSTRUMENT = [
  '-fsanitize=thread,alignment,bounds,shift,signed-integer-overflow',
  '-fno-sanitize-recover=all',
  '-fno-sanitize=null',
  // What is loaded 16 bytes at a time is told as that, not as four loads of what is then used.
  '-fno-tree-sra',
];

const LINK = ['-fopenmp', '-pthread', '-lboost_context', '-ldl'];

/** Kernels and programs are instrumented; the emulator, which runs them, is not. */
function flagsOf(source) {
  const flags = [...emulatorFlags(), '-g1', '-DLXMERT_RACECHECK'];
  return source.startsWith('native/cuda/emulator/') ? [...flags, '-O2'] : [...flags, '-O1', ...INSTRUMENT];
}

/** Whether the compiler can do that. */
export const canInstrument = () => outputOf(compiler, [...INSTRUMENT, '-x', 'c++', '-fsyntax-only', '-'], '') !== null;

const listed = (list) => readJson(at('native', 'sources.gypi')).variables[`lxmert_${list}_sources`];

/** The CUDA back end on the emulator, as both watchers need it. */
const cudaSources = () => ['cuda', 'emulator', 'instrumented'].flatMap(listed);

/** Who hears what kernels do to memory, by name: one of them is linked to a program. */
const WATCHERS = { races: 'racecheck', traffic: 'traffic' };

/**
 * Compiles, where something has changed, what such programs are made of; also these further sources.
 * @returns by source, the objects of the CUDA back end on the emulator, of each watcher, of the program that checks the
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

/** For one more source like the kernels, and for what is linked of it. */
export const instrumentedFlags = () => ({ compile: flagsOf(''), link: LINK });

/**
 * Builds a program of a source (null: the one that checks the kernels) and gives its path.
 * @param {keyof typeof WATCHERS} watcher
 */
export async function buildInstrumented(watcher, source) {
  const { cuda, watchers, kernels, further } = await instrumentedObjects(source === null ? [] : [source]);
  const name = source === null ? 'kernels' : source.replaceAll('/', '-').replace(/\.cu$/, '');
  return link(`${watcher}-${name}`, { ...cuda, ...watchers[watcher], ...(source === null ? kernels : further) });
}

/** Builds the library that looks for races, for whole models: LXMERT_CUDA_LIBRARY names it. */
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
