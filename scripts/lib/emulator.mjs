import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compiler } from './compiler.mjs';
import { cpuObjectOf, programSources } from './devicePrograms.mjs';
import { emulatorFlags, Objects } from './objects.mjs';
import { at, readJson, root } from './paths.mjs';
import { runStep, say, StepError } from './process.mjs';
import { ensureEmulatorPackages, ensureSystemPackages } from './systemPackages.mjs';

/** The plugin, beside the addon that opens it. */
const libraryPath = at('build', 'Release', 'lxmert_cuda_emulator.so');

const objectsFolder = at('build', 'emulator');

/** The record of the objects from which the library was linked. */
const linkedPath = at('build', 'emulator', 'linked-from');

const LINK = ['-shared', '-fopenmp', '-Wl,--no-undefined', '-lboost_context'];

/**
 * Builds build/Release/lxmert_cuda_emulator.so unless it is up to date.
 * @returns {Promise<boolean>} whether anything was done
 */
export async function ensureEmulator() {
  await ensureSystemPackages();
  await ensureEmulatorPackages();
  const { variables } = readJson(at('native', 'sources.gypi'));
  const sources = [...variables.lxmert_cuda_sources, ...variables.lxmert_emulator_sources];
  const objects = new Objects(objectsFolder, 'the emulator');
  // A higher level than -O2 would compile longer without making fibers faster.
  const flags = [...emulatorFlags(), '-O2'];
  await objects.ensure(sources, () => flags);
  const link = objects.fingerprint(sources);
  if (existsSync(libraryPath) && existsSync(linkedPath) && readFileSync(linkedPath, 'utf8') === link) return false;

  mkdirSync(at('build', 'Release'), { recursive: true });
  rmSync(libraryPath, { force: true });
  const paths = sources.map((source) => objects.path(source));
  await runStep('linking the emulator', compiler, [...paths, ...LINK, '-o', libraryPath], { cwd: root });
  writeFileSync(linkedPath, link);
  return true;
}

/**
 * Links the programs that check a device for the emulated one, in build/emulator/programs.
 * @returns {Promise<string>} the folder
 */
export async function ensureEmulatorPrograms() {
  await ensureEmulator();
  const { variables } = readJson(at('native', 'sources.gypi'));
  const cuda = [...variables.lxmert_cuda_sources, ...variables.lxmert_emulator_sources];
  const programs = programSources();
  const compiled = [...new Set(Object.values(programs).flat())].filter((source) => source.endsWith('.cu'));
  const objects = new Objects(objectsFolder, 'the emulated device');
  await objects.ensure(compiled, () => [...emulatorFlags(), '-O1']);
  const out = join(objectsFolder, 'programs');
  mkdirSync(out, { recursive: true });
  for (const [name, own] of Object.entries(programs)) {
    const of = (source) =>
      source.endsWith('.cu') ? objects.path(source) : cpuObjectOf(at('build', 'Release'), source);
    const all = [...own.map(of), ...cuda.map((source) => objects.path(source))];
    const link = [...all, '-fopenmp', '-pthread', '-lboost_context', '-ldl', '-o', join(out, name)];
    await runStep(`linking ${name} for the emulated device`, compiler, link, { cwd: root });
  }
  return out;
}

/** Builds the emulator for the tests. If Boost.Context is missing and cannot be installed, tests run without the emulator. */
export async function ensureEmulatorForTests() {
  try {
    await ensureEmulatorPackages();
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    rmSync(libraryPath, { force: true });
    say(`setup: the tests of the CUDA kernels are left out: ${error.message}\n${error.hint}`);
    return;
  }
  await ensureEmulator();
}
