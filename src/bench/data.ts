import { closeSync, openSync, readSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { trainBatches } from '../data/batches/batching.js';
import { FeatureMemory } from '../data/batches/featureMemory.js';
import { defaultWorkers } from '../data/batches/pretrainSource.js';
import type { NamedData } from '../data/batches/batchMaker.js';
import { openStoreSource } from '../data/store/openStore.js';
import { manifestFile, readStoreManifest } from '../data/store/storeForm.js';
import { sharedArrays } from '../data/sharedArrays.js';

export interface BenchDataOptions {
  /** A feature store. */
  readonly store: string;
  /** Number of samples of a batch. */
  readonly batch: number;
  /** Number of samples to measure. */
  readonly samples: number;
  /** Threads that make batches; default: as in a run. */
  readonly workers?: number | undefined;
  readonly onProgress?: ((note: string) => void) | undefined;
}

export interface BenchDataReport {
  readonly images: number;
  readonly featureDim: number;
  readonly objectsPerImage: number;
  readonly workers: number;
  readonly cores: number;
  /** Samples a second in batches made from the store, with masks. */
  readonly samplesPerSecond: number;
  readonly bytesPerSecond: number;
  /** Samples a second if one thread only copies the same bytes from the page cache to memory. */
  readonly copySamplesPerSecond: number;
  readonly copyBytesPerSecond: number;
  /** Rate of batches divided by the rate of copies. */
  readonly share: number;
}

/** Number of words of a sentence, and size of the vocabulary of bert-base-uncased. */
const WORDS = 12;
const wordPiece = { vocabSize: 30_522, clsId: 101, sepId: 102, maskId: 103 };

/**
 * Measures how fast batches with masks are made from a store, and how fast the system copies the same images from its page
 * cache. All images are read once before, so the speed of the disk has no influence.
 */
export async function benchData({
  store,
  batch,
  samples,
  workers: asked,
  onProgress,
}: BenchDataOptions): Promise<BenchDataReport> {
  const { reader, imageIds } = await openStoreSource(store);
  try {
    const images = imageIds.length;
    const objects = Array.from({ length: images }, (_, image) => reader.numObjects(image));
    const objectsPerImage = objects.reduce((sum, count) => sum + count, 0) / images;
    const data = samplesOf(images);
    const named: NamedData = {
      ...data,
      name: store,
      features: reader,
      wordPiece,
      sampleId: (sample) => imageIds[sample],
    };
    const workers = asked ?? defaultWorkers(named);
    onProgress?.(`reading ${images} images once`);
    await copyAll(store);
    const memory = new FeatureMemory({ shared: workers > 0 });
    const source = trainBatches(named, { seed: 1, batchSize: Math.min(batch, images), memory, workers });
    let [count, bytes, started] = [0, 0, 0];
    // The first batches are not timed, because they start the threads and allocate memory.
    const before = workers + 2;
    for (let taken = 0; ; taken++) {
      const next = await source.next();
      if (next.done === true) break;
      const [part] = next.value.parts;
      if (taken < before) started = performance.now();
      else {
        count += part.size;
        bytes += part.visualFeats.byteLength;
      }
      memory.release(part);
      if (count >= samples) break;
    }
    const seconds = (performance.now() - started) / 1000;
    await source.return(undefined);
    const copy = await copyAll(store);
    const copySamplesPerSecond = images / copy.seconds;
    const samplesPerSecond = count / seconds;
    return {
      ...{ images, featureDim: reader.featureDim, objectsPerImage, workers, cores: availableParallelism() },
      ...{ samplesPerSecond, bytesPerSecond: bytes / seconds },
      ...{ copySamplesPerSecond, copyBytesPerSecond: copy.bytes / copy.seconds },
      share: samplesPerSecond / copySamplesPerSecond,
    };
  } finally {
    await reader.close();
  }
}

/** Makes a sentence of some words for each image. */
function samplesOf(images: number): Omit<NamedData, 'name' | 'features' | 'wordPiece' | 'sampleId'> {
  const length = WORDS + 2;
  const tokens = sharedArrays.uint16(images * length);
  for (let i = 0; i < tokens.length; i++) tokens[i] = 1000 + ((i * 7919) % (wordPiece.vocabSize - 1000));
  for (let sample = 0; sample < images; sample++) {
    tokens[sample * length] = wordPiece.clsId;
    tokens[(sample + 1) * length - 1] = wordPiece.sepId;
  }
  const imagesOf = sharedArrays.int32(images);
  const tokenOffsets = sharedArrays.uint32(images + 1);
  for (let sample = 0; sample < images; sample++) imagesOf[sample] = sample;
  for (let sample = 0; sample <= images; sample++) tokenOffsets[sample] = sample * length;
  return {
    ...{ size: images, images: imagesOf, tokens, tokenOffsets },
    answerIds: sharedArrays.int32(0),
    answerScores: sharedArrays.float32(0),
    answerOffsets: sharedArrays.uint32(images + 1),
  };
}

/** Reads all shards completely into one block of memory. */
async function copyAll(store: string): Promise<{ readonly bytes: number; readonly seconds: number }> {
  const manifest = await readStoreManifest(join(store, manifestFile));
  const buffer = Buffer.alloc(2 ** 20);
  const started = performance.now();
  let bytes = 0;
  for (const { file } of manifest.shards) {
    const fd = openSync(join(store, file), 'r');
    for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer)) bytes += read;
    closeSync(fd);
  }
  return { bytes, seconds: (performance.now() - started) / 1000 };
}
