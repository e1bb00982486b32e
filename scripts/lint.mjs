// `npm run lint` runs all static checks of the code, even if one of them fails. `-- --fix` corrects faults that can be
// corrected automatically.
import { spawnSync } from 'node:child_process';
import { at, filesBelow, root } from './lib/paths.mjs';
import { say } from './lib/process.mjs';
import { onPath } from './lib/systemPackages.mjs';

const fix = process.argv.includes('--fix');

const npmBin = (path) => [process.execPath, at('node_modules', ...path.split('/'))];
const native = filesBelow(at('native'), (file) => /\.(cc|h|cu|cuh)$/.test(file));

const checks = [
  { name: 'eslint', command: [...npmBin('eslint/bin/eslint.js'), '.', '--max-warnings=0', ...(fix ? ['--fix'] : [])] },
  {
    name: 'prettier',
    command: [...npmBin('prettier/bin/prettier.cjs'), '.', '--log-level=warn', fix ? '--write' : '--check'],
  },
  { name: 'tsc', command: [...npmBin('typescript/bin/tsc'), '--noEmit', '-p', 'tsconfig.json'] },
  {
    name: 'tsc of the report page',
    command: [...npmBin('typescript/bin/tsc'), '--noEmit', '-p', 'assets/report/tsconfig.json'],
  },
  {
    name: 'tsc of the page of serve',
    command: [...npmBin('typescript/bin/tsc'), '--noEmit', '-p', 'assets/serve/tsconfig.json'],
  },
  {
    name: 'dependency-cruiser',
    command: [...npmBin('dependency-cruiser/bin/dependency-cruise.mjs'), 'src', 'test', 'scripts'],
  },
  {
    name: 'clang-format',
    command: ['clang-format', ...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...native],
    // npm does not install this tool, but CI installs it.
    skip: native.length === 0 || !onPath('clang-format') ? 'not installed (apt-get install clang-format)' : '',
  },
  {
    name: 'warnings',
    command: [process.execPath, at('scripts', 'check-warnings.mjs')],
    // Compilers give different warnings, so CI names one compiler.
    skip: process.env.LXMERT_LINT_CXX ? '' : 'no compiler is named (LXMERT_LINT_CXX=g++-12 npm run lint)',
  },
];

const failed = checks.filter(({ name, command: [program, ...args], skip }) => {
  if (skip) {
    say(`lint: ${name}: skipped, ${skip}`);
    return false;
  }
  const start = performance.now();
  const { status } = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  say(`lint: ${name}: ${status === 0 ? 'ok' : 'FAILED'} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
  return status !== 0;
});

if (failed.length > 0) {
  say(
    `\nlint: ${failed.map(({ name }) => name).join(', ')} failed; \`npm run lint -- --fix\` repairs what a program can.`,
  );
  process.exitCode = 1;
}
