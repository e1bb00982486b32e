import { describe, expect, test } from '@jest/globals';
import { endedWell, runChild } from './runChild.js';

/** Time limit, far below the ten minutes of queued work. */
const promptMs = 240_000;

describe('a process ends while an engine works', () => {
  test.each([
    ['exit', 7],
    ['exitAtOnce', 7],
    ['exitWithMany', 7],
    ['exitWhileDisposing', 7],
    ['exitWithWorkers', 7],
    ['exception', 1],
    ['rejection', 1],
  ])('%s: the process ends at once, with code %i', async (way, code) => {
    const child = await runChild('exit.mjs', [way], { timeoutMs: promptMs });
    expect({ code: child.code, signal: child.signal }).toEqual({ code, signal: null });
    if (code === 7) expect(child.stderr).toBe('');
    else expect(child.stderr).toContain('Error: on purpose');
  });

  test('SIGTERM: the process ends at once', async () => {
    const child = await runChild('exit.mjs', ['terminated'], { timeoutMs: promptMs, terminateAt: 'at work' });
    expect(child).toMatchObject({ code: null, signal: 'SIGTERM', stderr: '' });
  });
});

describe('whether an engine keeps its process alive', () => {
  test.each([
    ['an idle engine does not', 'idle', 'read\n'],
    ['work without a pending promise does not', 'unseen', 'enqueued\n'],
    ['a pending promise does', 'pending', 'enqueued\nread 5\n'],
    ['a disposal does', 'disposing', 'enqueued\ndisposed\n'],
  ])('%s', async (_, way, stdout) => {
    const child = await runChild('exit.mjs', [way], { timeoutMs: promptMs });
    expect(child).toMatchObject({ ...endedWell, stdout });
  });
});
