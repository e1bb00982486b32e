/** A run with fake parts in a process of its own: `node child.js '{"flags": {…}, "resume": true, "fake": {…}}'`. */
import { isLxmertError } from '../../../src/errors.js';
import { pretrain } from '../../../src/pretrain/pretrain.js';
import { fakeParts } from './fakeParts.js';
import type { FakeOptions } from './fakeParts.js';

export interface ChildRequest {
  readonly flags: Readonly<Record<string, string>>;
  readonly resume?: boolean;
  readonly fake?: FakeOptions;
  /** Kills the process once it has said this line, so many milliseconds later; 0, the default, before anything else. */
  readonly kill?: { readonly at: string; readonly after?: number };
  /** An optimizer step (from 0) whose numbers come only once SIGTERM has. */
  readonly heldStep?: number;
}

const { flags, resume = false, fake = {}, kill, heldStep } = JSON.parse(process.argv[2]) as ChildRequest;
const die = () => process.kill(process.pid, 'SIGKILL');
const say = (text: string) => {
  process.stdout.write(`${text}\n`);
  if (text !== kill?.at) return;
  // By itself: a parent that is slow to read would come too late.
  if (kill.after) setTimeout(die, kill.after);
  else die();
};
const controller = new AbortController();
/** Comes with the signal; a promise alone would keep no process running. */
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
