import { createRequire } from 'node:module';
import yargs from 'yargs';
import { z } from 'zod';
import { isLxmertError, LxmertError } from '../errors.js';
import { noSwitch } from './command.js';
import type { Command } from './command.js';
import { nearest } from '../config/nearest.js';

/** Functions that load the module of each command, so that a command line loads only the module that it needs. */
export type CommandTable = Readonly<Record<string, () => Promise<{ readonly command: Command }>>>;

export const exitCodes = { done: 0, failed: 1, wrongUsage: 2 } as const;

function version(): string {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
  return version;
}

const wrong = (message: string): LxmertError => new LxmertError('BAD_ARGUMENT', message);

/** Adds the option that was probably meant to each argument that is no option. */
function explainUnknown(unknown: string, options: readonly string[]): string {
  const names = unknown.split(', ');
  // yargs reports `--no-such` a second time, as `noSuch`.
  const camelCase = new Set(
    names.filter((n) => n.includes('-')).map((n) => n.replace(/-+(\w)/g, (_, c: string) => c.toUpperCase())),
  );
  return names
    .filter((name) => !camelCase.has(name))
    .map((name) => {
      const meant = nearest(name, options);
      return `unknown argument "${name}"${meant === undefined ? '' : `; did you mean --${meant}?`}`;
    })
    .join('\n');
}

/** The options that a help text lists. */
const optionsIn = (help: string): string[] => [...help.matchAll(/^\s+(?:-\w, )?--([\w-]+)/gm)].map(([, name]) => name);

const unquoted = (text: string): string => text.replace(/^"(.*)"$/s, '$1');

/** A message of yargs in the form of our own messages. */
function reworded(message: string, usage: string, given = ''): string {
  const wordings: readonly [RegExp, string][] = [
    [/^Invalid values:\s+Argument: (.*), Given: (.*), Choices: (.*)$/s, '$1 must be one of $3, not $2'],
    [/^Not enough arguments following: (.*)$/, '--$1 needs a value'],
    [/^Missing required arguments?: (.*)$/, '--$1 is missing'],
    [/^Did you mean (.*)\?$/, `unknown argument "${given}"; did you mean $1?`],
    [/^Not enough non-option arguments: .*$/s, `an argument is missing: lxmert ${usage}`],
  ];
  const [, value, choices] = /^Invalid values:\s+Argument: .*, Given: "(.*)", Choices: (.*)$/s.exec(message) ?? [];
  const meant = value === undefined ? undefined : nearest(value, choices.split(', ').map(unquoted));
  const text = wordings.reduce((before, [from, to]) => before.replace(from, to), message);
  return meant === undefined ? text : `${text}; did you mean ${meant}?`;
}

/** The part of the options object of yargs' `check` that is used here. */
const declaredOptions = z.object({
  /** By name, all options and positional arguments. */
  key: z.record(z.string(), z.unknown()),
  /** Options that are on or off. */
  boolean: z.array(z.string()),
  /** Options that need a value. */
  narg: z.record(z.string(), z.unknown()),
});

/** Refuses values that yargs accepts: an empty text, `--json=maybe`, `--no-out`. @throws BAD_ARGUMENT */
function checkValues(
  args: readonly string[],
  positionals: readonly string[],
  argv: Readonly<Record<string, unknown>>,
  options: unknown,
): void {
  const declared = declaredOptions.parse(options);
  for (const key of Object.keys(declared.key)) {
    if (argv[key] === '') throw wrong(`${positionals.includes(key) ? `<${key}>` : `--${key}`} needs a value`);
    if (argv[key] === false && key in declared.narg) throw noSwitch(key);
  }
  for (const arg of args) {
    const [, key, value] = /^--([^=]+)=(.*)$/s.exec(arg) ?? [];
    if (declared.boolean.includes(key) && value !== 'true' && value !== 'false')
      throw wrong(`--${key} is a switch: give it alone, or as --${key}=true or --${key}=false; not "${value}"`);
  }
}

function isWrongUsage(error: unknown): boolean {
  return isLxmertError(error) && (error.code === 'BAD_ARGUMENT' || error.code === 'BAD_CONFIG');
}

