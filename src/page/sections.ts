import { counted, figure, percent, whole } from '../figures.js';
import type { SceneReport, Score } from '../report/index.js';
import type { AnswerView, Guess, SampleView, SampleViews } from '../report/sampleView.js';
import { questionTypes } from '../scenes/index.js';
import type { Chart } from './charts.js';
import type { ConfigTable } from './configuration.js';
import type { RunHistory } from './history.js';
import { html, type Html } from './html.js';

/** A section of the page, with an id for links. */
export const section = (id: string, title: string, content: Html | readonly Html[]): Html =>
  html`<section id="${id}">
    <h2>${title}</h2>
    ${content}
  </section>`;

/** A line that is shown instead of a part of the page. It gives the reason why the part is empty. */
export const empty = (reason: string): Html => html`<p class="quiet">${reason}</p>`;

/** The most important figures of a run. */
export function tiles({ steps, validations, checkpoints }: RunHistory): Html {
  const last = steps.at(-1);
  const rates = steps.map(({ samplesPerSecond }) => samplesPerSecond).sort((a, b) => a - b);
  const best = validations.reduce<(typeof validations)[number] | undefined>(
    (found, one) => (found && found.loss <= one.loss ? found : one),
    undefined,
  );
  const facts: readonly (readonly [string, string])[] = [
    ['Optimizer steps', last ? whole(last.step) : 'none yet'],
    ['Loss of the last step', last ? figure(last.loss) : '–'],
    ['Lowest validation loss', best ? `${figure(best.loss)} (step ${whole(best.step)})` : 'no validation'],
    ['Median speed', rates.length > 0 ? `${figure(rates[Math.floor(rates.length / 2)])} samples/s` : '–'],
    ['Checkpoints', checkpoints.length > 0 ? checkpoints.map(whole).join(', ') : 'none yet'],
  ];
  return html`<dl class="tiles">
    ${facts.map(
      ([name, value]) =>
        html`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}

/** An empty element for each chart. The script of the page draws the charts in these elements. */
export function curves(charts: readonly Chart[]): Html {
  if (charts.length === 0) return empty('The run has no step yet, so there are no curves.');
  return html`<div class="controls">
      <label for="smoothing">Smoothing of training curves</label>
      <input id="smoothing" type="range" min="0" max="0.99" step="0.01" value="0.6" />
      <output id="smoothing-value" for="smoothing">0.6</output>
      <button type="button" id="reset-zoom">Reset zoom</button>
      <span class="quiet">Drag over a chart to zoom. A click on a name of the legend hides its line.</span>
    </div>
    <div class="charts">
      ${charts.map(
        ({ id, title, unit, series }) =>
          html`<figure>
            <h3>${title}</h3>
            <div id="chart-${id}"></div>
            <figcaption>${unit}. <span id="range-${id}"></span> ${lastValues(series)}</figcaption>
          </figure>`,
      )}
    </div>`;
}

/** The last values of the first lines as text, for readers who do not see the chart. */
function lastValues(series: Chart['series']): string {
  const values = series.slice(0, 8).flatMap(({ label, x, y }) => {
    const at = y.findLastIndex((value) => value !== null);
    return at < 0 ? [] : [`${label} ${figure(y[at]!)} at step ${whole(x[at])}`];
  });
  return values.length > 0 ? `Last: ${values.join('; ')}.` : '';
}

