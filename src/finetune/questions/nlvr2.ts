import { readJsonArray } from '../../formats/jsonArray.js';
import { fieldsOf } from './fields.js';
import type { Fields } from './fields.js';
import { readJsonLines } from '../../formats/lines.js';
import { nlvr2Answers } from './question.js';
import type { AnswerScore, OnQuestion } from './question.js';

const truth = (label: number): AnswerScore[] => [{ answer: nlvr2Answers[label], score: 1 }];

/** Reads the identifier `split-set-pair-sentence`. Its first three fields name the pictures; the third is the pair. */
function identifierOf(fields: Fields): string {
  const identifier = fields.text('identifier');
  if (identifier.split('-').length < 4) throw fields.bad('identifier', 'of the form split-set-pair-sentence');
  return identifier;
}

/** Reads NLVR2 in the form of the original's repository: `[{identifier, img0, img1, sent, label?: 0 or 1, uid}, …]`. */
export function readOriginalNlvr2(file: string, onQuestion: OnQuestion, signal?: AbortSignal): Promise<void> {
  const take = (element: unknown, index: number): void => {
    const place = `[${index}]`;
    const fields = fieldsOf(element, file, place);
    const label = fields.get('label');
    if (label !== undefined && label !== 0 && label !== 1) throw fields.bad('label', '0 or 1');
    onQuestion(
      {
        id: identifierOf(fields),
        imageIds: [fields.text('img0'), fields.text('img1')],
        sentence: fields.text('sent'),
        labels: label === undefined ? undefined : truth(label),
        annotators: undefined,
        mainAnswer: undefined,
        types: {},
      },
      `${place}.identifier`,
    );
  };
  return readJsonArray(file, 'NLVR2 statements', take, signal);
}

/** Reads NLVR2 as lil-lab publishes it, one JSON object a line: `{identifier, sentence, label?: "True" or "False", …}`. */
export function readPublishedNlvr2(file: string, onQuestion: OnQuestion, signal?: AbortSignal): Promise<void> {
  const take = (value: unknown, line: number): void => {
    const fields = fieldsOf(value, file, `line ${line}`);
    const identifier = identifierOf(fields);
    const stem = identifier.slice(0, identifier.lastIndexOf('-'));
    const text = fields.optionalText('label');
    const label =
      text === undefined ? undefined : nlvr2Answers.findIndex((answer) => answer.toLowerCase() === text.toLowerCase());
    if (label === -1) throw fields.bad('label', '"True" or "False"');
    onQuestion(
      {
        id: identifier,
        imageIds: [`${stem}-img0`, `${stem}-img1`],
        sentence: fields.text('sentence'),
        labels: label === undefined ? undefined : truth(label),
        annotators: undefined,
        mainAnswer: undefined,
        types: {},
      },
      `line ${line}: identifier`,
    );
  };
  return readJsonLines(file, 'NLVR2 statements', take, signal);
}
