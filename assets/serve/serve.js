// @ts-check
// The page of `lxmert serve`. All text from data is set as text and never as markup.

/**
 * @typedef {{ path: string, answers: number, pictures: number, matches: boolean, heads: number, maps: string[], detector: boolean, storedPictures: number }} Model
 * @typedef {{ answer: string, probability: number }} Answer
 * @typedef {'words' | 'boxes'} Stream
 * @typedef {{ map: string, queries: Stream, keys: Stream, heads: number[][][] }} Attention
 * @typedef {{ answer: string, probability: number, words: { text: string, relevance: number }[], boxes: { box: number[], relevance: number }[], attention?: Attention }} Explanation
 * @typedef {{ name: string, url: string, id?: string, file?: File }} Chosen
 */

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
/** @param {string} id */
const input = (id) => /** @type {HTMLInputElement} */ (element(id));
/** @param {string} id */
const select = (id) => /** @type {HTMLSelectElement} */ (element(id));

/** How the page names the attention maps of each kind. */
const directions = /** @type {Record<string, string>} */ ({
  cross_lang_to_vision: 'words look at boxes',
  cross_vision_to_lang: 'boxes look at words',
  cross_self_language: 'words look at words, after boxes',
  cross_self_vision: 'boxes look at boxes, after words',
  language: 'words look at words, first layers',
  vision: 'boxes look at boxes, first layers',
});
const thumbCount = 12;

/** @type {Model} */
let model;
/** @type {Chosen | undefined} */
let chosen;
let asked = '';
/** @type {Explanation | undefined} */
let explanation;
/** The attention map that is loaded, for `explanation`. @type {Attention | undefined} */
let attention;
let from = 0;
/** The request whose answer the page waits for. */
let current = new AbortController();

/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** Asks the server. @param {string} path @param {RequestInit} [options] @returns {Promise<any>} */
async function request(path, options) {
  const response = await fetch(path, options);
  const body = await response.json().catch(() => ({ detail: `the server answered with status ${response.status}` }));
  if (!response.ok) throw new Error(body.detail);
  return body;
}

/**
 * Asks a question about the chosen picture: a file is the body itself, and the other fields are in the address.
 * @param {string} path @param {Record<string, string | number>} fields
 */
function about(path, fields) {
  const { signal } = current;
  const { file, id } = /** @type {Chosen} */ (chosen);
  if (file) {
    const query = new URLSearchParams(Object.entries(fields).map(([name, value]) => [name, String(value)]));
    return request(`${path}?${query}`, { method: 'POST', headers: { 'content-type': file.type }, body: file, signal });
  }
  return request(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ picture: { id }, ...fields }),
    signal,
  });
}

/**
 * Runs some work for the user. Work that began earlier is given up. Shows an error in words.
 * @param {string} doing @param {() => Promise<void>} work
 */
async function working(doing, work) {
  current.abort();
  const mine = (current = new AbortController());
  element('problem').textContent = '';
  element('status').textContent = doing;
  try {
    await work();
    if (!mine.signal.aborted) element('status').textContent = '';
  } catch (error) {
    if (mine.signal.aborted) return;
    element('status').textContent = '';
    element('problem').textContent = error instanceof Error ? error.message : String(error);
  }
}

/** @param {Chosen} picture */
function choose(picture) {
  current.abort();
  element('status').textContent = '';
  if (chosen?.file) URL.revokeObjectURL(chosen.url);
  chosen = picture;
  const image = /** @type {HTMLImageElement} */ (element('image'));
  image.src = picture.url;
  image.alt = `The picture ${picture.name}`;
  element('caption').textContent = picture.name;
  element('shown').hidden = false;
  element('boxes').replaceChildren();
  element('result').hidden = true;
  element('problem').textContent = '';
  explanation = undefined;
  for (const button of element('thumbs').querySelectorAll('button'))
    button.setAttribute('aria-pressed', String(button.dataset.id === picture.id));
}

/** @param {File | undefined} file */
function chooseFile(file) {
  if (file) choose({ name: file.name, url: URL.createObjectURL(file), file });
}

/** The request for the list of pictures that the page waits for. */
let listing = new AbortController();

async function listStored() {
  listing.abort();
  const { signal } = (listing = new AbortController());
  const query = new URLSearchParams({ find: input('find').value, from: String(from), count: String(thumbCount) });
  const { total, ids } = /** @type {{ total: number, ids: string[] }} */ (
    await request(`pictures?${query}`, { signal })
  );
  element('found').textContent =
    total === 0 ? 'No picture has such an id.' : `${from + 1} to ${from + ids.length} of ${total.toLocaleString('en')}`;
  element('more').hidden = total <= thumbCount;
  element('thumbs').replaceChildren(
    ...ids.map((id) => {
      const image = document.createElement('img');
      const url = `picture?${new URLSearchParams({ id })}`;
      Object.assign(image, { src: url, alt: id, loading: 'lazy' });
      const button = document.createElement('button');
      Object.assign(button, { type: 'button', title: id });
      button.dataset.id = id;
      button.setAttribute('aria-pressed', String(chosen?.id === id));
      button.append(image);
      button.addEventListener('click', () => choose({ name: id, url, id }));
      const item = document.createElement('li');
      item.append(button);
      return item;
    }),
  );
  if (ids.length > 0 || from === 0) return;
  // Behind the last picture comes the first one.
  from = 0;
  await listStored();
}

