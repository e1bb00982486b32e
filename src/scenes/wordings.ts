import { colors, shapes, sizes } from './world.js';

/** Regular expressions for the contents of a wording's slots. */
const object = `(?:(?:${sizes.join('|')}) )?(?:(?:${colors.join('|')}) )?(?:${[...shapes, 'shape', 'one'].join('|')})`;
const color = colors.join('|');
const slotPatterns = {
  ref: object,
  target: object,
  a: object,
  b: object,
  c: color,
  d: color,
  shapes: shapes.map((shape) => `${shape}s`).join('|'),
} as const satisfies Record<string, string>;

export type Slot = keyof typeof slotPatterns;
export type Slots = Readonly<Partial<Record<Slot, string>>>;

const slotForm = /\{(\w+)\}/g;

/** Fills the slots of a wording. */
export function fill(wording: string, slots: Slots): string {
  return wording.replace(slotForm, (_, slot: Slot) => {
    const words = slots[slot];
    if (words === undefined) throw new TypeError(`the wording "${wording}" has a slot {${slot}} that nothing fills`);
    return words;
  });
}

/** The pattern of all sentences that a wording can make. */
export function wordingPattern(wording: string): RegExp {
  const parts = wording.split(slotForm);
  // Splitting by a pattern with one group gives text and slot names alternately.
  const body = parts.map((part, i) =>
    i % 2 === 0 ? part.replace(/[.?]/g, '\\$&') : `(?:${slotPatterns[part as Slot]})`,
  );
  return new RegExp(`^${body.join('')}$`);
}
