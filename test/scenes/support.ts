import { AnswerBalance } from '../../src/scenes/balance.js';
import { makeSentences } from '../../src/scenes/sentences.js';
import type { Sentences } from '../../src/scenes/sentences.js';
import { makeScene } from '../../src/scenes/world.js';
import type { Scene, Split } from '../../src/scenes/world.js';

export interface Told {
  readonly scene: Scene;
  readonly sentences: Sentences;
}

/** Makes the first scenes of a split with their sentences. */
export function tell(count: number, { seed = 0, split = 'train' }: { seed?: number; split?: Split } = {}): Told[] {
  const balance = new AnswerBalance();
  return Array.from({ length: count }, (_, index) => {
    const scene = makeScene(seed, split, index);
    return { scene, sentences: makeSentences(scene, { seed, split, index, balance }) };
  });
}

export const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;
