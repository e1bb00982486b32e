import { cpSync, existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { ensureAddon } from './addon.mjs';
import { march as marchOfClone } from './compiler.mjs';
import { ensureCudaPrograms, nvccVersion, programsFolder } from './cuda.mjs';
import { alone } from './lock.mjs';
import { at, readJson } from './paths.mjs';
import { plugins } from './plugins.mjs';
import { runStep, StepError } from './process.mjs';

/** The default CPUs of a bundle, if LXMERT_MARCH is not set: those with AVX2, from 2013 on. */
const MARCH = 'x86-64-v3';

const SOURCES = ['native', 'scripts', 'binding.gyp', 'package.json'];

/**
 * @typedef {{ folder: string, march: string, programs: string }} BuiltAddon the folder of lxmert.node and its record,
 * its -march, and the folder in which the programs that check a GPU with its kernels are built
 */

/** The addon that is already built in the clone. @returns {BuiltAddon} */
export function builtAddon() {
  const folder = at('build', 'Release');
  const record = readJson(join(folder, 'lxmert-build.json'));
  if (record === null) throw new StepError('the addon is not built', { hint: 'npm run setup' });
  return { folder, march: record.march, programs: programsFolder };
}

/**
 * The addon for a bundle, which is built if it is not up to date. It is the clone's addon if that is for the same CPUs. Otherwise
 * the addon is built in a separate folder, so that the clone's addon does not change.
 * @returns {Promise<BuiltAddon>}
 */
export async function bundleAddon() {
  const march = process.env.LXMERT_MARCH || MARCH;
  if (march === marchOfClone && readJson(at('build', 'Release', 'lxmert-build.json'))?.march === march) {
    await alone(ensureAddon);
    return withPrograms(builtAddon());
  }
  const clone = at('build-bundle', `addon-${march}`);
  mkdirSync(clone, { recursive: true });
  for (const name of SOURCES) {
    rmSync(join(clone, name), { recursive: true, force: true });
    // Copies keep their modification times, by which make recognises changed files.
    cpSync(at(name), join(clone, name), { recursive: true, preserveTimestamps: true });
  }
  if (!existsSync(join(clone, 'node_modules'))) symlinkSync('../../node_modules', join(clone, 'node_modules'));
  const older = join(clone, 'scripts', 'lib', 'older-libstdc++.h');
  await runStep(`building the addon for ${march}`, process.execPath, [join(clone, 'scripts', 'build-addon.mjs')], {
    cwd: clone,
    env: { ...process.env, LXMERT_MARCH: march, CXXFLAGS: `-include ${older} ${process.env.CXXFLAGS ?? ''}`.trim() },
  });
  return withPrograms({
    folder: join(clone, 'build', 'Release'),
    march,
    programs: at('build-bundle', `programs-${march}`),
  });
}

/** Links the programs that check a GPU, if the CUDA back end is built and nvcc is installed. */
async function withPrograms(addon) {
  const hasCuda = plugins.some(({ name, file }) => name === 'CUDA' && existsSync(at(file)));
  if (hasCuda && nvccVersion() !== null)
    await alone(() => ensureCudaPrograms(addon.folder, addon.programs), 'build-cuda');
  return addon;
}
