import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { at, filesBelow, fingerprint, readJson, root } from './paths.mjs';
import { runStep } from './process.mjs';

const STAMP = '.compiled.json';

/**
 * Compiles src/ to dist/ unless nothing changed.
 * @returns {Promise<boolean>} whether anything was done
 */
export async function ensureCompiled() {
  const version = readJson(at('node_modules', 'typescript', 'package.json'))?.version ?? '';
  const sources = fingerprint([at('tsconfig.json'), at('tsconfig.build.json'), ...filesBelow(at('src'))], [version]);
  if (readJson(at('dist', STAMP))?.sources === sources) return false;
  // Programs may be running from dist, so it does not change until the new folder is complete. With the old folder, the output
  // of removed source files is removed, too.
  const made = at(`dist.${process.pid}.new`);
  const old = at(`dist.${process.pid}.old`);
  const tsc = at('node_modules', 'typescript', 'bin', 'tsc');
  try {
    await runStep('compiling TypeScript', process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', made], {
      cwd: root,
    });
    writeFileSync(join(made, STAMP), `${JSON.stringify({ sources })}\n`);
    if (existsSync(at('dist'))) renameSync(at('dist'), old);
    renameSync(made, at('dist'));
  } finally {
    for (const folder of [made, old]) rmSync(folder, { recursive: true, force: true });
  }
  return true;
}