/** A table with a heading for each column; columns of numbers are aligned right. */
export function table(
  caption: string,
  columns: readonly string[],
  rows: readonly (readonly (string | Html)[])[],
): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${caption}">
    <table>
      <caption>
        ${caption}
      </caption>
      <thead>
        <tr>
          ${columns.map((name, i) => html`<th scope="col" class="${i === 0 ? '' : 'number'}">${name}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (cells) =>
            html`<tr>
              ${cells.map((cell, i) =>
                i === 0 ? html`<th scope="row">${cell}</th>` : html`<td class="number">${cell}</td>`,
              )}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** The accuracies on scenes, compared with the accuracies of guesses. */
export function sceneResults(report: SceneReport): Html {
  const { words, objectClass, attribute, matching, questions } = report;
  const all: readonly (readonly [string, Score | undefined])[] = [
    ['hidden word of a caption', words],
    ['class of a hidden object', objectClass],
    ['color of a hidden object', attribute],
    ['sentence and picture belong together', matching],
    ['questions', questions?.all],
    ...questionTypes.map((type) => [`questions: ${type}`, questions?.[type]] as const),
  ];
  return table(
    `${counted(report.scenes, 'scene')} of ${report.data} (${report.splits.join(', ')}), ${report.checkpoint}. ` +
      'Guessed: for words, the same words with the picture of another scene; else the most frequent answer.',
    ['task', 'asked', 'right', 'guessed'],
    all.flatMap(([name, score]) =>
      score ? [[name, whole(score.asked), percent(score.right), percent(score.floor)]] : [],
    ),
  );
}

/** The accuracies on some samples, compared with the accuracies of guesses. */
export function viewResults({ split, checkpoint, scores }: SampleViews): Html {
  if (scores.length === 0) return empty('The samples have no label, so there is no accuracy.');
  return table(
    `${checkpoint} on samples of ${split}, spread evenly. Guessed: the most frequent answer.`,
    ['task', 'asked', 'right', 'guessed'],
    scores.map(({ task, asked, right, guessed }) => [task, whole(asked), percent(right), percent(guessed)]),
  );
}

/** Accuracies of the last validation of each run. */
export function validationResults(runs: readonly RunHistory[]): Html {
  const last = runs.map(({ validations }) => validations.at(-1));
  const names = [...new Set(last.flatMap((one) => Object.keys(one?.accuracy ?? {})))];
  if (names.length === 0) return empty('There was no validation, so there are no accuracies.');
  const share = (value: number | undefined): string => (value === undefined ? '–' : percent(value));
  return table(
    `Last validation: ${runs.map(({ name }, i) => `${name} after ${last[i] ? `step ${whole(last[i].step)}` : 'no step'}`).join('; ')}`,
    ['accuracy of', ...runs.map(({ name }) => name)],
    names.map((name) => [name, ...last.map((one) => share((one?.accuracy as Record<string, number>)?.[name]))]),
  );
}

/** The settings, in which those that differ from the nearest preset are marked. */
export function configuration({ preset, rows }: ConfigTable): Html {
  const changed = rows.filter((row) => row.preset !== undefined).length;
  return html`<p>
      Nearest preset: <strong>${preset}</strong>; ${counted(changed, 'setting')} ${changed === 1 ? 'differs' : 'differ'}
      from it (marked).
    </p>
    <details ${changed <= 8 ? { markup: 'open' } : ''}>
      <summary>All ${counted(rows.length, 'setting')}</summary>
      <div class="scroll" tabindex="0" role="region" aria-label="Settings">
        <table>
          <thead>
            <tr>
              <th scope="col">setting</th>
              <th scope="col">value</th>
              <th scope="col">${preset}</th>
            </tr>
          </thead>
          <tbody>
            ${rows.map(
              ({ key, value, preset: theirs }) =>
                html`<tr class="${theirs === undefined ? '' : 'changed'}">
                  <th scope="row"><code>${key}</code></th>
                  <td><code>${value}</code></td>
                  <td><code>${theirs ?? ''}</code></td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </details>`;
}

type Pictures = ReadonlyMap<SampleView, readonly Html[]>;

/** Samples with their pictures. */
const gallery = (views: readonly SampleView[], pictures: Pictures): Html =>
  html`<div class="gallery">${views.map((view) => sample(view, view, pictures))}</div>`;

/** Samples with wrong answers. Only the answer is shown, without the hidden word and the matching. */
const mistakeGallery = (views: readonly SampleView[], pictures: Pictures): Html =>
  html`<div class="gallery">
    ${views.map((view) => sample(view, { ...view, hidden: undefined, match: undefined }, pictures))}
  </div>`;

const sample = (view: SampleView, shown: SampleView, pictures: Pictures): Html =>
  html`<article class="sample">
    <h3>${view.id}</h3>
    ${pictures.get(view) ?? []}
    <p>${sentence(shown)}</p>
    ${hiddenWord(shown)} ${match(shown)} ${shown.answer && answer(shown.answer)}
  </article>`;

const sentence = ({ words, hidden }: SampleView): Html[] =>
  words.map((word, i) => {
    const text = word.startsWith('##') ? word.slice(2) : `${i === 0 ? '' : ' '}${word}`;
    return i === hidden?.place ? html` <mark>${text.trim()}</mark>` : html`${text}`;
  });

const hiddenWord = ({ words, hidden }: SampleView): Html | undefined =>
  hidden &&
  html`<p>The marked word, hidden:</p>
    ${guesses(hidden.guesses, [words[hidden.place]])}`;

function match({ match: found }: SampleView): Html | undefined {
  if (!found) return undefined;
  const { own, other, otherId } = found;
  return html`<p>
    Belongs to this picture: <span class="${own >= 0.5 ? 'good' : 'bad'}">${percent(own)}</span>. Belongs to the picture
    ${otherId}: <span class="${other < 0.5 ? 'good' : 'bad'}">${percent(other)}</span>.
  </p>`;
}

const answer = ({ right, guesses: said, rightProbability }: AnswerView): Html =>
  html`<p>
      Answer: <strong>${right.length > 0 ? right.join(', ') : 'without a label'}</strong>
      ${right.length > 0 && html`(given ${percent(rightProbability)})`}
    </p>
    ${guesses(said, right)}`;

const guesses = (list: readonly Guess[], right: readonly string[]): Html =>
  html`<ul class="answers">
    ${list.map(
      ({ text, probability }) =>
        html`<li>
          <span class="${right.includes(text) ? 'good' : ''}">${text}${right.includes(text) ? ' ✓' : ''}</span>
          <span>${percent(probability)}</span>
          <meter value="${probability.toFixed(4)}" min="0" max="1" aria-label="${text}"></meter>
        </li>`,
    )}
  </ul>`;

/** The gallery and the mistakes. */
export function samples(views: SampleViews, pictures: Pictures): readonly Html[] {
  const { split, checkpoint, asked, worst, mostConfident } = views;
  const mistakes = (list: readonly SampleView[]): Html =>
    list.length > 0
      ? mistakeGallery(list, pictures)
      : empty(asked > 0 ? `All ${counted(asked, 'question')} are answered correctly.` : 'No question was asked.');
  return [
    section('samples', 'Held-out samples', [
      html`<p class="quiet">Samples of ${split}, spread evenly; the model is ${checkpoint}.</p>`,
      gallery(views.gallery, pictures),
    ]),
    section('worst', 'Worst mistakes', [
      html`<p class="quiet">Lowest probability of the right answer, among ${counted(asked, 'question')}.</p>`,
      mistakes(worst),
    ]),
    section('confident', 'Most confident mistakes', [
      html`<p class="quiet">Highest probability of a wrong answer, among the same questions.</p>`,
      mistakes(mostConfident),
    ]),
  ];
}
