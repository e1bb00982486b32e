// `npm test` runs setup, then every test. Arguments are passed to jest:
// `npm test -- test/engine`, `npm test -- -t "layer norm"`.
import { ensureEmulatorForTests } from './lib/emulator.mjs';
import { alone } from './lib/lock.mjs';
import { at, root } from './lib/paths.mjs';
import { runForeground } from './lib/process.mjs';
import { main, setup } from './lib/setup.mjs';
import { ensureBundlePackagesForTests } from './lib/systemPackages.mjs';

await main(async () => {
  await setup();
  await alone(ensureEmulatorForTests);
  await alone(ensureBundlePackagesForTests);
  const jest = at('node_modules', 'jest', 'bin', 'jest.js');
  const node = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
  // Tests run many small loops, and other programs may use the machine. A thread that waits actively would delay
  // others.
  process.env.OMP_WAIT_POLICY ??= 'passive';
  process.exitCode = await runForeground(process.execPath, [...node, jest, ...process.argv.slice(2)], { cwd: root });
});
