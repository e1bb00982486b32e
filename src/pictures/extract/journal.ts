import { createReadStream } from 'node:fs';
import { open, readFile, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LxmertError } from '../../errors.js';
import { syncFolder, writeFileAtomic, writeFully } from '../../formats/atomicFile.js';
import { fileError, isThere } from '../../formats/fileErrors.js';
import { regionTsvLine } from '../../formats/regionTsv.js';
import type { RegionRecord } from '../../formats/regionTsv.js';

/**
 * The features of the finished pictures: `OUT.part`, a feature TSV with a line for each picture. If the process is
 * killed, the file stays, and the same call continues from it.
 */
export interface Journal {
  readonly path: string;
  /** Ids of the pictures that an earlier process finished. */
  readonly ids: ReadonlySet<string>;
  /** Adds a line. @throws FILE_ACCESS; the earlier lines are kept */
  add(record: RegionRecord): Promise<void>;
  /** Renames the journal to `out`, for a result that has the form of the journal. */
  rename(): Promise<void>;
  /** Removes the journal after the result was made from it. */
  remove(): Promise<void>;
  /** Closes the journal and keeps it, so that a later call can continue it. */
  close(): Promise<void>;
}

const newline = 0x0a;
const tab = 0x09;

/**
 * Begins a journal, or continues the journal of an earlier process. An incomplete last line is cut off.
 * @param identity all values on which the features depend, as text; a journal with another identity is not continued
 * @throws FILE_ACCESS, FILE_MISSING; BAD_ARGUMENT when the journal was begun with another detector or other settings
 */
export async function openJournal(out: string, identity: string): Promise<Journal> {
  const [part, note] = [`${out}.part`, `${out}.part.detector`];
  const handles: FileHandle[] = [];
  try {
    const begun = (await isThere(part)) && (await isThere(note));
    if (begun && (await readFile(note, 'utf8')) !== identity)
      throw new LxmertError(
        'BAD_ARGUMENT',
        `${part} was begun with another detector or other settings. Remove it to begin again, or give the same ones`,
      );
    if (!begun) {
      await rm(part, { force: true });
      await writeFileAtomic(note, identity);
    }
    const file = await open(part, begun ? 'r+' : 'wx');
    handles.push(file);
    const { ids, end: start } = begun ? await wholeLines(part) : { ids: new Set<string>(), end: 0 };
    await file.truncate(start);
    let end = start;
    return {
      path: part,
      ids,
      add: async (record) => {
        const line = Buffer.from(regionTsvLine(record));
        try {
          await writeFully(file, line, end);
        } catch (error) {
          throw fileError(error, 'write', part);
        }
        end += line.length;
      },
      rename: async () => {
        await file.sync();
        await file.close();
        await rename(part, out);
        await syncFolder(dirname(out));
        await rm(note, { force: true });
      },
      remove: async () => {
        await file.close();
        // The note is removed last: a note without a journal is not continued.
        await rm(part, { force: true });
        await rm(note, { force: true });
      },
      close: () => file.close(),
    };
  } catch (error) {
    for (const handle of handles) await handle.close();
    throw fileError(error, 'write', out);
  }
}

/** Whether an earlier process was killed between making the result and removing the journal. */
export const journalIsLeft = (out: string): Promise<boolean> => isThere(`${out}.part.detector`);

/** The ids of the complete lines, and the byte at which the last complete line ends. */
async function wholeLines(path: string): Promise<{ ids: ReadonlySet<string>; end: number }> {
  const ids = new Set<string>();
  let [end, at] = [0, 0];
  let id: Buffer[] | undefined = [];
  let name = '';
  for await (const piece of createReadStream(path, { highWaterMark: 4 << 20 }) as AsyncIterable<Buffer>) {
    for (let from = 0; from < piece.length;) {
      if (id) {
        const stop = piece.indexOf(tab, from);
        id.push(piece.subarray(from, stop < 0 ? piece.length : stop));
        if (stop < 0) break;
        name = Buffer.concat(id).toString();
        id = undefined;
        from = stop;
      }
      const stop = piece.indexOf(newline, from);
      if (stop < 0) break;
      ids.add(name);
      id = [];
      from = stop + 1;
      end = at + from;
    }
    at += piece.length;
  }
  return { ids, end };
}
