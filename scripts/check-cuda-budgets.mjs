// `node scripts/check-cuda-budgets.mjs` compares the registers and spilled bytes of each kernel on each target, as
// ptxas reports them, with native/cuda/budgets.json. `--update` writes the reported numbers as the new budgets. The
// check fails when a kernel has more registers or spills than its budget, when a kernel has no budget, and when the
// version of nvcc that the budgets name gives a warning. Attention and layer norm must not spill registers.
import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { ensureCuda, nvccVersion } from './lib/cuda.mjs';
import { alone } from './lib/lock.mjs';
import { at, readJson } from './lib/paths.mjs';
import { outputOf, say } from './lib/process.mjs';
import { main } from './lib/setup.mjs';

const budgetsPath = at('native', 'cuda', 'budgets.json');
const mayNotSpill = /^(attention|layer_norm).* on sm_(80|90|100|120)$/;

/** The names of kernels as the sources have them, without namespaces and without words that all kernels share. */
function shortNames(mangled) {
  const text = outputOf('c++filt', [], mangled.join('\n')) ?? mangled.join('\n');
  return text.split('\n').map((name) =>
    name
      .replace(/\(anonymous namespace\)::|lxmert::cuda::|lxmert::/g, '')
      .replace(/^void /, '')
      .replace(/\(.*$/, '')
      .replace(/__nv_bfloat16/g, 'bf16'),
  );
}

/** The report of ptxas for one file: kernel -> target -> { registers, spilled }. */
function parse(report) {
  const entries = [];
  for (const line of report.split('\n')) {
    const entry = /Compiling entry function '(\S+)' for 'sm_(\d+)a?'/.exec(line);
    if (entry) entries.push({ name: entry[1], target: entry[2], registers: 0, spilled: 0 });
    const spill = /(\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    if (spill && entries.length > 0) entries.at(-1).spilled = Number(spill[1]) + Number(spill[2]);
    const used = /Used (\d+) registers/.exec(line);
    if (used && entries.length > 0) entries.at(-1).registers = Number(used[1]);
  }
  const names = shortNames(entries.map(({ name }) => name));
  return entries.map((entry, i) => ({ ...entry, name: names[i] }));
}

/** "file: kernel" -> { sm_80: [registers, spilled bytes], … }, sorted. */
function measured(reports) {
  const kernels = new Map();
  for (const [source, report] of reports)
    for (const { name, target, registers, spilled } of parse(report)) {
      const key = `${basename(source)}: ${name}`;
      kernels.set(key, { ...kernels.get(key), [`sm_${target}`]: [registers, spilled] });
    }
  return Object.fromEntries([...kernels].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function problemsOf(kernels, { kernels: budgets, nvcc }) {
  const problems = [];
  const sameCompiler = nvcc === nvccVersion();
  if (!sameCompiler) say(`cuda: the budgets are those of nvcc ${nvcc}: registers are not compared`);
  for (const [kernel, targets] of Object.entries(kernels))
    for (const [target, [registers, spilled]] of Object.entries(targets)) {
      const budget = budgets[kernel]?.[target];
      const where = `${kernel} on ${target}`;
      if (spilled > 0 && mayNotSpill.test(where)) problems.push(`${where} spills ${spilled} bytes, and may not`);
      if (!budget) problems.push(`${where} has no budget`);
      else if (spilled > budget[1]) problems.push(`${where} spills ${spilled} bytes, ${budget[1]} are budgeted`);
      else if (sameCompiler && registers > budget[0])
        problems.push(`${where} takes ${registers} registers, ${budget[0]} are budgeted`);
    }
  const gone = Object.keys(budgets).filter((kernel) => !(kernel in kernels));
  return [...problems, ...gone.map((kernel) => `${kernel} has a budget and is no more`)];
}

/** One kernel a line. */
function write(kernels) {
  const lines = Object.entries(kernels).map(
    ([name, targets]) => `    ${JSON.stringify(name)}: ${JSON.stringify(targets)}`,
  );
  const head = `  "nvcc": ${JSON.stringify(nvccVersion())},\n  "unit": ["registers of a thread", "spilled bytes of a thread"],`;
  writeFileSync(budgetsPath, `{\n${head}\n  "kernels": {\n${lines.join(',\n')}\n  }\n}\n`);
}

await main(async () => {
  const { reports } = await alone(ensureCuda, 'build-cuda');
  const kernels = measured(reports);
  if (process.argv.includes('--update')) write(kernels);
  const budgets = readJson(budgetsPath) ?? { kernels: {}, nvcc: null };
  const problems = problemsOf(kernels, budgets);
  // Compilers give different warnings. Only warnings of the compiler that the budgets name make the check fail.
  if (budgets.nvcc === nvccVersion())
    problems.push(...[...reports.values()].flatMap((report) => report.match(/^.*\bwarning\b.*$/gm) ?? []));
  problems.forEach((problem) => say(`cuda: ${problem}`));
  say(`cuda: ${Object.keys(kernels).length} kernels, ${problems.length} over their budget (native/cuda/budgets.json)`);
  if (problems.length > 0) process.exitCode = 1;
});
