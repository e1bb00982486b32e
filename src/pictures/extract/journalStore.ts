import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { checkRecord, encodeRecord } from '../../data/store/record.js';
import type { ImageRecord } from '../../data/store/record.js';
import type { SkippedRecord, StoreDtype, StoreManifest, StoreSource } from '../../data/store/storeForm.js';
import { writeStore } from '../../data/store/writeStore.js';
import type { RecordSource, SourceItem } from '../../data/store/writeStore.js';

export interface JournalStoreOptions {
  readonly dtype: StoreDtype;
  /** Numbers of classes and of attributes of the detector. */
  readonly objectLabels: number;
  readonly attributeLabels: number;
  readonly source: StoreSource;
  /** Pictures without features, which the manifest lists. */
  readonly skipped: readonly SkippedRecord[];
}

/**
 * Makes a feature store from a journal. If the process is killed, the same call continues from the finished part.
 * @throws as `writeStore`
 */
export const storeOfJournal = (
  journal: string,
  out: string,
  { dtype, objectLabels, attributeLabels, source, skipped }: JournalStoreOptions,
): Promise<StoreManifest> => {
  const limits = { objectLabels, attributeLabels };
  const records: RecordSource = {
    sources: [source],
    path: journal,
    identity: journal,
    unit: 'line',
    items: async function* (from): AsyncGenerator<SourceItem, void, undefined> {
      let number = 0;
      for (const one of skipped) {
        number++;
        if (number > (from?.records ?? 0)) yield { position: { records: number }, number, skipped: one };
      }
      const lines = createInterface({ input: createReadStream(journal), crlfDelay: Infinity });
      for await (const line of lines) {
        number++;
        if (number <= (from?.records ?? 0)) continue;
        const record = recordOf(line, `${journal}: line ${number - skipped.length}`);
        checkRecord(record, limits);
        yield { position: { records: number }, number, record: encodeRecord(record, dtype) };
      }
    },
  };
  return writeStore(out, records, { dtype, ...limits, settings: skipped });
};

/** Reads a line of a feature TSV. The line must have all ten columns. `place` is for messages. */
export function recordOf(line: string, place: string): ImageRecord {
  const [id, height, width, objects, objectConfs, attrs, attrConfs, count, boxes, features] = line.split('\t');
  const bytes = (text: string): ArrayBuffer => Uint8Array.from(Buffer.from(text, 'base64')).buffer;
  const floats = (text: string) => (text === '' ? undefined : new Float32Array(bytes(text)));
  const ids = (text: string) => (text === '' ? undefined : Int32Array.from(new BigInt64Array(bytes(text)), Number));
  return {
    ...{ id, place, width: Number(width), height: Number(height), count: Number(count), shares: false },
    boxes: new Float32Array(bytes(boxes)),
    features: new Float32Array(bytes(features)),
    objectIds: ids(objects),
    objectConfs: floats(objectConfs),
    attrIds: ids(attrs),
    attrConfs: floats(attrConfs),
  };
}
