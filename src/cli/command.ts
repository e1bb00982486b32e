/**
 * Code that all commands use.
 *
 * A command is a file `src/cli/<name>.ts` that exports `command`, made by `defineCommand`, and a line in the table of
 * `src/cli/main.ts`. It parses the arguments, calls a function of another room, and prints. Results go to stdout, progress
 * (`note`) to stderr. With `--json` (`jsonOption`) stdout has exactly one JSON object, written by `printJson`. A command that
 * fails throws an LxmertError with a message for the user. The exit code is 0 for done, 1 for failed, and 2 for wrong usage
 * (BAD_ARGUMENT and BAD_CONFIG).
 */
import type { ArgumentsCamelCase, Argv, CommandModule } from 'yargs';
import { maxThreads } from '../config/runConfig.js';
import { LxmertError } from '../errors.js';

export interface GlobalOptions {
  /** Whether to print the stack of an error, too. */
  trace: boolean;
}

/** A command of the table, with any options. */
export type Command = CommandModule<GlobalOptions, never>;

export interface CommandDefinition<T> {
  /** Name and positional arguments, as yargs writes them: `parity <fixture>`. */
  readonly command: string;
  /** One line for the list of commands. */
  readonly describe: string;
  /** Declares the options. The handler gets their types. */
  readonly builder: (yargs: Argv<GlobalOptions>) => Argv<T>;
  readonly handler: (args: ArgumentsCamelCase<T>) => void | Promise<void>;
}

/** Gives the handler the types of the options that the builder declares. */
export function defineCommand<T>(definition: CommandDefinition<T>): Command {
  return definition as unknown as Command;
}

/** `.option('json', jsonOption)` */
export const jsonOption = {
  type: 'boolean',
  default: false,
  describe: 'print the result as one JSON object on stdout',
} as const;

/** Prints the result of a command with `--json`: one object on one line, on stdout. */
export function printJson(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Prints a line of a result as text, on stdout. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Prints a line of progress, on stderr. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Limits of a number given as a flag; both limits are allowed. */
export interface Range {
  readonly min?: number;
  readonly max?: number;
}

function inRange(flag: string, value: number, what: string, { min = -Infinity, max = Infinity }: Range): void {
  if (value >= min && value <= max) return;
  const limits = [min === -Infinity ? '' : `at least ${min}`, max === Infinity ? '' : `at most ${max}`];
  throw new LxmertError(
    'BAD_ARGUMENT',
    `--${flag} must be ${what} of ${limits.filter(Boolean).join(' and ')}, not ${value}`,
  );
}

interface NumberSpec extends Range {
  readonly describe: string;
  readonly default?: number;
}

/**
 * A yargs option whose value is checked to be a number. It has no yargs type, so that an error can show the text that
 * the user typed.
 */
export interface NumberOption<T> {
  readonly requiresArg: true;
  readonly describe: string;
  readonly coerce: (given: unknown) => T;
}

/** The error for `--no-FLAG` if the flag needs a value. */
export const noSwitch = (flag: string): LxmertError =>
  new LxmertError('BAD_ARGUMENT', `--no-${flag}: --${flag} needs a value and cannot be switched off`);

export interface WithDefault {
  readonly default: number;
}

function checkedNumber(flag: string, spec: NumberSpec, kind: string, isKind: (value: number) => boolean) {
  const { describe, default: value, ...range } = spec;
  return {
    requiresArg: true as const,
    describe,
    ...(value === undefined ? {} : { default: value }),
    coerce: (given: unknown) => {
      if (given === undefined) return undefined;
      if (given === '') throw new LxmertError('BAD_ARGUMENT', `--${flag} needs a value`);
      if (given === false) throw noSwitch(flag);
      const number = Number(given);
      if (typeof given === 'boolean' || !isKind(number))
        throw new LxmertError('BAD_ARGUMENT', `--${flag} must be ${kind}, not ${shown(given)}`);
      inRange(flag, number, kind, range);
      return number;
    },
  };
}

/**
 * An option that is a whole number: `.option('images', integerOption('images', { min: 1, describe: '…', default: 9 }))`
 */
export function integerOption(flag: string, spec: NumberSpec & WithDefault): NumberOption<number> & WithDefault;
export function integerOption(flag: string, spec: NumberSpec): NumberOption<number | undefined>;
export function integerOption(flag: string, spec: NumberSpec): NumberOption<number | undefined> {
  return checkedNumber(flag, spec, 'a whole number', Number.isSafeInteger);
}

/** An option that is a finite number, otherwise like `integerOption`. */
export function numberOption(flag: string, spec: NumberSpec & WithDefault): NumberOption<number> & WithDefault;
export function numberOption(flag: string, spec: NumberSpec): NumberOption<number | undefined>;
export function numberOption(flag: string, spec: NumberSpec): NumberOption<number | undefined> {
  return checkedNumber(flag, spec, 'a number', Number.isFinite);
}

/** `.option('threads', threadsOption)` */
export const threadsOption = integerOption('threads', {
  describe: 'CPU threads; 0: all cores',
  default: 0,
  min: 0,
  max: maxThreads,
});

const shown = (given: unknown): string => (typeof given === 'string' ? JSON.stringify(given) : String(given));

/** Makes a command accept several positional values. Without this, yargs would take only the last one. */
export const severalPositionals = { 'dot-notation': false, 'duplicate-arguments-array': true } as const;

/** The last value of a flag that is given more than once. With `severalPositionals` such a flag is a list. */
export const lastOf = (given: string | string[]): string => (Array.isArray(given) ? (given.at(-1) ?? '') : given);
