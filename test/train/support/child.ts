/** A run with fake parts in a separate process: `node child.js '{"flags": {…}, "resume": true, "fake": {…}}'`. */
import { isLxmertError } from '../../../src/errors.js';
import { pretrain } from '../../../src/pretrain/pretrain.js';
import { fakeParts } from './fakeParts.js';
import type { FakeOptions } from './fakeParts.js';

export interface ChildRequest {
  readonly flags: Readonly<Record<string, string>>;
  readonly resume?: boolean;
  readonly fake?: FakeOptions;
  /** Kills the process this many milliseconds after it has printed this line; with 0, the default, before it does more. */
  readonly kill?: { readonly at: string; readonly after?: number };
  /** An optimizer step (from 0) whose results are held back until SIGTERM has come. */
  readonly heldStep?: number;
}

const { flags, resume = false, fake = {}, kill, heldStep } = JSON.parse(process.argv[2]) as ChildRequest;
const die = () => process.kill(process.pid, 'SIGKILL');
const say = (text: string) => {
  process.stdout.write(`${text}\n`);
  if (text !== kill?.at) return;
  // The process kills itself, because a parent that reads slowly would kill it too late.
  if (kill.after) setTimeout(die, kill.after);
  else die();
};
const controller = new AbortController();
/** Resolves when the signal comes. The timer keeps the process running, which a promise alone does not do. */
function told(): Promise<void> {
  const alive = setInterval(() => undefined, 60_000);
  return new Promise((done) =>
    controller.signal.addEventListener('abort', () => {
      clearInterval(alive);
      done();
    }),
  );
}
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
    fakeParts({ ...fake, ...(heldStep === undefined ? {} : { held: { step: heldStep, until: told() } }) }),
  );
  say(`done ${summary.step} ${summary.finished}`);
} catch (error) {
  say(`error ${isLxmertError(error) ? error.code : 'unknown'} ${(error as Error).message}`);
  process.exitCode = 1;
}
