import { transformFile } from '@swc/core';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../../..');

/** Compiles the sources to JavaScript in a separate folder, so that tests can run them as processes and kill these processes. */
export class CompiledCopy {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(): Promise<CompiledCopy> {
    const folder = await mkdtemp(join(tmpdir(), 'lxmert-compiled-'));
    for (const part of ['src', 'test/train/support']) {
      for (const entry of await readdir(join(root, part), { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
        const from = join(entry.parentPath, entry.name);
        const to = join(folder, from.slice(root.length, -2) + 'js');
        const { code } = await transformFile(from, {
          jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
          module: { type: 'es6' },
          configFile: false,
          swcrc: false,
        });
        await mkdir(dirname(to), { recursive: true });
        await writeFile(to, code);
      }
    }
    for (const name of ['node_modules', 'build', 'package.json']) await symlink(join(root, name), join(folder, name));
    return new CompiledCopy(folder);
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }

  /** Starts a script of the compiled copy. */
  start(
    script: string,
    args: readonly string[],
    wrapper: readonly string[] = [],
    env: NodeJS.ProcessEnv = {},
  ): RunningProcess {
    const [command, ...rest] = [...wrapper, process.execPath, join(this.folder, script), ...args];
    return new RunningProcess(
      spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } }),
    );
  }
}

/** A process with the lines that it has printed. */
export class RunningProcess {
  readonly lines: string[] = [];
  errors = '';
  readonly child: ChildProcess;
  /** The exit code, or the signal that ended the process. */
  readonly ended: Promise<number | string>;
  readonly #waiting: { pattern: RegExp; found: (line: string | undefined) => void }[] = [];

  constructor(child: ChildProcess) {
    this.child = child;
    let rest = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        this.lines.push(line);
        for (const { pattern, found } of this.#waiting) if (pattern.test(line)) found(line);
      }
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.errors += text));
    this.ended = new Promise((done) =>
      child.on('close', (code, signal) => {
        for (const { found } of this.#waiting) found(undefined);
        done(code ?? signal ?? 'unknown');
      }),
    );
  }

  /** The first line that matches, or undefined when the process ends before. */
  async line(pattern: RegExp): Promise<string | undefined> {
    const seen = this.lines.find((line) => pattern.test(line));
    if (seen !== undefined) return seen;
    return new Promise((found) => this.#waiting.push({ pattern, found }));
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}
