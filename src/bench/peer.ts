import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { LxmertError } from '../errors.js';

/** The package's `bench` folder: two folders above this file, compiled or not. */
const scripts = fileURLToPath(new URL('../../bench/', import.meta.url));

/**
 * The environment variables of the user. The engine sets OpenMP variables for this process; the peer must not get them.
 */
const environment = { ...process.env };

/** The number of lines of stderr that are shown if a peer fails. */
const shownLines = 12;

/** The first message of a peer, when it is ready. */
interface Greeting {
  readonly name: string;
}

/**
 * Runs the same work in another program, for comparison. The program is a child process that reads one JSON object a
 * line (first the set-up, then requests) and answers each with one JSON object, as bench/torch_peer.py does. Between
 * requests it waits without using the CPU.
 */
export class Peer {
  readonly name: string;
  readonly #child: PeerProcess;

  private constructor(child: PeerProcess, { name }: Greeting) {
    this.#child = child;
    this.name = name;
  }

  /**
   * Starts `script` of the bench folder and waits until it is ready.
   * @throws LxmertError BAD_ARGUMENT if Python does not start or a module is missing
   */
  static async start(python: string, script: string, setup: object): Promise<Peer> {
    const path = `${scripts}${script}`;
    if (!existsSync(path))
      throw new LxmertError(
        'FILE_MISSING',
        `${path} does not exist; a comparison with PyTorch needs a clone of the repository`,
      );
    const child = new PeerProcess(python, path);
    try {
      return new Peer(child, (await child.ask(setup)) as Greeting);
    } catch (error) {
      child.kill();
      throw new LxmertError('BAD_ARGUMENT', `--peer-python ${python}: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Milliseconds that the peer took for a request, by its own clock. */
  async run(request: object = {}): Promise<number> {
    const { seconds } = (await this.#child.ask(request)) as { seconds: number };
    return 1000 * seconds;
  }

  /** Ends the peer. Returns the largest memory that it had, in bytes. */
  async end(): Promise<number> {
    const { peakMemoryBytes } = (await this.#child.ask({ end: true })) as { peakMemoryBytes: number };
    return peakMemoryBytes;
  }

  /** Ends the peer at once. `using` calls this in every case. */
  [Symbol.dispose](): void {
    this.#child.kill();
  }
}

class PeerProcess {
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: Interface;
  #errors = '';
  #failure: Error | null = null;
  #waiting: { resolve: (line: string) => void; reject: (error: Error) => void } | null = null;

  constructor(program: string, script: string) {
    this.#process = spawn(program, [script], { env: environment, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#lines = createInterface({ input: this.#process.stdout });
    this.#lines.on('line', (line) => {
      const waiting = this.#waiting;
      this.#waiting = null;
      waiting?.resolve(line);
    });
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => (this.#errors += text));
    this.#process.stdin.on('error', () => undefined); // it has ended: the `close` event reports that
    this.#process.on('error', (error) => this.#fail(error));
    this.#process.on('close', (code, signal) => {
      const last = this.#errors.trimEnd().split('\n').slice(-shownLines).join('\n');
      this.#fail(new Error(`it ended ${signal ? `by ${signal}` : `with exit code ${code}`}${last && `:\n${last}`}`));
    });
  }

  /** Sends one request and waits for its answer. */
  async ask(request: object): Promise<unknown> {
    const line = await new Promise<string>((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      this.#waiting = { resolve, reject };
      this.#process.stdin.write(`${JSON.stringify(request)}\n`);
    });
    try {
      return JSON.parse(line) as unknown;
    } catch {
      throw new Error(`it answered ${JSON.stringify(line.slice(0, 200))}, which is no JSON object`);
    }
  }

  kill(): void {
    this.#lines.close();
    this.#process.kill('SIGKILL');
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.reject(this.#failure);
  }
}
