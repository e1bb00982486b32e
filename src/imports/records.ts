import { LxmertError, isLxmertError } from '../errors.js';
import { PickleFault } from '../formats/pickle.js';
import { checkRecord, encodeRecord } from '../data/store/record.js';
import type { SourceItem } from '../data/store/writeStore.js';
import type { FormOptions } from './forms.js';
import type { NamedRecord } from './rowFields.js';

/** A record that is not read yet. */
export interface PendingRecord {
  /** The place of the record, for messages. */
  readonly place: string;
  readonly image?: string | undefined;
  readonly read: () => Promise<NamedRecord>;
  /** Number of bytes of the record in the source, for progress. */
  readonly bytes?: () => number;
}

/**
 * Reads, checks and encodes records one by one. The first `done` records are not read. A bad record is an error; with `skipBad` it
 * becomes an item that gives the reason.
 */
export async function* checkedItems(
  pending: AsyncIterable<PendingRecord> | Iterable<PendingRecord>,
  done: number,
  options: FormOptions,
): AsyncGenerator<SourceItem, void, undefined> {
  let number = 0;
  for await (const { place, image, read } of pending) {
    number++;
    if (number <= done) continue;
    const position = { records: number };
    try {
      const { record, names } = await read();
      checkRecord(record, { ...options, names });
      yield { position, number, record: encodeRecord(record, options.dtype, names) };
    } catch (thrown) {
      const error =
        thrown instanceof PickleFault
          ? new LxmertError('BAD_DATA', `${place}: ${thrown.message}`, { cause: thrown })
          : thrown;
      if (!options.skipBad || !isLxmertError(error) || error.code !== 'BAD_DATA') throw error;
      yield { position, number, skipped: { place, image, reason: error.message } };
    }
  }
}
