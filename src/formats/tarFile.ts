import tar from 'tar-stream';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { LxmertError, isLxmertError } from '../errors.js';
import { systemCode, fileError } from './fileErrors.js';

/** Largest unpacked size. Weights cannot be compressed much, so an archive that unpacks to more has no weights. */
const maxUnpacked = (archiveBytes: number) => (64 << 20) + 20 * archiveBytes;

/** A folder with the unpacked files of an archive. */
export interface UnpackedFolder {
  readonly folder: string;
  /** Removes the folder. */
  readonly remove: () => Promise<void>;
}

/**
 * Unpacks the wanted files of a `.tar` or `.tar.gz` into a new temporary folder. Only the last part of a path in the
 * archive is used, so nothing is written outside this folder. Links are skipped.
 * @throws BAD_DATA for a damaged archive, an archive that unpacks to far more than its size, or a wanted file that occurs
 *   twice; FILE_ACCESS. The folder is then removed.
 */
export async function unpackTar(
  archive: string,
  options: { readonly gzip: boolean; readonly wanted: ReadonlySet<string> },
): Promise<UnpackedFolder> {
  const folder = await mkdtemp(join(tmpdir(), 'lxmert-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const limit = maxUnpacked((await stat(archive)).size);
    await unpackInto(folder, archive, { ...options, limit });
    return { folder, remove };
  } catch (error) {
    await remove();
    throw asError(error, archive, options.gzip);
  }
}

async function unpackInto(
  folder: string,
  archive: string,
  { gzip, wanted, limit }: { readonly gzip: boolean; readonly wanted: ReadonlySet<string>; readonly limit: number },
): Promise<void> {
  const bad = (reason: string) => new LxmertError('BAD_DATA', `${archive}: ${reason}`);
  let unpacked = 0;
  const bounded = new Transform({
    transform(chunk: Buffer, _, done) {
      unpacked += chunk.byteLength;
      if (unpacked > limit)
        done(bad(`it unpacks to more than ${limit} bytes, too much for weights; unpack it yourself`));
      else done(null, chunk);
    },
  });
  const extract = tar.extract();
  const seen = new Set<string>();
  const read = async () => {
    for await (const entry of extract) {
      const { name: path, type } = entry.header;
      const name = basename(path);
      if (type !== 'file' || !wanted.has(name)) {
        entry.resume();
        continue;
      }
      if (seen.has(name)) throw bad(`it has two files named ${name}`);
      seen.add(name);
      await pipeline(entry, createWriteStream(join(folder, name), { flags: 'wx' }));
    }
  };
  const source = createReadStream(archive);
  const flow = gzip ? pipeline(source, createGunzip(), bounded, extract) : pipeline(source, bounded, extract);
  // The two promises fail together. The first error is the cause.
  const [flowed, readIn] = await Promise.allSettled([flow, read()]);
  const failed = [flowed, readIn].flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  if (failed.length > 0) throw failed.find(isLxmertError) ?? failed[0];
}

function asError(error: unknown, archive: string, gzip: boolean): LxmertError {
  const code = systemCode(error);
  if (isLxmertError(error) || (code !== undefined && /^E[A-Z]+$/.test(code)))
    return fileError(error, 'unpack', archive);
  return new LxmertError(
    'BAD_DATA',
    `${archive}: it ${gzip ? 'is packed by gzip, but holds no whole tar' : 'is no whole tar'}. If it is one file alone, unpack it with gunzip`,
    { cause: error },
  );
}
