/** A run with fake parts in a process of its own: `node child.js '{"flags": {…}, "resume": true, "fake": {…}}'`. */
import { isLxmertError } from '../../../src/errors.js';
import { pretrain } from '../../../src/train/pretrain.js';
import { fakeParts } from './fakeParts.js';
import type { FakeOptions } from './fakeParts.js';

interface Request {
  readonly flags: Readonly<Record<string, string>>;
  readonly resume?: boolean;
  readonly fake?: FakeOptions;
}

const { flags, resume = false, fake = {} } = JSON.parse(process.argv[2]) as Request;
const say = (text: string) => process.stdout.write(`${text}\n`);
const controller = new AbortController();
process.on('SIGTERM', () => controller.abort());
try {
  const summary = await pretrain(
    {
      sources: { flags },
      resume,
      signal: controller.signal,
      observer: {
        started: ({ step }) => say(`started ${step}`),
        stepDone: ({ step }) => say(`step ${step}`),
        saved: (_, step) => say(`saved ${step}`),
        note: (text) => say(`note ${text}`),
      },
    },
    fakeParts(fake),
  );
  say(`done ${summary.step} ${summary.finished}`);
} catch (error) {
  say(`error ${isLxmertError(error) ? error.code : 'unknown'} ${(error as Error).message}`);
  process.exitCode = 1;
}
