import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LxmertError } from '../errors.js';
import { explainLinker } from './linkerMessages.js';
import type { NativeAddon } from './native.js';

/** The package's folder: two folders above this file, compiled or not. */
export const packageRoot = fileURLToPath(new URL('../../', import.meta.url));

/** Setup writes this file beside the addon. */
interface BuildRecord {
  readonly platform: string;
  readonly arch: string;
  /** Value of -march: `native`, or the name of a CPU. */
  readonly march: string;
  /** CPU features that the compiled code may use, named as in /proc/cpuinfo. */
  readonly cpuFlags: readonly string[];
}

/** The machine's properties; a test may pass others. */
export interface Machine {
  readonly platform: string;
  readonly arch: string;
  /** Features of this CPU, or undefined where the system does not list them. */
  readonly cpuFlags: ReadonlySet<string> | undefined;
}

export interface LoadOptions {
  /** The addon's file. Default: LXMERT_ADDON, or, if this is not set, the file that setup builds. */
  readonly path?: string;
  readonly machine?: Machine;
}

function thisMachine(): Machine {
  let cpuFlags: Set<string> | undefined;
  try {
    const line = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1];
    if (line !== undefined) cpuFlags = new Set(line.trim().split(/\s+/));
  } catch {
    // Without /proc the features of the CPU are not known, so only dlopen checks the addon.
  }
  return { platform: process.platform, arch: process.arch, cpuFlags };
}

/** The record beside an addon; undefined if the addon was not built by setup. */
function readRecord(addonPath: string): BuildRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(join(dirname(addonPath), 'lxmert-build.json'), 'utf8')) as BuildRecord;
    return Array.isArray(record.cpuFlags) ? record : undefined;
  } catch {
    return undefined;
  }
}

/** The addon that setup builds, without LXMERT_ADDON. */
const builtAddon = join(packageRoot, 'build', 'Release', 'lxmert.node');

/** The addon's file: the one in LXMERT_ADDON, or the one that setup builds if the variable is unset or empty. */
export function addonFile(): { readonly file: string; readonly named: boolean } {
  const named = process.env['LXMERT_ADDON'];
  return named ? { file: resolve(named), named: true } : { file: builtAddon, named: false };
}

/** How this copy of lxmert was installed. This determines the commands that build its native parts. */
type Origin = 'clone' | 'package' | 'bundle';

const buildCudaScript = (root: string): string => join(root, 'scripts', 'build-cuda.mjs');

function originOf(root: string): Origin {
  if (existsSync(join(root, 'src'))) return 'clone';
  return existsSync(buildCudaScript(root)) ? 'package' : 'bundle';
}

const rebuildAddon: Readonly<Record<Origin, string>> = {
  clone: 'npm run setup',
  package: 'npm rebuild lxmert',
  bundle: 'npm run bundle (in a clone of lxmert)',
};

/** The command that builds the addon again. */
const rebuild = (): string => rebuildAddon[originOf(packageRoot)];

/** The command that builds the CUDA back end of this copy of lxmert. @param root the folder of its package.json */
export function buildCudaHint(root = packageRoot): string {
  const hints: Readonly<Record<Origin, string>> = {
    clone: '`npm run build:cuda` builds it where there is nvcc',
    // A project that uses lxmert has no npm script of that name.
    package: `\`node ${buildCudaScript(root)}\` builds it where there is nvcc`,
    bundle: 'this bundle was made without it: in a clone of lxmert run `npm run build:cuda` and then `npm run bundle`',
  };
  return hints[originOf(root)];
}

/**
 * Says why this machine must not load the addon. This is checked before loading, because an instruction that the CPU
 * does not have ends the process and cannot be caught.
 */
function misfit(record: BuildRecord, machine: Machine): string[] {
  if (record.platform !== machine.platform || record.arch !== machine.arch) {
    return [
      `It was built for ${record.platform} on ${record.arch}; this is ${machine.platform} on ${machine.arch}.`,
      `Build it here: ${rebuild()}`,
    ];
  }
  const missing = machine.cpuFlags ? record.cpuFlags.filter((flag) => !machine.cpuFlags!.has(flag)) : [];
  if (missing.length === 0) return [];
  return [
    `It was built for another CPU (-march=${record.march}): it may use ${missing.join(', ')}, which this CPU does not have.`,
    `Build it for this one: ${rebuild()}`,
    ...(record.march === 'x86-64-v3'
      ? []
      : [`Or build one for all your machines, on any of them: LXMERT_MARCH=x86-64-v3 ${rebuild()}`]),
  ];
}

function failure(steps: readonly string[], cause?: unknown): LxmertError {
  const lines = steps.map((step, i) => `  ${i + 1}. ${step}`);
  return new LxmertError('ADDON', ['the native addon does not load:', ...lines].join('\n'), { cause });
}

const loaded = new Map<string, NativeAddon>();

/**
 * Between two loops, OpenMP's threads wait actively for some time before they sleep. With GNU's default each wait uses
 * about a millisecond of CPU time, which makes a step several times slower when other programs run. libgomp reads this
 * variable when it is loaded.
 */
function shortenSpinning(): void {
  if (process.env.OMP_WAIT_POLICY === undefined) process.env.GOMP_SPINCOUNT ??= '2000';
}

/**
 * Loads the native addon, once.
 *
 * @throws LxmertError ADDON; the message has numbered steps with what was found and what to do
 */
export function loadAddon({ path, machine = thisMachine() }: LoadOptions = {}): NativeAddon {
  const { file, named } = path === undefined ? addonFile() : { file: resolve(path), named: false };
  const origin = named ? ' (named by LXMERT_ADDON)' : '';

  const before = loaded.get(file);
  if (before) return before;
  if (!existsSync(file)) {
    const remedy = origin ? 'Correct or unset LXMERT_ADDON.' : `Build it: ${rebuild()}`;
    throw failure([`Looked for ${file}${origin}: there is no such file.`, remedy]);
  }
  if (!statSync(file).isFile()) {
    throw failure([`Looked for ${file}${origin}: that is not a file.`, 'Name the file, which ends in .node.']);
  }
  const found = `Found ${file}${origin}.`;

  const record = readRecord(file);
  const misfits = record ? misfit(record, machine) : [];
  if (misfits.length > 0) throw failure([found, ...misfits]);

  shortenSpinning();
  try {
    // Not require(), which would parse a file that does not end in .node as JavaScript.
    const module = { exports: {} as NativeAddon };
    process.dlopen(module, file);
    loaded.set(file, module.exports);
    return module.exports;
  } catch (error) {
    throw failure([found, ...explainLinker(error instanceof Error ? error.message : String(error), rebuild())], error);
  }
}
