#!/usr/bin/env node
/**
 * Checks the data path with data of the original's size. Run it by hand:
 *
 *   node scripts/check-large-data.mjs [tsv gz zip npz lmdb hdf5 start soak] [--gigabytes 2] [--folder DIR] [--python python3]
 *
 * tsv … hdf5: makes a file of that form and imports it; prints the rate and the largest resident memory of the import.
 * Python's safetensors reads some images of the TSV's store. start: opens 180,000 images and 9.18 million sentences,
 * with and without the cache. soak: takes batches of a million sentences and prints how memory grows. Without names it
 * does all parts. Each file is removed before the next one is made. LMDB and HDF5 need a Python with numpy and lmdb or
 * h5py. If these modules are missing, the script prints this and continues with the next part. Needs the compiled
 * package (`npm run setup`).
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeGzip, writeNpzFolder, writeSentences, writeSmallTsv, writeTsv, writeZip } from './data/bigFiles.mjs';

const all = ['tsv', 'gz', 'zip', 'npz', 'lmdb', 'hdf5', 'start', 'soak'];
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    gigabytes: { type: 'string', default: '2' },
    folder: { type: 'string', default: tmpdir() },
    python: { type: 'string', default: 'python3' },
    sentences: { type: 'string', default: '51' },
  },
});
const wanted = positionals.length > 0 ? positionals : all;
const unknown = wanted.find((name) => !all.includes(name));
if (unknown !== undefined) {
  console.error(`'${unknown}' is not one of ${all.join(', ')}`);
  process.exit(2);
}
const bytes = Number(values.gigabytes) * 1e9;
const folder = mkdtempSync(join(values.folder, 'lxmert-large-'));
const program = fileURLToPath(new URL('data/largeDataProcess.mjs', import.meta.url));
const python = fileURLToPath(new URL('data/big_files.py', import.meta.url));

/** Runs a part in a separate process, so that only the memory of this part is measured. */
function child(...args) {
  return new Promise((resolve, reject) => {
    const run = spawn(process.execPath, [program, ...args], { stdio: 'inherit' });
    run.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`${args[0]} ended with ${code}`))));
  });
}

function runPython(modules, ...args) {
  const has = spawnSync(values.python, ['-c', `import ${modules}`]);
  if (has.status !== 0) {
    console.log(`${args[0]}: left out; ${values.python} cannot import ${modules} (--python names another one)`);
    return false;
  }
  const { status } = spawnSync(values.python, [python, ...args], { stdio: 'inherit' });
  if (status !== 0) throw new Error(`${python} ended with ${status}`);
  return true;
}

const writers = {
  tsv: ['a.tsv', writeTsv],
  gz: ['a.tsv.gz', writeGzip],
  zip: ['a.zip', writeZip],
  npz: ['npz', writeNpzFolder],
  lmdb: ['a.lmdb', async (path) => runPython('lmdb, numpy', 'lmdb', path, String(bytes))],
  hdf5: ['a.h5', async (path) => runPython('h5py, numpy', 'hdf5', path, String(bytes))],
};

try {
  for (const [form, [name, write]] of Object.entries(writers)) {
    if (!wanted.includes(form)) continue;
    const [path, store] = [join(folder, name), join(folder, 'store')];
    if ((await write(path, bytes)) !== false) {
      await child('import', form, path, store);
      if (form === 'tsv') runPython('safetensors, numpy', 'read', store);
    }
    rmSync(path, { recursive: true, force: true });
    rmSync(store, { recursive: true, force: true });
  }
  if (wanted.includes('start') || wanted.includes('soak')) {
    const images = 180_000;
    const tsv = join(folder, 'small.tsv');
    await writeSmallTsv(tsv, images);
    await child('import', 'small images', tsv, join(folder, 'train.store'));
    await writeSentences(join(folder, 'train.json'), { images, sentencesPerImage: Number(values.sentences) });
    console.log(`text: ${(statSync(join(folder, 'train.json')).size / 1e6).toFixed(0)} MB`);
    writeFileSync(join(folder, 'data.yaml'), 'splits:\n  train: { features: train.store, sentences: train.json }\n');
    await child('start', 'without a cache', folder);
    if (wanted.includes('start')) await child('start', 'with the cache', folder);
    if (wanted.includes('soak')) await child('soak', folder);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
