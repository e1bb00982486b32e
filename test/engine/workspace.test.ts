import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Ranges, type Range } from '../../src/engine/ranges.js';
import { bytesOf, type Tensor } from '../../src/engine/tensor.js';
import { Workspace } from '../../src/engine/workspace.js';

fc.configureGlobal({ seed: 2019 });

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
  test('allocated tensors never overlap, and are within the peak', () => {
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

  test('if a plan is repeated, it fits exactly, with the same places at both ends', () => {
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

  test('after all tensors are released, the free memory is one block again', () => {
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
    expect(() => workspace.allocate([1], 'f32', 'top')).toThrow(/256 bytes has not enough free memory for 64 more/);
    workspace.release(tensor);
    expect(() => workspace.release(tensor)).toThrow(/released twice/);
  });

  test('a tensor of the last step cannot be released in this step', () => {
    const workspace = new Workspace();
    workspace.reset(256);
    const old = workspace.allocate([16], 'f32', 'bottom');
    workspace.reset(256);
    workspace.allocate([16], 'f32', 'bottom');
    workspace.release(old);
    expect(workspace.allocate([16], 'f32', 'bottom').offset).toBe(64);
  });
});

describe('Workspace in lanes', () => {
  /** Work of two lanes in any order: allocations, for both lanes or for one, and releases of a lane's own tensors. */
  const lanes = fc.array(
    fc.record({
      lane: fc.nat(1),
      elements: fc.integer({ min: 1, max: 300 }),
      end: fc.constantFrom('bottom' as const, 'top' as const),
      forAll: fc.boolean(),
      release: fc.option(fc.nat(20)),
    }),
    { maxLength: 60 },
  );
  const spanOf = (tensor: Tensor): Range => ({
    begin: tensor.offset,
    end: tensor.offset + Math.max(64, bytesOf(tensor)),
  });

  test('no lane gets memory that the other lane has used', () => {
    fc.assert(
      fc.property(operations, lanes, (before, work) => {
        const workspace = new Workspace();
        workspace.reset(1 << 20);
        const { living } = perform(workspace, before);
        workspace.fork(2);
        const used = [new Ranges(), new Ranges()];
        const own: Tensor[][] = [living.splice(0, living.length / 2), []];
        for (const tensor of own[0]) used[0].add(spanOf(tensor).begin, spanOf(tensor).end);
        const shared: Tensor[] = [];
        for (const { lane, elements, end, forAll, release } of work) {
          workspace.enter(lane);
          if (release !== null) {
            if (own[lane].length > 0) workspace.release(own[lane].splice(release % own[lane].length, 1)[0]);
            continue;
          }
          const tensor = workspace.allocate([elements], 'f32', end, { forAll });
          const span = spanOf(tensor);
          expect(used[1 - lane].overlaps(span.begin, span.end)).toBe(false);
          if (forAll) expect(used[lane].overlaps(span.begin, span.end)).toBe(false);
          for (const each of forAll ? used : [used[lane]]) each.add(span.begin, span.end);
          (forAll ? shared : own[lane]).push(tensor);
        }
        workspace.join();
        for (const tensor of [...living, ...shared, ...own.flat()]) workspace.release(tensor);
        expect(workspace.allocate([(1 << 20) / 4], 'f32', 'bottom').offset).toBe(0);
      }),
    );
  });

  test('until the lanes join, only the lane itself can use the memory that it released, joined with free memory beside it', () => {
    const workspace = new Workspace();
    workspace.reset(1024);
    workspace.fork(2);
    workspace.release(workspace.allocate([64], 'f32', 'bottom'));
    workspace.enter(1);
    expect(() => workspace.allocate([256], 'f32', 'bottom')).toThrow(/not enough free memory/);
    workspace.enter(0);
    workspace.release(workspace.allocate([256], 'f32', 'bottom'));
    workspace.enter(1);
    expect(() => workspace.allocate([1], 'f32', 'bottom')).toThrow(/not enough free memory/);
    workspace.join();
    expect(workspace.allocate([256], 'f32', 'bottom').offset).toBe(0);
  });
});
