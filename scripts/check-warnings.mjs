// `node scripts/check-warnings.mjs [COMPILER]` compiles every C++ and CUDA source, including those of tests, with
// warnings as errors. The default compiler is the one that LXMERT_LINT_CXX names. Compilers give different warnings, so
// only warnings of this compiler are errors. No other build stops at a warning. The script writes only a record of the
// sources that were found to be without warnings.
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { march } from './lib/compiler.mjs';
import { mpiHeaders } from './lib/mpi.mjs';
import { nodeHeaders } from './lib/nodeHeaders.mjs';
import { at, filesBelow, fingerprint, readJson, root } from './lib/paths.mjs';
import { outputOf, say, StepError } from './lib/process.mjs';
import { main } from './lib/setup.mjs';

const ROOMS = ['native', 'bench', 'test'];
const recordPath = at('build', 'without-warnings.json');
const compiler = process.argv[2] || process.env.LXMERT_LINT_CXX;

const files = ROOMS.flatMap((room) => filesBelow(at(room), (file) => /\.(cc|cu|h|cuh)$/.test(file)));
/** Files that include NVIDIA's headers, which not every machine has. scripts/check-nvidia-libraries.mjs compiles these files. */
const needsNvidia = (file) =>
  /\/test\/(cuda\/cublaslt|comm\/nccl)\.cc$|\/native\/cuda\/(gemm_)?cublaslt\.cu$/.test(file);
const mpi = mpiHeaders();
const needsMpi = (file) => /\/native\/comm\/mpi_plugin\.cc$/.test(file);
const sources = files.filter(
  (file) => /\.(cc|cu)$/.test(file) && !needsNvidia(file) && !(mpi === null && needsMpi(file)),
);

function flags() {
  const { lxmert_cxx_flags: cxx, lxmert_defines: defines } = readJson(at('native', 'sources.gypi')).variables;
  const napi = createRequire(import.meta.url)('node-addon-api').include_dir.replaceAll('"', '');
  const system = [nodeHeaders(), napi, ...(mpi ?? [])]
    .filter((folder) => folder !== null)
    .flatMap((folder) => ['-isystem', folder]);
  return [
    ...[...cxx, ...defines.map((name) => `-D${name}`), '-DLXMERT_RACECHECK', `-march=${march}`],
    // The same flags as in scripts/lib/mpi.mjs.
    ...['-DOMPI_SKIP_MPICXX', '-DMPICH_SKIP_MPICXX'],
    // Some warnings, such as for a value that is not set, need the optimiser. Only nvcc supports `#pragma unroll`.
    ...['-O1', '-Werror', '-Wno-unknown-pragmas', '-fPIC', '-I', 'native', ...system],
  ];
}

/** The compiler's messages about one source; '' if it has no warnings. */
async function check(source, options) {
  const child = spawn(compiler, [...options, '-x', 'c++', '-S', '-o', '/dev/null', source], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (output += text));
  const code = await new Promise((done) => {
    child.on('error', (error) => ((output += error.message), done(1)));
    child.on('close', done);
  });
  return code === 0 ? '' : output || `${source}: exit code ${code}`;
}

await main(async () => {
  if (!compiler) throw new StepError('no compiler is named', { hint: 'LXMERT_LINT_CXX=g++-12 npm run lint' });
  const version = outputOf(compiler, ['--version'])?.split('\n')[0];
  if (version === undefined) throw new StepError(`${compiler} does not run`);
  const options = flags();
  const all = fingerprint(files, [version, ...options]);
  if (readJson(recordPath)?.files === all) return;
  const queue = [...sources];
  let failed = 0;
  const work = async () => {
    for (let source = queue.shift(); source !== undefined; source = queue.shift()) {
      const output = await check(source, options);
      if (output !== '') process.stderr.write(output);
      failed += output === '' ? 0 : 1;
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  say(`warnings: ${sources.length} files by ${version}, ${failed} with warnings`);
  if (failed > 0) process.exitCode = 1;
  else {
    mkdirSync(at('build'), { recursive: true });
    writeFileSync(recordPath, JSON.stringify({ files: all }));
  }
});
