// Compares the WordPiece ids of lxmert with those of transformers' BertTokenizer on published sentences: `docs/wordpiece.md`.
// LXMERT_SHARED_DATA=FOLDER node scripts/check-wordpiece.mjs
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { at } from './lib/paths.mjs';
import { say } from './lib/process.mjs';

const folder = process.env.LXMERT_SHARED_DATA;

const lines = (path) =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

/** The sentences of each file, and the sha256 of the reference's ids. */
const files = [
  {
    file: 'coco/captions_val2017.json',
    sentences: (path) => JSON.parse(readFileSync(path, 'utf8')).annotations.map(({ caption }) => caption),
    sha256: 'ad415afcc3bd9ca065996333c2984fa30b86fb0cbe46d3309224f29c10a3f8de',
  },
  {
    file: 'nlvr2/dev.json',
    sentences: (path) => lines(path).map(({ sentence }) => sentence),
    sha256: 'ec10054a2f0a4b8b26d3b40a90e3c1f91484b16665389faaef4237e56157fe11',
  },
  {
    file: 'nlvr2/test1.json',
    sentences: (path) => lines(path).map(({ sentence }) => sentence),
    sha256: 'd4f1e9de130f3d5bd60bd92ebf272aeb4f177335a957ce678861614b74c92f89',
  },
  {
    file: 'lxmert/all_ans.json',
    sentences: (path) => JSON.parse(readFileSync(path, 'utf8')).map(({ ans }) => ans),
    sha256: 'fb97dee06d13f989a7f318363185d7e49ba46df9f85a149db243a5ac30b84795',
  },
];

/** It is so large that no sentence is cut. */
const MOST_TOKENS = 10_000;

async function check() {
  if (folder === undefined) {
    say(`Set LXMERT_SHARED_DATA to a folder with ${files.map(({ file }) => file).join(', ')}.`);
    return 2;
  }
  const program = at('dist', 'text', 'wordPiece.js');
  if (!existsSync(program)) {
    say('dist/ is missing: run `npm run setup` first.');
    return 2;
  }
  const missing = files.find(({ file }) => !existsSync(join(folder, file)));
  if (missing !== undefined) {
    say(`${join(folder, missing.file)}: no such file`);
    return 2;
  }
  const { WordPiece } = await import(program);
  const wordPiece = await WordPiece.load();
  let failed = 0;
  for (const { file, sentences, sha256 } of files) {
    const hash = createHash('sha256');
    const all = sentences(join(folder, file));
    for (const sentence of all) hash.update(`${wordPiece.encode(sentence, MOST_TOKENS).join(' ')}\n`);
    const same = hash.digest('hex') === sha256;
    if (!same) failed++;
    say(`${file}: ${all.length} sentences: ${same ? "the reference's ids" : 'OTHER IDS than the reference'}`);
  }
  return failed === 0 ? 0 : 1;
}

process.exitCode = await check();