/** The text for the user: the message, and with `trace` also the stacks of the error and its causes. */
function report(error: unknown, { trace, usage }: { trace: boolean; usage: string }): string {
  const message = error instanceof Error || isLxmertError(error) ? error.message : String(error);
  const lines = [`lxmert: ${message}`];
  if (trace) {
    for (let e = error; e instanceof Error; e = e.cause) lines.push(e.stack ?? e.message);
  } else if (!isLxmertError(error)) {
    lines.push('(This error was not expected. With --trace the command shows where it happened.)');
  }
  if (isWrongUsage(error)) lines.push(usage);
  return lines.join('\n');
}

/**
 * The names of the commands to load: the chosen one, or all of them for `--help`. @throws BAD_ARGUMENT if no command is
 * chosen
 */
function commandsToLoad(args: readonly string[], chosen: string | undefined, table: CommandTable): readonly string[] {
  const names = Object.keys(table);
  if (chosen !== undefined) return Object.hasOwn(table, chosen) ? [chosen] : [];
  if (args.includes('--version')) return [];
  if (args.includes('--help') || args.includes('-h')) return names;
  throw wrong(`which command? ${names.join(', ')}`);
}

/** The error for a command that is not in the table; yargs finds the one that was probably meant. */
async function unknownCommand(chosen: string, names: readonly string[]): Promise<LxmertError> {
  const parser = yargs([chosen]).locale('en').recommendCommands().exitProcess(false);
  for (const name of names) parser.command(name, '');
  let meant: string | undefined;
  parser.fail((message: string) => void (meant ??= /^Did you mean (.*)\?$/.exec(message)?.[1]));
  await parser.parseAsync();
  return wrong(
    `there is no command "${chosen}"` +
      (meant === undefined ? `: the commands are ${names.join(', ')}` : `; did you mean ${meant}?`),
  );
}

/**
 * Runs one command line.
 *
 * @param args the arguments after the program's name
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage
 */
export async function runCli(args: readonly string[], table: CommandTable): Promise<number> {
  const end = args.indexOf('--');
  const own = end < 0 ? args : args.slice(0, end);
  const chosen = own.find((arg) => !arg.startsWith('-'));
  const known = chosen !== undefined && Object.hasOwn(table, chosen);
  try {
    if (chosen !== undefined && !known) throw await unknownCommand(chosen, Object.keys(table));
    const commands = await Promise.all(
      commandsToLoad(own, chosen, table).map(async (name) => (await table[name]()).command),
    );
    const usage = String(commands[0]?.command ?? '');
    const positionals = [...usage.matchAll(/[<[](\w+)/g)].map(([, name]) => name);
    const [, second] = own.filter((arg) => !arg.startsWith('-'));
    let unknown: string | undefined;
    const parserOf = (words: readonly string[]) => {
      const parser = yargs([...words])
        .scriptName('lxmert')
        .usage('$0 <command> [options]')
        .locale('en')
        .parserConfiguration({ 'dot-notation': false, 'duplicate-arguments-array': false })
        .option('trace', { type: 'boolean', default: false, describe: 'also print the stack of an error' })
        // yargs documents the second argument, an object of all options; its types have only a part of it.
        .check((argv, options: unknown) => (checkValues(own, positionals, argv, options), true), true)
        .strict()
        .recommendCommands()
        .help()
        .alias('help', 'h')
        .version(version())
        .epilogue(
          'Exit codes: 0 done, 1 failed, 2 wrong usage. `lxmert <command> --help` describes the options of a command.',
        )
        .wrap(Math.min(110, process.stdout.columns ?? 110))
        .exitProcess(false)
        .fail((message: string, error: Error | undefined) => {
          if (error && error.name !== 'YError') throw error;
          unknown = /^Unknown (?:argument|command)s?: (.*)$/s.exec(message)?.[1];
          throw wrong(reworded(message, usage, second));
        });
      for (const command of commands) parser.command(command);
      return parser;
    };
    try {
      await parserOf(args).parseAsync();
    } catch (error) {
      if (unknown === undefined) throw error;
      const command = own.slice(0, own.findIndex((arg) => arg.startsWith('-')) >>> 0);
      throw wrong(explainUnknown(unknown, optionsIn(await parserOf(command).getHelp())));
    }
    return exitCodes.done;
  } catch (error) {
    const usage = `\`lxmert ${known ? `${chosen} ` : ''}--help\` shows how it is used.`;
    process.stderr.write(`${report(error, { trace: own.includes('--trace'), usage })}\n`);
    return isWrongUsage(error) ? exitCodes.wrongUsage : exitCodes.failed;
  }
}
