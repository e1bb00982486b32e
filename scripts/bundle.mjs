// `npm run bundle` makes build-bundle/lxmert-<version>-linux-x64.tar.xz. It runs on Linux on x86-64 with glibc 2.34 or newer, and
// needs no Node, compiler, network or root. docs/bundle.md describes its contents.
//   npm run bundle -- --level 0        compresses faster, but less: the compression level of xz, 9 by default
//   npm run bundle -- --out FOLDER     writes to this folder and not to build-bundle
//   npm run bundle -- --unpacked       makes only the folder and no archive, so it does not need xz
//   npm run bundle -- --as-built       uses the addon that is already built; installs and builds nothing
//   LXMERT_MARCH=native npm run bundle    builds for the CPU of this machine; the default is x86-64-v3
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { archive, assemble } from './lib/bundle.mjs';
import { builtAddon, bundleAddon } from './lib/bundleAddon.mjs';
import { alone } from './lib/lock.mjs';
import { ensureNpmPackages } from './lib/npmPackages.mjs';
import { at } from './lib/paths.mjs';
import { say, StepError } from './lib/process.mjs';
import { main } from './lib/setup.mjs';
import { ensureBundlePackages } from './lib/systemPackages.mjs';
import { ensureCompiled } from './lib/typescript.mjs';

const { values: options } = parseArgs({
  options: {
    level: { type: 'string', default: '9' },
    out: { type: 'string', default: at('build-bundle') },
    unpacked: { type: 'boolean', default: false },
    'as-built': { type: 'boolean', default: false },
  },
});

async function build() {
  await alone(async () => {
    await ensureNpmPackages();
    await ensureBundlePackages();
    await ensureCompiled();
  });
  return bundleAddon();
}

await main(async () => {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new StepError(`a bundle is made on Linux on x64; this is ${process.platform} on ${process.arch}`);
  if (!/^\d$/.test(options.level)) throw new StepError(`--level must be a digit from 0 to 9, not "${options.level}"`);
  const out = resolve(options.out);
  await alone(async () => {
    const addon = options['as-built'] ? builtAddon() : await build();
    const { folder, glibc, absent } = assemble(addon, out);
    for (const { name, build: command } of absent) say(`bundle: without ${name}, which is not built here (${command})`);
    say(`bundle: for glibc ${glibc} or newer and CPUs of -march=${addon.march}`);
    process.stdout.write(`${options.unpacked ? folder : await archive(folder, options.level)}\n`);
  }, `bundle in ${out}`);
});