/** Lists the pictures again, and shows an error in words. */
function list() {
  listStored().catch((error) => {
    if (error.name !== 'AbortError') element('problem').textContent = error.message;
  });
}

const mapName = () => `${select('direction').value}.${select('layer').value}`;

async function ask() {
  asked = input('question').value;
  const { results } = await about('answer', { question: asked, top: 5 });
  const answers = /** @type {Answer[]} */ (results[0].answers);
  await explain(answers[0].answer);
  showAnswers(answers);
  element('result').hidden = false;
}

/** @param {Answer[]} answers */
function showAnswers(answers) {
  element('answers').replaceChildren(
    ...answers.map(({ answer, probability }) => {
      const button = document.createElement('button');
      Object.assign(button, { type: 'button', textContent: answer });
      button.setAttribute('aria-pressed', String(answer === explanation?.answer));
      button.addEventListener('click', () => void working('Explaining…', () => explain(answer)));
      const share = document.createElement('span');
      share.textContent = percent(probability);
      const bar = document.createElement('meter');
      Object.assign(bar, { min: 0, max: 1, value: probability });
      bar.setAttribute('aria-label', answer);
      const item = document.createElement('li');
      item.append(button, share, bar);
      return item;
    }),
  );
}

/** @param {string} answer */
async function explain(answer) {
  explanation = /** @type {Explanation} */ (await about('explain', { question: asked, answer, map: mapName() }));
  attention = explanation.attention;
  for (const button of element('answers').querySelectorAll('button'))
    button.setAttribute('aria-pressed', String(button.textContent === answer));
  showParts(explanation);
  showRelevance();
}

/** Loads the attention map of the selects. */
async function loadMap() {
  if (!explanation) return;
  const { answer } = explanation;
  const loaded = await about('explain', { question: asked, answer, map: mapName() });
  attention = loaded.attention;
  showRelevance();
}

/** Words and boxes, each with what happens when it is pointed at or focused. @param {Explanation} parts */
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

/** @param {HTMLSelectElement} list @param {(readonly [string, string])[]} entries */
function fill(list, entries) {
  list.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
}

function fillLayers() {
  const layers = model.maps.filter((name) => name.split('.')[0] === select('direction').value).length;
  fill(
    select('layer'),
    Array.from({ length: layers }, (_, i) => [String(i), String(i + 1)]),
  );
  select('layer').value = String(layers - 1);
}

async function start() {
  model = /** @type {Model} */ (await request('model'));
  const { answers, pictures, matches, detector, storedPictures, heads, maps } = model;
  const usable = answers > 0 && pictures === 1;
  element('about').textContent =
    answers === 0
      ? `The model ${model.path} has no answer head, so it cannot answer questions.`
      : pictures === 2
        ? `The model ${model.path} compares two pictures. This page shows one picture; ask the model through the API.`
        : `The model ${model.path} knows ${answers.toLocaleString('en')} answers.`;
  const kinds = Object.keys(directions).filter((kind) => maps.some((name) => name.startsWith(`${kind}.`)));
  fill(
    select('direction'),
    kinds.map((kind) => [kind, directions[kind]]),
  );
  fillLayers();
  fill(select('head'), [
    ['mean', 'mean of all'],
    ...Array.from({ length: heads }, (_, i) => /** @type {const} */ ([String(i), String(i + 1)])),
  ]);
  element('upload').hidden = !detector;
  element('stored').hidden = storedPictures === 0;
  if (!detector && storedPictures === 0)
    element('problem').textContent =
      'The server has no pictures and no detector. Start it with --data, --store or --detector.';
  /** @type {HTMLButtonElement} */ (element('submit')).disabled = !usable;
  element('match').hidden = !matches;
  if (storedPictures > 0) await listStored();
}

const demandPicture = () => {
  if (!chosen) throw new Error('Choose a picture first.');
};
element('ask').addEventListener('submit', (event) => {
  event.preventDefault();
  void working('Asking…', async () => {
    demandPicture();
    await ask();
  });
});
element('match').addEventListener('click', () => {
  let text = '';
  void working('Asking…', async () => {
    demandPicture();
    const sentence = input('question').value;
    if (sentence === '') throw new Error('Write a sentence first.');
    const { results } = await about('match', { sentence });
    text = `Belongs to this picture: ${percent(results[0].probability)}`;
  }).then(() => {
    if (text !== '') element('status').textContent = text;
  });
});
input('file').addEventListener('change', () => chooseFile(input('file').files?.[0]));
input('find').addEventListener('input', () => {
  from = 0;
  list();
});
element('more').addEventListener('click', () => {
  from += thumbCount;
  list();
});
select('direction').addEventListener('change', () => {
  fillLayers();
  void working('Loading…', loadMap);
});
select('layer').addEventListener('change', () => void working('Loading…', loadMap));

const drop = element('upload');
for (const event of ['dragenter', 'dragover'])
  document.addEventListener(event, (one) => {
    one.preventDefault();
    drop.classList.add('over');
  });
for (const event of ['dragleave', 'drop']) document.addEventListener(event, () => drop.classList.remove('over'));
document.addEventListener('drop', (event) => {
  event.preventDefault();
  if (model?.detector) chooseFile(event.dataTransfer?.files[0]);
});

void working('', start);
