// @ts-check
// The page of `lxmert serve`: pictures, questions and answers. All text from data is set as text and never as markup.
import { element, input, percent, select } from './dom.js';
import { explainedAnswer, showExplanation, useAttention } from './explanation.js';

/**
 * @typedef {{ path: string, answers: number, pictures: number, matches: boolean, heads: number, maps: string[], detector: boolean, storedPictures: number }} Model
 * @typedef {{ answer: string, probability: number }} Answer
 * @typedef {{ name: string, url: string, id?: string, file?: File }} Chosen
 */

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
let from = 0;
/** The request whose answer the page waits for. */
let current = new AbortController();

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
  element('result').hidden = true;
  element('problem').textContent = '';
  showExplanation(undefined);
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
      button.setAttribute('aria-pressed', String(answer === explainedAnswer()));
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
  const explanation = await about('explain', { question: asked, answer, map: mapName() });
  for (const button of element('answers').querySelectorAll('button'))
    button.setAttribute('aria-pressed', String(button.textContent === answer));
  showExplanation(explanation);
}

/** Loads the attention map of the selects. */
async function loadMap() {
  const answer = explainedAnswer();
  if (answer === undefined) return;
  const { attention } = await about('explain', { question: asked, answer, map: mapName() });
  useAttention(attention);
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
