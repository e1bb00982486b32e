import { countOf, phrase } from './descriptions.js';
import type { Description } from './descriptions.js';
import { createRandom } from './random.js';
import type { Random } from './random.js';
import { colors, sceneKey, shapes, streams } from './world.js';
import type { Scene, Split } from './world.js';

/** Whether the left and the right picture have the described object. */
type Has = readonly [boolean, boolean];

interface Statement {
  readonly name: string;
  readonly wordings: readonly [string, string];
  readonly holds: (has: Has) => boolean;
  /** The pairs of pictures for the statement: two that make it true, then two that make it false. */
  readonly pairs: readonly [Has, Has, Has, Has];
}

const yes = true;
const no = false;

/**
 * The statements. One picture alone does not help for "exactly one". For "both" one picture is enough if it does not have
 * the object. For "left" and "right" the other picture does not help.
 */
export const pairStatements: readonly Statement[] = [
  {
    name: 'both',
    wordings: ['both pictures have a {d}.', 'there is a {d} in both pictures.'],
    holds: ([left, right]) => left && right,
    pairs: [
      [yes, yes],
      [yes, yes],
      [yes, no],
      [no, yes],
    ],
  },
  {
    name: 'exactlyOne',
    wordings: ['exactly one picture has a {d}.', 'there is a {d} in exactly one of the pictures.'],
    holds: ([left, right]) => left !== right,
    pairs: [
      [yes, no],
      [no, yes],
      [yes, yes],
      [no, no],
    ],
  },
  {
    name: 'left',
    wordings: ['the left picture has a {d}.', 'there is a {d} in the left picture.'],
    holds: ([left]) => left,
    pairs: [
      [yes, yes],
      [yes, no],
      [no, yes],
      [no, no],
    ],
  },
  {
    name: 'right',
    wordings: ['the right picture has a {d}.', 'there is a {d} in the right picture.'],
    holds: ([, right]) => right,
    pairs: [
      [yes, yes],
      [no, yes],
      [yes, no],
      [no, no],
    ],
  },
];

/** Number of scenes from which the pairs of one set are chosen. */
export const scenesPerSet = 10;

/** One pair of pictures in the original's form of NLVR2. */
export interface PairEntry {
  readonly identifier: string;
  readonly img0: string;
  readonly img1: string;
  readonly label: 0 | 1;
  readonly sent: string;
  readonly uid: string;
}

/** All combinations of colour and shape. */
const descriptions: readonly Description[] = colors.flatMap((color) => shapes.map((shape) => ({ color, shape })));

/** Chooses two different scenes that have, or do not have, the described object. No pair is chosen twice. */
function choosePair(
  groups: { readonly with: readonly Scene[]; readonly without: readonly Scene[] },
  [left, right]: Has,
  taken: readonly (readonly [Scene, Scene])[],
  random: Random,
): readonly [Scene, Scene] | undefined {
  const group = (has: boolean): readonly Scene[] => (has ? groups.with : groups.without);
  const seconds = random.shuffle(group(right));
  for (const first of random.shuffle(group(left))) {
    const second = seconds.find((other) => other !== first && !taken.some(([a, b]) => a === first && b === other));
    if (second) return [first, second];
  }
  return undefined;
}

/**
 * Makes a set of statements about two pictures as in NLVR2: one of each kind, with four pairs of pictures, of which two
 * make it true. So a model that ignores the pictures is right in half of the cases.
 * @param scenes `scenesPerSet` consecutive scenes
 * @param index the number of the set in the split
 */
export function pairEntries(scenes: readonly Scene[], seed: number, split: Split, index: number): PairEntry[] {
  const random = createRandom(...sceneKey(seed, split, index, streams.pairs));
  const entries: PairEntry[] = [];
  for (const [sentence, statement] of pairStatements.entries()) {
    for (const description of random.shuffle(descriptions)) {
      const groups = {
        with: scenes.filter((scene) => countOf(scene, description) > 0),
        without: scenes.filter((scene) => countOf(scene, description) === 0),
      };
      const pairs: (readonly [Scene, Scene])[] = [];
      for (const has of statement.pairs) {
        const pair = choosePair(groups, has, pairs, random);
        if (pair) pairs.push(pair);
      }
      if (pairs.length < statement.pairs.length) continue;
      const wording = random.pick(statement.wordings);
      const order = random.shuffle(pairs.map((_, k) => k));
      order.forEach((k, number) => {
        const identifier = `${split}-${index}-${number}-${sentence}`;
        entries.push({
          identifier,
          img0: pairs[k][0].id,
          img1: pairs[k][1].id,
          label: statement.holds(statement.pairs[k]) ? 1 : 0,
          sent: wording.replace('{d}', phrase(description)),
          uid: `scenes_${identifier}`,
        });
      });
      break;
    }
  }
  return entries;
}

/** Counts statements and computes how well they can be guessed without the pictures. */
export class PairTally {
  readonly #labels = new Map<string, [number, number]>();
  readonly #statements = new Set<string>();

  add({ identifier, sent, label }: PairEntry): void {
    const name = sent.replace(new RegExp(`(${colors.join('|')}) (${shapes.join('|')})`), '');
    const tally = this.#labels.get(name) ?? [0, 0];
    tally[label] += 1;
    this.#labels.set(name, tally);
    const [split, set, , sentence] = identifier.split('-');
    this.#statements.add(`${split}-${set}-${sentence}`);
  }

  /**
   * Number of pairs, number of statements, and the share of right answers if each wording gets its more frequent label.
   */
  result(): { readonly pairs: number; readonly statements: number; readonly majority: number } {
    const counts = [...this.#labels.values()];
    const pairs = counts.reduce((sum, [wrong, right]) => sum + wrong + right, 0);
    const guessed = counts.reduce((sum, tally) => sum + Math.max(...tally), 0);
    return { pairs, statements: this.#statements.size, majority: pairs === 0 ? 0 : guessed / pairs };
  }
}
