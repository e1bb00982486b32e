import type { StoreDtype, StoreManifest } from '../data/store/storeForm.js';
import { writeStore } from '../data/store/writeStore.js';
import type { RecordSource } from '../data/store/writeStore.js';
import type { FormName, FormOptions, OpenedForm } from './forms.js';
import { openForm } from './recognise.js';

export interface ImportOptions {
  /** Default float16. */
  readonly dtype?: StoreDtype | undefined;
  /** By default the form is recognised from the contents of the file. */
  readonly format?: FormName | undefined;
  /** Whether to leave bad records out and list them in the manifest. By default the first bad record is an error. */
  readonly skipBad?: boolean | undefined;
  /** Numbers of classes of the detector; default 1600 and 400 (Visual Genome). */
  readonly objectLabels?: number | undefined;
  readonly attributeLabels?: number | undefined;
  /** Bytes of features of a shard; default 512 MiB. */
  readonly shardBytes?: number | undefined;
  /** Threads that decode a TSV; default: the cores, up to 8. */
  readonly workers?: number | undefined;
  readonly workerScript?: URL | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onNote?: ((note: string) => void) | undefined;
  readonly onProgress?: ((progress: ImportProgress) => void) | undefined;
}

export interface ImportProgress {
  readonly images: number;
  /** Bytes of text that this process has read, and the bytes of all files; undefined if that is not known. */
  readonly bytes: number;
  readonly allBytes: number | undefined;
  readonly allImages: number | undefined;
}

export interface ImportReport {
  readonly manifest: StoreManifest;
  readonly forms: readonly FormName[];
  /** Bytes of the source's files. */
  readonly sourceBytes: number;
  readonly seconds: number;
}

/**
 * Makes a store from feature files. Their forms may differ. The images of the first file come first.
 * @throws FILE_MISSING, FILE_ACCESS, BAD_DATA naming file, place and field; the signal's reason
 */
export async function importFeatures(
  from: readonly string[],
  out: string,
  options: ImportOptions = {},
): Promise<ImportReport> {
  const started = performance.now();
  const { dtype = 'float16', skipBad = false, objectLabels = 1600, attributeLabels = 400 } = options;
  const { onNote = () => undefined, onProgress, signal, shardBytes } = options;
  let bytes = 0;
  const formOptions: FormOptions = {
    ...{ dtype, skipBad, objectLabels, attributeLabels, onNote },
    ...{ workers: options.workers, workerScript: options.workerScript },
    onBytes: (count) => {
      bytes += count;
    },
  };
  const opened: OpenedForm[] = [];
  try {
    for (const path of from) opened.push(await openForm(path, options.format, formOptions));
    const source = { ...joined(opened), path: from.join(', ') };
    const manifest = await writeStore(out, source, {
      ...{ dtype, objectLabels, attributeLabels, skipBad, shardBytes, signal, onNote },
      onImage: (images) =>
        onProgress?.({
          ...{ images, bytes },
          allBytes: sumOf(opened.map((one) => one.bytes)),
          allImages: sumOf(opened.map((one) => one.images)),
        }),
    });
    const sourceBytes = opened.flatMap((one) => one.source.files).reduce((sum, file) => sum + file.bytes, 0);
    const seconds = (performance.now() - started) / 1000;
    return { manifest, forms: opened.map(({ form }) => form), sourceBytes, seconds };
  } finally {
    for (const one of opened) await one.close?.();
  }
}

/** The sum; undefined if one of the numbers is undefined. */
const sumOf = (numbers: readonly (number | undefined)[]): number | undefined =>
  numbers.reduce((sum, one) => (sum === undefined || one === undefined ? undefined : sum + one), 0);

/** Joins several inputs to one source. A position contains the number of its input. */
function joined(opened: readonly OpenedForm[]): Omit<RecordSource, 'path'> {
  if (opened.length === 1) {
    const [{ source, identity, unit, items }] = opened;
    return { sources: [source], identity, unit, items };
  }
  return {
    sources: opened.map(({ source }) => source),
    identity: opened.map(({ identity }) => identity),
    unit: 'record',
    async *items(from) {
      const first = from?.input ?? 0;
      for (let input = first; input < opened.length; input++) {
        for await (const item of opened[input].items(input === first ? from : undefined))
          yield { ...item, position: { ...item.position, input } };
      }
    },
  };
}
