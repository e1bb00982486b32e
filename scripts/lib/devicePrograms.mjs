import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { at, readJson } from './paths.mjs';

/** The sources of the program that checks every kernel and measures its time. */
export const benchSources = () =>
  readdirSync(at('bench', 'cuda'))
    .filter((name) => name.endsWith('.cu'))
    .map((name) => `bench/cuda/${name}`);

/** The CPU's kernels for the comparison: those that need no library. */
export const cpuSources = () =>
  readJson(at('native', 'sources.gypi')).variables.lxmert_sources.filter((path) =>
    /^native\/cpu\/(?!device|linear|packed_weights|product)/.test(path),
  );

/** The object file of a CPU kernel in an addon's build. @param {string} addonFolder build/Release, or that of another build */
export const cpuObjectOf = (addonFolder, source) =>
  join(addonFolder, 'obj.target', 'lxmert', source.replace(/cc$/, 'o'));

/**
 * The programs that check a device: for each name, its sources in addition to the CUDA back end.
 * @returns {Record<string, string[]>}
 */
export const programSources = () => ({
  kernels: [...benchSources(), ...cpuSources()],
  step: ['test/cuda/step.cu'],
  instructions: ['test/cuda/emulator/instructions.cu'],
});
