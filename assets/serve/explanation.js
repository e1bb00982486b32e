// @ts-check
// How words and boxes are shaded: by their relevance for an answer, or by the attention of the one that is pointed at.
import { element, percent, select } from './dom.js';

/**
 * @typedef {'words' | 'boxes'} Stream
 * @typedef {{ map: string, queries: Stream, keys: Stream, heads: number[][][] }} Attention
 * @typedef {{ answer: string, probability: number, words: { text: string, relevance: number }[], boxes: { box: number[], relevance: number }[], attention?: Attention }} Explanation
 */

/** @type {Explanation | undefined} */
let explanation;
/** The attention map that is loaded, for `explanation`. @type {Attention | undefined} */
let attention;

/** The answer whose explanation is shown. */
export const explainedAnswer = () => explanation?.answer;

/** Shows the words and boxes of an explanation, or none. @param {Explanation | undefined} shown */
export function showExplanation(shown) {
  explanation = shown;
  attention = shown?.attention;
  showParts(shown ?? { words: [], boxes: [] });
  showRelevance();
}

/** From now on shows this attention map for the part that is pointed at. @param {Attention | undefined} loaded */
export function useAttention(loaded) {
  attention = loaded;
  showRelevance();
}

/** Words and boxes, each with what happens when it is pointed at or focused. @param {Pick<Explanation, 'words' | 'boxes'>} parts */
function showParts({ words, boxes }) {
  const buttons = words.map(({ text }, i) => {
    const button = document.createElement('button');
    Object.assign(button, { type: 'button', textContent: text });
    return look(button, 'words', i);
  });
  element('words').replaceChildren(...buttons);
  moveByArrows(element('words'), buttons);
  const rects = boxes.map(({ box: [x0, y0, x1, y1] }, i) => {
    const rect = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
    const place = { x: x0, y: y0, width: Math.max(0, x1 - x0), height: Math.max(0, y1 - y0) };
    for (const [name, value] of Object.entries(place)) rect.setAttribute(name, String(value));
    rect.setAttribute('role', 'button');
    rect.setAttribute('aria-label', `Box ${i + 1}`);
    return look(rect, 'boxes', i);
  });
  const area = (/** @type {Element} */ one) => Number(one.getAttribute('width')) * Number(one.getAttribute('height'));
  // Small boxes are over large ones, so that each can be pointed at.
  element('boxes').replaceChildren(...[...rects].sort((a, b) => area(b) - area(a)));
  moveByArrows(element('boxes'), rects);
}

/**
 * @template {HTMLElement | SVGElement} T
 * @param {T} part @param {Stream} stream @param {number} index
 */
function look(part, stream, index) {
  part.dataset.index = String(index);
  for (const event of ['pointerenter', 'focus', 'click']) part.addEventListener(event, () => showLook(stream, index));
  for (const event of ['pointerleave', 'blur']) part.addEventListener(event, showRelevance);
  return part;
}

/** Makes a group one stop of the Tab key; the arrow keys move inside it. @param {HTMLElement} group @param {(HTMLElement | SVGElement)[]} parts */
function moveByArrows(group, parts) {
  parts.forEach((part, i) => part.setAttribute('tabindex', i === 0 ? '0' : '-1'));
  group.onkeydown = (event) => {
    const at = parts.findIndex((part) => part === document.activeElement);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (at < 0 || step === undefined) return;
    event.preventDefault();
    const next = parts[(at + step + parts.length) % parts.length];
    for (const part of parts) part.setAttribute('tabindex', part === next ? '0' : '-1');
    next.focus();
  };
}

/** @param {Stream} stream @returns {(HTMLElement | SVGElement)[]} */
const partsOf = (stream) =>
  [...element(stream).querySelectorAll(stream === 'words' ? 'button' : 'rect')].map(
    (part) => /** @type {HTMLElement | SVGElement} */ (part),
  );

/** Shades parts from 0, the least, to 1, the most. @param {Stream} stream @param {number[]} values by part */
function shade(stream, values) {
  const least = Math.min(...values);
  const range = Math.max(...values) - least;
  for (const part of partsOf(stream)) {
    const share = range > 0 ? (values[Number(part.dataset.index)] - least) / range : 0;
    part.dataset.share = share.toFixed(3);
    if (stream === 'words') part.style.setProperty('--share', share.toFixed(3));
    else {
      part.setAttribute('fill-opacity', (0.55 * share).toFixed(3));
      part.setAttribute('stroke-opacity', (0.25 + 0.75 * share).toFixed(3));
    }
  }
}

/** @param {Stream | undefined} stream @param {number} [index] */
function markAsking(stream, index) {
  for (const one of /** @type {Stream[]} */ (['words', 'boxes']))
    for (const part of partsOf(one))
      part.classList.toggle('asking', one === stream && Number(part.dataset.index) === index);
}

function showRelevance() {
  if (!explanation) return;
  const { answer, words, boxes } = explanation;
  markAsking(undefined);
  // [CLS] and [SEP] are no words of the question.
  const inner = words.map(({ relevance }, i) => (i === 0 || i === words.length - 1 ? NaN : relevance));
  const least = Math.min(...inner.filter((one) => !Number.isNaN(one)));
  shade(
    'words',
    inner.map((one) => (Number.isNaN(one) ? least : one)),
  );
  shade(
    'boxes',
    boxes.map(({ relevance }) => relevance),
  );
  element('meaning').textContent =
    `Darker words and boxes count more for “${answer}”. Point at one, or move to it with the Tab and arrow keys, to see its attention.`;
}

/** Shows where a part looks, or which parts look at it, in the chosen map. @param {Stream} stream @param {number} index */
function showLook(stream, index) {
  if (!explanation || !attention) return;
  const { queries, keys, heads } = attention;
  const head = select('head').value;
  const used = head === 'mean' ? heads : [heads[Number(head)]];
  const mean = (/** @type {number} */ q, /** @type {number} */ k) =>
    used.reduce((sum, map) => sum + map[q][k] / used.length, 0);
  const asks = stream === queries;
  if (!asks && stream !== keys) return;
  const other = asks ? keys : queries;
  const count = asks ? heads[0][0].length : heads[0].length;
  const values = Array.from({ length: count }, (_, i) => (asks ? mean(index, i) : mean(i, index)));
  markAsking(stream, index);
  shade(other, values);
  if (other !== stream)
    shade(
      stream,
      partsOf(stream).map(() => 0),
    );
  const name = stream === 'words' ? `“${explanation.words[index].text}”` : `box ${index + 1}`;
  const best = values.indexOf(Math.max(...values));
  const bestName = other === 'words' ? `“${explanation.words[best].text}”` : `box ${best + 1}`;
  element('meaning').textContent = asks
    ? `Where ${name} looks: most at ${bestName} (${percent(values[best])}).`
    : `Which ${other} look at ${name}: most ${bestName} (${percent(values[best])}).`;
}
