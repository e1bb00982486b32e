// `npm test`: setup, then every test. Arguments go to jest: `npm test -- test/engine`, `npm test -- -t "layer norm"`.
import { spawnSync } from 'node:child_process';
import { at, root } from './lib/paths.mjs';
import { main, setup } from './lib/setup.mjs';

await main(async () => {
  await setup();
  const jest = at('node_modules', 'jest', 'bin', 'jest.js');
  const node = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
  const { status, signal } = spawnSync(process.execPath, [...node, jest, ...process.argv.slice(2)], {
    cwd: root,
    stdio: 'inherit',
  });
  if (signal !== null) process.stderr.write(`lxmert: the tests were ended by ${signal}\n`);
  process.exitCode = status ?? 1;
});
