import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { compiler, hasHeader, march, OLDEST_GXX, probeCompiler } from './compiler.mjs';
import { outputOf, runStep, say, StepError } from './process.mjs';
import { root } from './paths.mjs';

/** Whether a program of this name is on PATH. @param {string} name */
export function onPath(name) {
  if (name.includes('/')) return existsSync(name);
  return (process.env.PATH ?? '').split(delimiter).some((folder) => folder !== '' && existsSync(join(folder, name)));
}

/**
 * The programs and libraries that the system must have to build the addon, with the name of the package for each
 * package manager.
 */
const NEEDS = [
  {
    what: 'a C++ compiler',
    present: () => onPath(compiler),
    packages: { 'apt-get': 'g++', dnf: 'gcc-c++', zypper: 'gcc-c++', pacman: 'gcc' },
  },
  {
    what: 'make',
    present: () => onPath('make'),
    packages: { 'apt-get': 'make', dnf: 'make', zypper: 'make', pacman: 'make' },
  },
  {
    what: 'Python 3 (for node-gyp)',
    present: () => onPath(process.env.PYTHON || 'python3'),
    packages: { 'apt-get': 'python3', dnf: 'python3', zypper: 'python3', pacman: 'python' },
  },
  {
    what: 'oneDNN with its headers',
    present: () => onPath(compiler) && hasHeader('dnnl.h'),
    packages: { 'apt-get': 'libdnnl-dev', dnf: 'onednn-devel', zypper: 'onednn-devel', pacman: 'onednn' },
  },
  {
    // g++ includes its OpenMP library.
    what: 'OpenMP for this compiler',
    present: () => !onPath(compiler) || hasHeader('omp.h'),
    packages: { 'apt-get': 'libomp-dev', dnf: 'libomp-devel', zypper: 'libomp-devel', pacman: 'openmp' },
  },
];

/** The libraries that the system must have for the emulator of the CUDA back end, which only tests need. */
const EMULATOR_NEEDS = [
  {
    what: 'Boost.Context',
    present: () => hasHeader('boost/context/detail/fcontext.hpp'),
    packages: { 'apt-get': 'libboost-context-dev', dnf: 'boost-devel', zypper: 'boost-devel', pacman: 'boost' },
  },
];

/** The programs that the system must have to pack a bundle. */
const BUNDLE_NEEDS = [
  {
    what: 'xz',
    present: () => onPath('xz'),
    packages: { 'apt-get': 'xz-utils', dnf: 'xz', zypper: 'xz', pacman: 'xz' },
  },
];

const INSTALL = {
  'apt-get': 'apt-get install -y --no-install-recommends',
  dnf: 'dnf install -y',
  zypper: 'zypper install -y',
  pacman: 'pacman -S --needed',
};

/** Installs Debian packages as root. Updates the package lists only if the installation fails without an update. */
export async function aptInstall(packages) {
  const apt = (...args) => ['-o', 'DPkg::Lock::Timeout=300', ...args];
  const options = { cwd: root, env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
  const install = apt('install', '-y', '--no-install-recommends', ...packages);
  try {
    await runStep(`installing ${packages.join(', ')}`, 'apt-get', install, options);
  } catch {
    await runStep('updating the package lists', 'apt-get', apt('update'), options);
    await runStep(`installing ${packages.join(', ')}`, 'apt-get', install, {
      ...options,
      hint: `See to it that "apt-get install ${packages.join(' ')}" works, then run this again.`,
    });
  }
}

/**
 * Checks compiler, make, Python and oneDNN. As root on Debian it installs the missing packages; otherwise it prints the
 * command that installs them.
 */
export async function ensureSystemPackages() {
  await ensure(NEEDS);
  checkCompiler();
}

/** Does the same for the needs of the emulator. */
export const ensureEmulatorPackages = () => ensure(EMULATOR_NEEDS);

/** Does the same for the needs of a bundle. */
export async function ensureBundlePackages() {
  await ensureSystemPackages();
  await ensure(BUNDLE_NEEDS);
}

/** Does the same before tests. If the packages cannot be installed, the tests of the archive are left out. */
export async function ensureBundlePackagesForTests() {
  try {
    await ensure(BUNDLE_NEEDS);
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    say(`setup: a bundle is tested without its archive: ${error.message}\n${error.hint}`);
  }
}

async function ensure(needs) {
  const missing = needs.filter((need) => !need.present());
  if (missing.length === 0) return;
  const manager = Object.keys(INSTALL).find(onPath);
  const names = missing.map((need) => need.what).join(', ');
  if (manager === undefined) {
    throw new StepError(`missing: ${names}`, {
      hint: 'Install them with your package manager, then run this again.',
    });
  }
  const packages = missing.map((need) => need.packages[manager]);
  if (manager !== 'apt-get' || process.getuid?.() !== 0) {
    const sudo = process.getuid?.() === 0 ? '' : 'sudo ';
    throw new StepError(`missing: ${names}`, {
      hint: `Run this line, then run this again:\n\n  ${sudo}${INSTALL[manager]} ${packages.join(' ')}\n`,
    });
  }
  await aptInstall(packages);
}

function checkCompiler() {
  const probe = probeCompiler();
  if (probe === null) {
    const works = outputOf(compiler, ['-dumpversion']) !== null;
    throw new StepError(works ? `${compiler} does not know -march=${march}` : `${compiler} does not run`, {
      hint: works
        ? 'Set LXMERT_MARCH to a CPU that it knows (x86-64-v3, say), or leave it unset for the CPU of this machine.'
        : 'Unset CXX, or let it name a C++ compiler that works.',
    });
  }
  if (probe.major < OLDEST_GXX) {
    throw new StepError(`${probe.version} is too old: C++20 needs g++ ${OLDEST_GXX} or newer`, {
      hint: 'Install a newer one and name it: CXX=g++-12 npm run setup',
    });
  }
}
