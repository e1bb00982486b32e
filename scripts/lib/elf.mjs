import { basename } from 'node:path';
import { realpathSync } from 'node:fs';
import { outputOf, StepError } from './process.mjs';

/** Libraries of glibc. A bundle uses those of the machine on which it runs. */
const GLIBC = /^(ld-linux-x86-64|libc|libm|libdl|libpthread|librt|libutil|libresolv|libanl)\.so(\.\d+)*$/;

/**
 * The shared libraries that these files need, without those of glibc: requested name -> file.
 * @param {readonly string[]} files
 * @returns {Map<string, string>}
 */
export function librariesOf(files) {
  const found = new Map();
  for (const file of files) {
    const listed = outputOf('ldd', [file]);
    if (listed === null) throw new StepError(`ldd does not tell what ${file} needs`);
    for (const line of listed.split('\n')) {
      const [, name, place] = /^\s*(\S+) => (.*?)(?: \(0x[0-9a-f]+\))?$/.exec(line) ?? [];
      if (name === undefined || GLIBC.test(basename(name))) continue;
      if (!place.startsWith('/')) throw new StepError(`${file} needs ${name}, which is not installed`);
      found.set(name, realpathSync(place));
    }
  }
  return found;
}

/** Compares versions number by number: 3.4.9 comes before 3.4.30, and 3.4 before both. */
function compare(a, b) {
  const [one, other] = [a, b].map((version) => version.split('.').map(Number));
  for (let i = 0; i < Math.max(one.length, other.length); i++) {
    const difference = (one[i] ?? 0) - (other[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/**
 * The newest version of a library's symbols that one of these files needs, such as '2.34' for GLIBC_2.34; '0' if there is none.
 * @param {readonly string[]} files @param {string} family GLIBC or GLIBCXX
 */
export function newestSymbols(files, family) {
  const versions = files.flatMap((file) => {
    const listed = outputOf('objdump', ['-p', file]);
    if (listed === null) throw new StepError(`objdump does not read ${file}`);
    // Takes only the versions that the file needs. The versions that it defines are listed before them.
    const asked = /Version References:.*/s.exec(listed)?.[0] ?? '';
    return [...asked.matchAll(new RegExp(`\\b${family}_([\\d.]+)`, 'g'))].map(([, version]) => version);
  });
  return versions.sort(compare).at(-1) ?? '0';
}
