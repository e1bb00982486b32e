/**
 * Runs the command, and sends signals to it when it prints a given text on stderr: `node cutShort.js '{"signals": ["SIGKILL"],
 * "at": "saved", "after": 3}' pretrain --data …`. The process signals itself, because another process may be too late.
 */
export interface CutShort {
  /** The signals, which are sent immediately one after the other. */
  readonly signals: readonly NodeJS.Signals[];
  /** The text on stderr, or a part of it. */
  readonly at: string;
  /** Milliseconds between the text and the signals; with 0, the signals come before the command does more. */
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
