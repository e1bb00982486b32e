/**
 * The command, which signals itself as soon as it says something on stderr: `node cutShort.js '{"signals": ["SIGKILL"],
 * "at": "saved", "after": 3}' pretrain --data …`. Nobody who watches it from outside is sure to come in time.
 */
export interface CutShort {
  /** Sent one right after the other. */
  readonly signals: readonly NodeJS.Signals[];
  /** What it says, or a part. */
  readonly at: string;
  /** Milliseconds later; 0: before anything else. */
  readonly after?: number;
}

const { signals, at, after = 0 } = JSON.parse(process.argv.splice(2, 1)[0]) as CutShort;
const write = process.stderr.write.bind(process.stderr);
const signal = () => signals.forEach((name) => process.kill(process.pid, name));
let said = false;
process.stderr.write = (text: string) => {
  const whole = write(text);
  if (!said && text.includes(at)) {
    said = true;
    if (after > 0) setTimeout(signal, after);
    else signal();
  }
  return whole;
};
await import('../../../src/cli/main.js');
