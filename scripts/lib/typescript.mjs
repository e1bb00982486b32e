import { rmSync, writeFileSync } from 'node:fs';
import { at, filesBelow, fingerprint, readJson, root } from './paths.mjs';
import { runStep } from './process.mjs';

const stampPath = at('dist', '.compiled.json');

/**
 * Compiles src/ to dist/ unless nothing changed.
 * @returns {Promise<boolean>} whether anything was done
 */
export async function ensureCompiled() {
  const version = readJson(at('node_modules', 'typescript', 'package.json'))?.version ?? '';
  const sources = fingerprint([at('tsconfig.json'), at('tsconfig.build.json'), ...filesBelow(at('src'))], [version]);
  if (readJson(stampPath)?.sources === sources) return false;
  // What a removed source file left behind must not stay importable.
  rmSync(at('dist'), { recursive: true, force: true });
  const tsc = at('node_modules', 'typescript', 'bin', 'tsc');
  await runStep('compiling TypeScript', process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root });
  writeFileSync(stampPath, `${JSON.stringify({ sources })}\n`);
  return true;
}
