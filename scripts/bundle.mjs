// `npm run bundle`: build-bundle/lxmert-<version>-linux-x64.tar.xz, which runs wherever there is Linux on x86-64 with a glibc of 2.34 or
// newer: no Node, no compiler, no network, no root. docs/bundle.md says what is in it.
//   npm run bundle -- --level 0        quick and larger: the level that xz compresses with, 9 by default
//   npm run bundle -- --out FOLDER     another folder than build-bundle
//   npm run bundle -- --unpacked       the folder alone, without the archive, which needs xz
//   npm run bundle -- --as-built       of what is built, whatever CPUs that is for; nothing is installed or built
//   LXMERT_MARCH=native npm run bundle    for the CPU of this machine; x86-64-v3 unless set
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
