import { mkdir, readFile, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { LxmertError } from '../errors.js';
import { fileError, systemCode } from '../formats/fileErrors.js';
import { temporaryPrefix } from '../formats/atomicFile.js';
import type { SceneParameters } from './options.js';

/** Version of the files. Must be increased if the same parameters give other bytes. */
const form = 3;

/** The first line of data.yaml in a folder of scenes, a comment. It shows that `lxmert scenes` wrote the folder. */
export function signature({ images, seed, featureDim }: SceneParameters): string {
  return `# lxmert scenes ${form}: images ${images}, seed ${seed}, feature-dim ${featureDim}`;
}

const signatureStart = '# lxmert scenes ';
const workName = `${temporaryPrefix}scenes`;

/**
 * Writes a set of files into a folder so that the folder is never incomplete. `fill` writes into a work folder inside the
 * folder, then all files are renamed, `data.yaml` last. A killed process leaves only the work folder, which the next call
 * removes. The folder may not exist, be empty, or already have the same scenes, which are then replaced by the same bytes.
 * Other files in a folder with scenes do not change.
 * @throws BAD_ARGUMENT if the folder has other contents; FILE_ACCESS, FILE_MISSING
 */
export async function fillSceneFolder<T>(
  out: string,
  parameters: SceneParameters,
  fill: (folder: string) => Promise<T>,
): Promise<T> {
  const work = join(out, workName);
  try {
    await mkdir(out, { recursive: true });
    await checkOurs(out, parameters);
    await rm(work, { recursive: true, force: true });
    await mkdir(work);
    const result = await fill(work);
    await rm(join(out, 'pictures'), { recursive: true, force: true });
    const files = await readdir(work, { recursive: true, withFileTypes: true });
    const names = files.filter((file) => file.isFile()).map((file) => relative(work, join(file.parentPath, file.name)));
    for (const name of [...names.filter((name) => name !== 'data.yaml'), 'data.yaml']) {
      await mkdir(dirname(join(out, name)), { recursive: true });
      await rename(join(work, name), join(out, name));
    }
    return result;
  } catch (error) {
    throw fileError(error, 'write scenes to', out);
  } finally {
    await rm(work, { recursive: true, force: true }).catch(() => undefined);
  }
}

async function checkOurs(out: string, parameters: SceneParameters): Promise<void> {
  const names = await readdir(out);
  const first = (await readFile(join(out, 'data.yaml'), 'utf8').catch(noFile))?.split('\n')[0];
  const unfinished = first === undefined && names.includes(workName);
  if (names.length === 0 || unfinished || first === signature(parameters)) return;
  const holds = first?.startsWith(signatureStart)
    ? `it has other scenes (${first.slice(2)})`
    : `it is not empty and has no scenes (${names.slice(0, 3).join(', ')}${names.length > 3 ? ', …' : ''})`;
  throw new LxmertError(
    'BAD_ARGUMENT',
    `cannot write scenes to ${out}: ${holds}; name a new folder, or remove this one first`,
  );
}

/** Whether a folder has the files that `lxmert scenes` writes. */
export async function isSceneFolder(folder: string): Promise<boolean> {
  const text = await readFile(join(folder, 'data.yaml'), 'utf8').catch(() => '');
  return text.startsWith(signatureStart);
}

function noFile(error: unknown): undefined {
  if (systemCode(error) === 'ENOENT') return undefined;
  throw error;
}
