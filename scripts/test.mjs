// `npm test`: setup, then every test. Arguments go to jest: `npm test -- test/engine`, `npm test -- -t "layer norm"`.
import { at, root } from './lib/paths.mjs';
import { runForeground } from './lib/process.mjs';
import { main, setup } from './lib/setup.mjs';

await main(async () => {
  await setup();
  const jest = at('node_modules', 'jest', 'bin', 'jest.js');
  const node = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
  process.exitCode = await runForeground(process.execPath, [...node, jest, ...process.argv.slice(2)], { cwd: root });
});
