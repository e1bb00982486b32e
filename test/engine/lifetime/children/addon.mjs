// The functions of the addon for the child processes of these tests, which use it without TypeScript.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const file =
  process.env.LXMERT_ADDON ?? fileURLToPath(new URL('../../../../build/Release/lxmert.node', import.meta.url));

export const addon = createRequire(import.meta.url)(file);
export const arena = { parameters: 0, gradients: 1, state: 2, inputs: 3, workspace: 4, features: 5 };

export function enqueue(engine, op, args) {
  addon.enqueue(engine, addon.opNames.indexOf(op), Float64Array.from(args), args.length);
}

/** The numbers of a tensor in a call: [arena, byte offset, elements, dtype]. */
export const tensor = (arenaNumber, offset, elements) => [arenaNumber, offset, elements, 0];
export const none = [-1, 0, 0, 0];
const allRows = (n) => [...none, 0, n, 0];

/** An engine on which `product` can be enqueued. */
export function newEngine({ threads = 2, size = 1024 } = {}) {
  const engine = addon.createEngine(threads);
  addon.reserve(engine, arena.workspace, 3 * 4 * size * size);
  return engine;
}

/** One op with 2 size³ FLOP in the workspace; with size 1024 it takes about 20 ms. */
export function product(engine, size = 1024) {
  const matrix = (i) => tensor(arena.workspace, i * 4 * size * size, size * size);
  enqueue(engine, 'linearForward', [...allRows(size), size, size, ...matrix(0), ...matrix(1), ...none, ...matrix(2)]);
}

export function fill(engine, arenaNumber, elements, value) {
  enqueue(engine, 'fill', [value, ...tensor(arenaNumber, 0, elements)]);
}
