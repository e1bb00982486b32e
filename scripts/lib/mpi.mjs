import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { outputOf, runStep, say, StepError } from './process.mjs';
import { at, fingerprint, root } from './paths.mjs';
import { onPath } from './systemPackages.mjs';

/** The library for MPI, beside the addon that opens it. */
const libraryPath = at('build', 'Release', 'lxmert_mpi.so');
const builtFromPath = at('build', 'Release', 'lxmert_mpi.json');
const source = at('native', 'comm', 'mpi_plugin.cc');

/** MPI's compiler, which finds MPI's headers and libraries. MPICXX may name another one. */
const mpiCompiler = () => process.env.MPICXX || 'mpicxx';

/** Folders of MPI's headers; null if MPI is not installed. */
export function mpiHeaders() {
  if (!onPath(mpiCompiler())) return null;
  const words = outputOf(mpiCompiler(), ['-show'])?.split(/\s+/) ?? [];
  return words.filter((word) => word.startsWith('-I')).map((word) => word.slice(2));
}

/** The C++ interface of MPI is not used, and older MPIs warn about it. */
const FLAGS = ['-std=c++20', '-O2', '-Wall', '-Wextra', '-fPIC', '-shared', '-fvisibility=hidden'];
const DEFINES = ['-DOMPI_SKIP_MPICXX', '-DMPICH_SKIP_MPICXX', '-I', 'native'];

/**
 * Compiles lxmert_mpi.so against the MPI of this machine unless it is up to date.
 * @returns {Promise<boolean>} whether anything was done
 */
export async function ensureMpi() {
  const compiler = mpiCompiler();
  if (!onPath(compiler))
    throw new StepError(`MPI is not installed: there is no ${compiler}`, {
      hint: 'Install MPI with its headers (Debian: apt-get install openmpi-bin libopenmpi-dev; a cluster: load its module).',
    });
  const version = `${outputOf(compiler, ['--version'])} ${outputOf(compiler, ['-show'])}`;
  const built = fingerprint([source, at('native', 'comm', 'mpi_plugin.h')], [version, ...FLAGS, ...DEFINES]);
  const same = existsSync(libraryPath) && existsSync(builtFromPath) && readFileSync(builtFromPath, 'utf8') === built;
  if (same) return false;
  mkdirSync(at('build', 'Release'), { recursive: true });
  const args = [...FLAGS, ...DEFINES, source, '-o', libraryPath];
  await runStep('compiling lxmert_mpi.so', compiler, args, { cwd: root });
  writeFileSync(builtFromPath, built);
  return true;
}

/** Compiles the library if MPI is installed. Ranks can also run without MPI. */
export async function ensureMpiWhereItIs() {
  if (!existsSync(source) || !onPath(mpiCompiler())) return false;
  try {
    return await ensureMpi();
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    say(`${error.tail}\nsetup: ranks do without MPI: ${error.message}`);
    return false;
  }
}
