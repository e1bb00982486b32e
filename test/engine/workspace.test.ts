import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { bytesOf, type Tensor } from '../../src/engine/tensor.js';
import { Workspace } from '../../src/engine/workspace.js';

/** Allocations (elements, end) and releases (of the i-th living tensor). */
const operations = fc.array(
  fc.oneof(
    fc.record({ elements: fc.integer({ min: 0, max: 300 }), end: fc.constantFrom('bottom' as const, 'top' as const) }),
    fc.record({ release: fc.nat(50) }),
  ),
  { maxLength: 80 },
);

type Operation = { elements: number; end: 'bottom' | 'top' } | { release: number };

function perform(workspace: Workspace, list: readonly Operation[]): { places: number[]; living: Tensor[] } {
  const living: Tensor[] = [];
  const places: number[] = [];
  for (const operation of list) {
    if ('release' in operation) {
      if (living.length > 0) workspace.release(living.splice(operation.release % living.length, 1)[0]);
      continue;
    }
    const tensor = workspace.allocate([operation.elements], 'f32', operation.end);
    living.push(tensor);
    places.push(tensor.offset);
  }
  return { places, living };
}

describe('Workspace', () => {
  test('living tensors never overlap and stay within the peak', () => {
    fc.assert(
      fc.property(operations, (list) => {
        const workspace = new Workspace();
        workspace.reset(1 << 20);
        const { living } = perform(workspace, list);
        const spans = living
          .map((tensor) => [tensor.offset, tensor.offset + bytesOf(tensor)])
          .sort((a, b) => a[0] - b[0]);
        for (let i = 1; i < spans.length; i++) expect(spans[i][0]).toBeGreaterThanOrEqual(spans[i - 1][1]);
        for (const [begin, end] of spans) {
          expect(begin % 64).toBe(0);
          expect(end).toBeLessThanOrEqual(1 << 20);
        }
      }),
    );
  });

  test('what was planned fits exactly, at the same places from either end', () => {
    fc.assert(
      fc.property(operations, (list) => {
        const workspace = new Workspace();
        workspace.plan();
        const planned = perform(workspace, list);
        const bytes = workspace.peakBytes;
        workspace.reset(bytes);
        const real = perform(workspace, list);
        const end = 2 ** 45;
        expect(real.places).toEqual(planned.places.map((place) => (place > end / 2 ? place - end + bytes : place)));
      }),
    );
  });

  test('everything released is one hole again', () => {
    fc.assert(
      fc.property(operations, (list) => {
        const workspace = new Workspace();
        workspace.reset(1 << 20);
        for (const tensor of perform(workspace, list).living) workspace.release(tensor);
        expect(workspace.allocate([(1 << 20) / 4], 'f32', 'bottom').offset).toBe(0);
      }),
    );
  });

  test('a full workspace and a double release are refused', () => {
    const workspace = new Workspace();
    workspace.reset(256);
    const tensor = workspace.allocate([64], 'f32', 'top');
    expect(() => workspace.allocate([1], 'f32', 'top')).toThrow(/256 bytes has no room for 64 more/);
    workspace.release(tensor);
    expect(() => workspace.release(tensor)).toThrow(/released twice/);
  });

  test('a tensor of the last step is not released into this one', () => {
    const workspace = new Workspace();
    workspace.reset(256);
    const old = workspace.allocate([16], 'f32', 'bottom');
    workspace.reset(256);
    workspace.allocate([16], 'f32', 'bottom');
    workspace.release(old);
    expect(workspace.allocate([16], 'f32', 'bottom').offset).toBe(64);
  });
});
