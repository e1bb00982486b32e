import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Ranges } from '../../src/engine/ranges.js';

fc.configureGlobal({ seed: 2019 });

const limit = 40;
const operations = fc.array(
  fc.record({ add: fc.boolean(), begin: fc.integer({ max: limit, min: 0 }), length: fc.integer({ max: 12, min: 0 }) }),
  { maxLength: 30 },
);
const numbers = Array.from({ length: limit + 12 }, (_, n) => n);

test('Ranges are a set of numbers', () => {
  fc.assert(
    fc.property(operations, (list) => {
      const ranges = new Ranges();
      const set = new Set<number>();
      for (const { add, begin, length } of list) {
        const end = begin + length;
        if (add) ranges.add(begin, end);
        else ranges.remove(begin, end);
        for (let n = begin; n < end; n++)
          if (add) set.add(n);
          else set.delete(n);

        for (const n of numbers) expect(ranges.overlaps(n, n + 1)).toBe(set.has(n));
        const all = [...ranges];
        for (const [i, range] of all.entries()) {
          expect(range.end).toBeGreaterThan(range.begin);
          // The ranges are in order, and adjacent ranges are joined.
          if (i > 0) expect(range.begin).toBeGreaterThan(all[i - 1].end);
        }
        const gaps = ranges.gaps(begin, end).flatMap((gap) => numbers.slice(gap.begin, gap.end));
        expect(gaps).toEqual(numbers.slice(begin, end).filter((n) => !set.has(n)));
        const large = all.filter((range) => range.end - range.begin >= length);
        expect([ranges.find(length, 'lowest'), ranges.find(length, 'highest')]).toEqual([large[0], large.at(-1)]);
      }
    }),
  );
});
