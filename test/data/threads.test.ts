/** Tests threads that do one piece of work at a time: results, errors, threads that end unexpectedly, and closing. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { openThreads, type Threads } from '../../src/data/threads.js';
import { ThreadedData, countThreads } from './support/threads.js';

/** A piece of work for the threads of these tests. */
interface Request {
  /** The kind of work; `wait` ends when the file `until` exists. */
  readonly do: 'answer' | 'refuse' | 'fail' | 'die' | 'give' | 'wait';
  readonly number?: number;
  readonly until?: string;
  readonly values?: Float32Array;
}

const program = `
import { existsSync } from 'node:fs';
import { threadId } from 'node:worker_threads';
import { LxmertError } from './src/errors.js';
import { memoryOf, threadProgram } from './src/data/threads.js';

export default threadProgram(async ({ factor, bad }) => {
  if (bad) throw new LxmertError('FILE_MISSING', 'the thread has nothing to read');
  return async (request) => {
    const { number = 0 } = request;
    switch (request.do) {
      case 'refuse': throw new LxmertError('BAD_DATA', \`line \${number}: no good\`);
      case 'fail': throw new TypeError('a mistake in the program');
      case 'die': process.exit(3);
      case 'give': {
        const values = request.values.map((value) => factor * value);
        return { content: values, memory: memoryOf([values, values]) };
      }
      case 'wait':
        while (!existsSync(request.until)) await new Promise((done) => setTimeout(done, 2));
    }
    return { content: { number: factor * number, threadId } };
  };
});
`;

let threaded: ThreadedData;
let script: URL;
let folder: string;
let serial = 0;
const opened: Threads<Request, unknown>[] = [];

beforeAll(async () => {
  threaded = await ThreadedData.make();
  folder = await threaded.folders.make();
  script = pathToFileURL(join(threaded.copy.folder, 'work.mjs'));
  await writeFile(script, program);
});
afterAll(async () => {
  for (const threads of opened) await threads.close();
  await threaded.remove();
});

function open(count: number, start: object = { factor: 2 }): Threads<Request, unknown> {
  const threads = openThreads<Request, unknown>({ what: 'does sums', script, start, count });
  opened.push(threads);
  return threads;
}

/** The path of a file that does not exist yet. */
const signalFile = () => join(folder, `go-${serial++}`);

const answers = (numbers: readonly number[]): Request[] => numbers.map((number) => ({ do: 'answer', number }));

const settled = async (promise: Promise<unknown>): Promise<string> => {
  const unsettled = new Promise((done) => setTimeout(done, 50)).then(() => 'neither');
  return Promise.race([
    promise.then(
      () => 'done',
      () => 'failed',
    ),
    unsettled,
  ]);
};

test('every piece gets its result, and there are no more threads than requested', async () => {
  const threads = open(3);
  const numbers = Array.from({ length: 40 }, (_, i) => i);
  const results = await Promise.all(answers(numbers).map((request) => threads.run(request)));
  expect(results).toMatchObject(numbers.map((number) => ({ number: 2 * number })));
  const ids = new Set(results.map((result) => (result as { threadId: number }).threadId));
  expect(ids.size).toBeLessThanOrEqual(3);
});

test('memory moves to a thread and back without a copy', async () => {
  const threads = open(1);
  const values = Float32Array.of(1, 2, 3);
  expect(await threads.run({ do: 'give', values }, [values.buffer])).toEqual(Float32Array.of(2, 4, 6));
  expect(values).toHaveLength(0);
});

