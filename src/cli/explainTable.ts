import { percent, whole } from '../figures.js';
import { removals } from '../explain/index.js';
import { removedParts, testedMethods } from '../finetune/index.js';
import type { ExplainedQuestion, PerturbationReport } from '../finetune/index.js';

/**
 * An explanation as text. The length of a bar shows how relevant the word or box is, compared with the most relevant
 * word or box.
 */
export function explanationLines(explained: ExplainedQuestion): string[] {
  const { id, image, answer, probability, labels, words, boxes } = explained;
  const bars = (items: readonly { readonly name: string; readonly relevance: number }[]): string[] => {
    const most = Math.max(...items.map(({ relevance }) => relevance));
    return items.map(({ name, relevance }) =>
      `  ${name.padEnd(28)} ${relevance.toExponential(2).padStart(9)}  ${'█'.repeat(most > 0 ? Math.round((20 * relevance) / most) : 0)}`.trimEnd(),
    );
  };
  const right = labels.length > 0 ? `; right: ${labels.join(', ')}` : '';
  return [
    `${id} (${image}): ${answer}, ${percent(probability)}${right}`,
    ...bars(words.map(({ text, relevance }) => ({ name: text, relevance }))),
    ...bars(
      boxes.map(({ box, relevance }, i) => ({
        name: `box ${i}: ${box.map((x) => x.toFixed(2)).join(' ')}`,
        relevance,
      })),
    ),
    '',
  ];
}

/** The result of the perturbation test as text. */
export function perturbationTable({
  checkpoint,
  splits,
  questions,
  curves,
  forwardsPerExplanation,
}: PerturbationReport) {
  const columns = removedParts.flatMap((part) => removals.map((first) => ({ part, first })));
  const cell = (text: string): string => text.padStart(19);
  const shares = (value: number, error: number): string => `${percent(value)} ± ${(100 * error).toFixed(1)}`;
  return [
    `${checkpoint} on ${whole(questions)} questions of ${splits.join(', ')}: accuracy ${percent(curves[0].accuracy[0])}`,
    '',
    'area under the accuracy while words or boxes are removed, ± standard error; those removed first:',
    ''.padEnd(12) + columns.map(({ part, first }) => cell(`${first} relevant`.replace('relevant', part))).join(''),
    ...testedMethods.map(
      (method) =>
        method.padEnd(12) +
        columns
          .map(({ part, first }) => {
            const curve = curves.find((one) => one.part === part && one.first === first && one.method === method)!;
            return cell(shares(curve.area, curve.error));
          })
          .join(''),
    ),
    ''.padEnd(12) +
      columns.map(({ first }) => cell(first === 'most' ? 'lower is better' : 'higher is better')).join(''),
    '',
    `An explanation by relevancy takes the time of ${forwardsPerExplanation.toFixed(1)} forward passes of its question.`,
  ];
}
