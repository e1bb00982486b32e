import { expect, test } from '@jest/globals';
import { firstPart, planParts } from '../../src/step/gradientParts.js';

/** The sum of a subtree as text, in the order of its additions. */
const tree = (first: number, count: number): string =>
  count === 1 ? `${first}` : `(${tree(first, count / 2)}+${tree(first + count / 2, count / 2)})`;

/** The sums that a rank makes of its parts: follows the plan with texts instead of gradients. */
function summed(first: number, end: number): string[] {
  const { ends, waiting } = planParts(first, end);
  const slots: string[] = [];
  let gradient = '';
  ends.forEach(({ add, keep }, i) => {
    gradient = `${first + i}`;
    for (const slot of add) gradient = `(${slots[slot]}+${gradient})`;
    if (keep !== undefined) slots[keep] = gradient;
  });
  return [...slots.slice(0, waiting), gradient];
}

test.each([1, 2, 4, 8, 16])('%i parts: every rank adds its parts up to complete subtrees of one tree', (parts) => {
  for (let ranks = 1; ranks <= parts; ranks++) {
    const nodes = Array.from({ length: ranks }, (_, rank) =>
      summed(firstPart({ parts, ranks }, rank), firstPart({ parts, ranks }, rank + 1)),
    ).flat();
    const whole = tree(0, parts);
    let at = 0;
    for (const node of nodes) {
      at = whole.indexOf(node, at);
      expect({ parts, ranks, node, at }).toMatchObject({ at: expect.any(Number) });
      expect(at).toBeGreaterThanOrEqual(0);
      at += node.length;
    }
    expect(nodes.join(' ').match(/\d+/g)?.map(Number) ?? []).toHaveLength(parts);
    if (ranks === 1) expect(nodes).toEqual([whole]);
  }
});