describe('errors', () => {
  test('of the work keep their code and message, and the thread continues', async () => {
    const threads = open(1);
    const asked = [{ do: 'refuse', number: 7 } as const, ...answers([1]), { do: 'fail' } as const, ...answers([2])];
    const [refused, one, failed, two] = await Promise.allSettled(asked.map((request) => threads.run(request)));
    expect(refused).toMatchObject({
      status: 'rejected',
      reason: { name: 'LxmertError', code: 'BAD_DATA', message: 'line 7: no good' },
    });
    expect(failed).toMatchObject({
      status: 'rejected',
      reason: {
        name: 'LxmertError',
        code: 'INTERNAL',
        message: 'a thread that does sums failed: a mistake in the program',
        cause: { stack: expect.stringContaining('work.mjs') },
      },
    });
    expect([one, two]).toMatchObject([{ value: { number: 2 } }, { value: { number: 4 } }]);
    const ids = [one, two].map((each) => each.status === 'fulfilled' && (each.value as { threadId: number }).threadId);
    expect(ids[0]).toBe(ids[1]);
  });

  test('of the start reject every piece', async () => {
    const threads = open(2, { bad: true });
    const asked = await Promise.allSettled(answers([1, 2, 3]).map((request) => threads.run(request)));
    for (const one of asked)
      expect(one).toMatchObject({
        status: 'rejected',
        reason: { name: 'LxmertError', code: 'FILE_MISSING', message: 'the thread has nothing to read' },
      });
  });

  test('if a thread dies, its piece rejects, and another thread does the next pieces', async () => {
    for (const count of [1, 2]) {
      const threads = open(count);
      const asked = [
        ...answers([1]),
        { do: 'die' } as const,
        ...answers([2, 3]),
        { do: 'die' } as const,
        ...answers([4]),
      ];
      const all = await Promise.allSettled(asked.map((request) => threads.run(request)));
      expect(all.map(({ status }) => status)).toEqual([
        ...['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
      ]);
      for (const one of [all[1], all[4]])
        expect(one).toMatchObject({
          reason: {
            name: 'LxmertError',
            code: 'INTERNAL',
            message: 'a thread that does sums died: worker exited with code: 3',
          },
        });
      expect(await threads.run({ do: 'answer', number: 5 })).toMatchObject({ number: 10 });
    }
  });

  test('a value that cannot be sent rejects its piece', async () => {
    const threads = open(1);
    const unsendable = { do: 'answer', number: (() => 1) as never } as const;
    await expect(threads.run(unsendable)).rejects.toMatchObject({ code: 'INTERNAL' });
    expect(await threads.run({ do: 'answer', number: 5 })).toMatchObject({ number: 10 });
  });
});

describe('the end', () => {
  test('waits for every running piece; waiting and later pieces are refused', async () => {
    const threads = open(3);
    const before = await countThreads();
    const files = [signalFile(), signalFile(), signalFile()];
    const begun = files.map((until, number) => threads.run({ do: 'wait', until, number }));
    const waiting = answers([1, 2]).map((request) => threads.run(request));
    const closed = threads.close();
    for (const one of await Promise.allSettled(waiting))
      expect(one).toMatchObject({ status: 'rejected', reason: { name: 'LxmertError', code: 'DISPOSED' } });
    // Each thread ends after its piece of work, and does no other work.
    for (const [i, file] of files.entries()) {
      expect(await settled(closed)).toBe('neither');
      await writeFile(file, '');
      expect(await begun[i]).toMatchObject({ number: 2 * i });
    }
    await closed;
    expect(await countThreads()).toBeLessThanOrEqual(before);
    await expect(threads.run({ do: 'answer' })).rejects.toMatchObject({ code: 'DISPOSED' });
    await threads.close();
  });

  test('threads that never had work end, too', async () => {
    const threads = open(2);
    await threads.close();
    await expect(threads.run({ do: 'answer' })).rejects.toMatchObject({ code: 'DISPOSED' });
  });

  test('closing ends although a thread dies meanwhile', async () => {
    const threads = open(2);
    const until = signalFile();
    const begun = threads.run({ do: 'wait', until, number: 4 });
    const dying = expect(threads.run({ do: 'die' })).rejects.toMatchObject({ code: 'INTERNAL' });
    const closed = threads.close();
    await dying;
    expect(existsSync(until)).toBe(false);
    await writeFile(until, '');
    expect(await begun).toMatchObject({ number: 8 });
    await closed;
  });
});

test('a process ends after its work is done; idle threads do not keep it alive', async () => {
  const main = `
import { openThreads } from './src/data/threads.js';
const threads = openThreads({ what: 'does sums', script: new URL('./work.mjs', import.meta.url), start: { factor: 3 }, count: 2 });
await Promise.all([1, 2, 3].map((number) => threads.run({ do: 'answer', number })));
void threads.run({ do: 'answer', number: 4 }).then(({ number }) => console.log(number));
`;
  await writeFile(join(threaded.copy.folder, 'main.mjs'), main);
  const run = threaded.copy.start('main.mjs', []);
  expect([await run.ended, run.lines, run.errors]).toEqual([0, ['12'], '']);
});
