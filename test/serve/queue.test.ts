import { describe, expect, test } from '@jest/globals';
import type { PictureQuestion } from '../../src/finetune/index.js';
import { createQueue, type Lane } from '../../src/serve/queue.js';

const item = (question: string, objects = 1): PictureQuestion => ({
  picture: { features: new Float32Array(objects), boxes: new Float32Array(4 * objects) },
  question,
});
const never = new AbortController().signal;

/** A lane that repeats the questions when `open` is called, and records the batches. */
function lane() {
  const batches: string[][] = [];
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  const run: Lane<PictureQuestion, string> = async (items) => {
    batches.push(items.map(({ question }) => question));
    await opened;
    if (items.some(({ question }) => question === 'bad')) throw new Error('bad item');
    return items.map(({ question }) => `${question}!`);
  };
  return { run, batches, open };
}

describe('the queue of the server', () => {
  test('computes what waits at once, up to the largest batch, and gives each request its own results', async () => {
    const { run, batches, open } = lane();
    const queue = createQueue({ maxBatch: 3, maxObjects: 100 });
    const names = [['a'], ['b', 'c'], ['d', 'e'], ['f', 'g', 'h', 'i'], ['j']];
    const all = names.map((some) =>
      queue.add(
        run,
        some.map((one) => item(one)),
        never,
      ),
    );
    expect(queue.waiting).toBe(10);
    open();
    expect(await Promise.all(all)).toEqual(names.map((some) => some.map((one) => `${one}!`)));
    // A request is never divided, so one that is larger than a batch is computed alone.
    expect(batches).toEqual([['a', 'b', 'c'], ['d', 'e'], ['f', 'g', 'h', 'i'], ['j']]);
    await queue.idle();
    expect(queue.waiting).toBe(0);
  });

  test('limits the objects of a batch, and keeps lanes apart', async () => {
    const [one, two] = [lane(), lane()];
    const queue = createQueue({ maxBatch: 8, maxObjects: 10 });
    const all = [
      queue.add(one.run, [item('a', 6)], never),
      queue.add(two.run, [item('x', 6)], never),
      queue.add(one.run, [item('b', 6)], never),
      queue.add(two.run, [item('y', 4)], never),
    ];
    one.open();
    two.open();
    await Promise.all(all);
    expect([one.batches, two.batches]).toEqual([[['a'], ['b']], [['x', 'y']]]);
  });

  test('a request that fails does not make the others of its batch fail', async () => {
    const { run, open } = lane();
    const queue = createQueue({ maxBatch: 8, maxObjects: 100 });
    const all = ['a', 'bad', 'b'].map((one) => queue.add(run, [item(one)], never));
    open();
    expect(await Promise.allSettled(all)).toMatchObject([
      { value: ['a!'] },
      { reason: { message: 'bad item' } },
      { value: ['b!'] },
    ]);
  });

  test('a client that goes away leaves the queue, and its question is not computed', async () => {
    const { run, batches, open } = lane();
    const queue = createQueue({ maxBatch: 1, maxObjects: 100 });
    const controller = new AbortController();
    const first = queue.add(run, [item('a')], never);
    const gone = queue.add(run, [item('gone')], controller.signal);
    const last = queue.add(run, [item('b')], never);
    controller.abort(new Error('gone'));
    await expect(gone).rejects.toThrow('gone');
    open();
    await Promise.all([first, last]);
    expect(batches).toEqual([['a'], ['b']]);
    await expect(queue.add(run, [item('late')], controller.signal)).rejects.toThrow('gone');
  });
});
