import { createReadStream } from 'node:fs';
import { open, readFile, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LxmertError } from '../../errors.js';
import { syncFolder, writeFileAtomic, writeFully } from '../../formats/atomicFile.js';
import { fileError, isThere } from '../../formats/fileErrors.js';
import { regionTsvLine } from '../../formats/regionTsv.js';
import type { RegionRecord } from '../../formats/regionTsv.js';

/** A feature TSV that is being written. Until it is whole it has another name, and can be continued. */
export interface PartialTsv {
  /** Ids of the pictures that it holds already. */
  readonly ids: ReadonlySet<string>;
  /** Adds a line. @throws FILE_ACCESS; the lines before are kept */
  add(record: RegionRecord): Promise<void>;
  /** Gives the file its name. */
  finish(): Promise<void>;
  /** Leaves the file to be continued. */
  close(): Promise<void>;
}

const newline = 0x0a;
const tab = 0x09;

/**
 * Begins a feature TSV, or continues one that an earlier process left. A line that was cut is written again.
 * @param detector what the features depend on: a file of another detector is not continued
 * @throws FILE_ACCESS, FILE_MISSING; BAD_ARGUMENT when the file is there, or was begun with another detector
 */
export async function openPartialTsv(out: string, detector: string): Promise<PartialTsv> {
  if (await isThere(out))
    throw new LxmertError('BAD_ARGUMENT', `${out} is there already; remove it, or name another file with --out`);
  const [part, note] = [`${out}.part`, `${out}.part.detector`];
  const handles: FileHandle[] = [];
  try {
    const begun = (await isThere(part)) && (await isThere(note));
    if (begun && (await readFile(note, 'utf8')) !== detector)
      throw new LxmertError(
        'BAD_ARGUMENT',
        `${part} was begun with another detector. Remove it to begin again, or give that detector`,
      );
    if (!begun) {
      await rm(part, { force: true });
      await writeFileAtomic(note, detector);
    }
    const file = await open(part, begun ? 'r+' : 'wx');
    handles.push(file);
    const { ids, end: start } = begun ? await wholeLines(part) : { ids: new Set<string>(), end: 0 };
    await file.truncate(start);
    let end = start;
    return {
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
      finish: async () => {
        await file.sync();
        await file.close();
        await rename(part, out);
        await syncFolder(dirname(out));
        await rm(note, { force: true });
      },
      close: () => file.close(),
    };
  } catch (error) {
    for (const handle of handles) await handle.close();
    throw fileError(error, 'write', out);
  }
}

/** Ids of the lines that end, and where the last of them does. */
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
