/**
 * The ratios that have a budget. Each is divided by the least possible value:
 * - `moved` (of an op): the bytes that DRAM moves if nothing leaves the cache during a launch, divided by the bytes that the
 *   op must move
 * - `loads`, `stores` (of a kernel): the number of sectors that requests access, divided by the smallest number of
 *   sectors for as many bytes
 * - `again`: the number of sectors that requests access, divided by the number of different sectors: how often each
 *   sector is read from a cache
 * - `shared`: passes over the banks of shared memory, divided by the passes without conflicts
 */
export const MEASURES = ['moved', 'loads', 'stores', 'again', 'shared'];

/** Tolerance for budgets. It is needed because each compiler may remove other repeated loads. */
const TOLERANCE = 0.03;

const SECTOR_BYTES = 32;

const ratio = (a, b) => (b > 0 ? Math.ceil((100 * a) / b - 1e-6) / 100 : null);
const over = ({ touched, least }) => ratio(touched, least);

/** "(forwardKernel<Function, T, kWide<T>>)" -> "forwardKernel". */
const nameOf = (text) => text.replace(/^\(/, '').replace(/<.*$/, '').replace(/\)$/, '');

/** Adds up the launches of one kernel of an op. */
function sum(launches) {
  const add = (kind) =>
    launches.reduce(
      ({ touched, least }, launch) => ({ touched: touched + launch[kind].touched, least: least + launch[kind].least }),
      { touched: 0, least: 0 },
    );
  const [loads, stores, shared] = [add('loads'), add('stores'), add('shared')];
  const bytes = launches.reduce((all, { read, written }) => all + read + written, 0);
  return {
    bytes,
    moved: null,
    loads: over(loads),
    stores: over(stores),
    again: ratio(SECTOR_BYTES * (loads.touched + stores.touched), bytes),
    shared: over(shared),
    worst: launches.flatMap(({ worst }) => worst),
  };
}

/**
 * An op, then its kernels. The bytes of products and copies are not counted, so an op with one of them has no row for
 * the op, only rows for its kernels.
 */
function rowsOf({ op, precision, bytes: least, launches }) {
  const key = `${op} ${precision}`;
  const isKernel = ({ loads, stores }) => loads.requests + stores.requests > 0;
  const kernels = {};
  for (const launch of launches.filter(isKernel)) (kernels[nameOf(launch.kernel)] ??= []).push(launch);
  const rows = Object.entries(kernels).map(([name, of]) => ({ key: `${key}: ${name}`, ...sum(of) }));
  const bytes = rows.reduce((all, row) => all + row.bytes, 0);
  const moved = launches.every(isKernel) ? ratio(bytes, least) : null;
  if (moved === null) return rows;
  return [{ key, bytes, moved, loads: null, stores: null, again: null, shared: null, worst: [] }, ...rows];
}

/** Reads the output of bench/cuda's program, linked with native/cuda/emulator/traffic.cc: a row for each op and kernel. */
export function count(output) {
  const ops = [];
  let isOp = false;
  for (const line of output.split('\n').filter((text) => text.startsWith('{'))) {
    const item = JSON.parse(line);
    if ('op' in item) isOp = item.op !== null;
    if (item.op) ops.push({ ...item, launches: [] });
    else if (isOp) ops.at(-1).launches.push(item);
  }
  return ops.flatMap(rowsOf);
}

/** @param {boolean} places also give the source lines at which each kernel wastes most */
export function tableOf(rows, places) {
  const text = (value) => (value === null ? '' : value.toFixed(2)).padStart(7);
  const width = Math.max(...rows.map(({ key }) => key.length), 0);
  const lines = [`${''.padEnd(width)} ${'MB'.padStart(8)} ${MEASURES.map((m) => m.padStart(7)).join(' ')}`];
  for (const row of rows) {
    lines.push(
      `${row.key.padEnd(width)} ${(row.bytes / 1e6).toFixed(2).padStart(8)} ${MEASURES.map((m) => text(row[m])).join(' ')}`,
    );
    for (const { at, kind, touched, least } of places ? row.worst : [])
      lines.push(`      ${kind}: ${touched} for ${least} at ${at}`);
  }
  return `${lines.join('\n')}\n`;
}

/** Describes each ratio that is over its budget. @param {boolean} all whether every kernel was counted */
export function problemsOf(rows, budgets, all = true) {
  const problems = [];
  for (const row of rows) {
    const budget = budgets[row.key];
    if (!budget) problems.push(`${row.key} has no budget`);
    for (const measure of budget ? MEASURES : []) {
      const [value, most] = [row[measure], budget[measure] ?? 0];
      if (value === null || value <= most + TOLERANCE) continue;
      const places = row.worst.map(({ at, touched, least }) => `${touched} for ${least} at ${at}`);
      const where = places.length > 0 ? ` (most: ${places.join('; ')})` : '';
      problems.push(`${row.key}: ${measure} ${value} times the least, ${most} is budgeted${where}`);
    }
  }
  const keys = new Set(rows.map(({ key }) => key));
  const gone = all ? Object.keys(budgets).filter((key) => !keys.has(key)) : [];
  return [...problems, ...gone.map((key) => `${key} has a budget and is no more`)];
}
