import { createRequire } from 'node:module';
import yargs from 'yargs';
import { isLxmertError, LxmertError } from '../errors.js';
import type { Command } from './command.js';
import { nearest } from '../config/nearest.js';

/** Loads the module of a command, which then need not be there for `--version` or for another command. */
export type CommandTable = Readonly<Record<string, () => Promise<{ readonly command: Command }>>>;

export const exitCodes = { done: 0, failed: 1, wrongUsage: 2 } as const;

/** What yargs knows of the chosen command once it has read its options. */
interface Declared {
  /** Long and short names of the options. */
  readonly options: readonly string[];
  /** Those that are on or off. */
  readonly switches: readonly string[];
  /** Those that must have a value. */
  readonly valued: readonly string[];
  /** Those that come without dashes. */
  readonly positionals: readonly string[];
  /** Commands of the command, as of `bench`. */
  readonly commands: readonly string[];
}

/** The part of yargs that its types leave out. */
interface YargsInside {
  getOptions(): {
    readonly key: Readonly<Record<string, unknown>>;
    readonly boolean: readonly string[];
    readonly narg: Readonly<Record<string, number>>;
  };
  getGroups(): Readonly<Record<string, readonly string[]>>;
  getInternalMethods(): { getCommandInstance(): { getCommands(): readonly string[] } };
}

const nothing: Declared = { options: [], switches: [], valued: [], positionals: [], commands: [] };

function declaredBy(yargs: YargsInside): Declared {
  const { key, boolean, narg } = yargs.getOptions();
  return {
    options: Object.keys(key),
    switches: boolean,
    valued: Object.keys(narg),
    positionals: yargs.getGroups()['Positionals:'] ?? [],
    commands: yargs.getInternalMethods().getCommandInstance().getCommands(),
  };
}

function version(): string {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
  return version;
}

const wrong = (message: string): LxmertError => new LxmertError('BAD_ARGUMENT', message);

/** yargs tells the unknown arguments of strict mode in one line; each gets the name that was probably meant. */
function explainUnknown(unknown: string, { options, commands }: Declared): string {
  const names = unknown.split(', ');
  // yargs names `--no-such` a second time as `noSuch`.
  const camelCase = new Set(
    names.filter((n) => n.includes('-')).map((n) => n.replace(/-+(\w)/g, (_, c: string) => c.toUpperCase())),
  );
  return names
    .filter((name) => !camelCase.has(name))
    .map((name) => {
      const option = nearest(name, options);
      const meant = nearest(name, commands) ?? (option && `--${option}`);
      return `unknown argument "${name}"${meant ? `; did you mean ${meant}?` : ''}`;
    })
    .join('\n');
}

/** What yargs finds wrong, in the form of our own messages. */
function reworded(message: string, usage: string): string {
  const wordings: readonly [RegExp, string][] = [
    [/^Invalid values:\s+Argument: (.*), Given: (.*), Choices: (.*)$/s, '$1 must be one of $3, not $2'],
    [/^Not enough arguments following: (.*)$/, '--$1 needs a value'],
    [/^Missing required arguments?: (.*)$/, '--$1 is missing'],
    [/^Not enough non-option arguments: .*$/s, `an argument is missing: lxmert ${usage}`],
  ];
  return wordings.reduce((text, [from, to]) => text.replace(from, to), message);
}

/** What yargs would take without a word: text that is not there, `--json=maybe`, `--no-out`. */
function checkValues(args: readonly string[], argv: Readonly<Record<string, unknown>>, declared: Declared): void {
  for (const key of declared.options) {
    if (argv[key] === '') throw wrong(`${declared.positionals.includes(key) ? `<${key}>` : `--${key}`} needs a value`);
    if (argv[key] === false && declared.valued.includes(key))
      throw wrong(`--no-${key}: --${key} wants a value and cannot be switched off`);
  }
  for (const arg of args) {
    const [, key, value] = /^--([^=]+)=(.*)$/s.exec(arg) ?? [];
    if (declared.switches.includes(key) && value !== 'true' && value !== 'false')
      throw wrong(`--${key} is a switch: give it alone, or as --${key}=true or --${key}=false; not "${value}"`);
  }
}

function isWrongUsage(error: unknown): boolean {
  return isLxmertError(error) && (error.code === 'BAD_ARGUMENT' || error.code === 'BAD_CONFIG');
}

/** What the user reads: the message alone, or with `trace` the stack and its causes. */
function report(error: unknown, { trace, usage }: { trace: boolean; usage: string }): string {
  const message = error instanceof Error || isLxmertError(error) ? error.message : String(error);
  const lines = [`lxmert: ${message}`];
  if (trace) {
    for (let e = error; e instanceof Error; e = e.cause) lines.push(e.stack ?? e.message);
  } else if (!isLxmertError(error)) {
    lines.push('(This was not foreseen. With --trace the command says where it happened.)');
  }
  if (isWrongUsage(error)) lines.push(usage);
  return lines.join('\n');
}

/** The chosen command; all of them where `--help` lists them. */
function commandsToLoad(args: readonly string[], chosen: string | undefined, table: CommandTable): readonly string[] {
  const names = Object.keys(table);
  if (chosen === undefined) {
    if (args.includes('--version')) return [];
    if (args.includes('--help') || args.includes('-h')) return names;
    throw wrong(`which command? ${names.join(', ')}`);
  }
  if (names.includes(chosen)) return [chosen];
  const meant = nearest(chosen, names);
  throw wrong(
    `there is no command "${chosen}"${meant ? `; did you mean ${meant}?` : `: the commands are ${names.join(', ')}`}`,
  );
}

/**
 * Runs one command line.
 *
 * @param args what follows the program's name
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage
 */
export async function runCli(args: readonly string[], table: CommandTable): Promise<number> {
  const end = args.indexOf('--');
  const own = end < 0 ? args : args.slice(0, end);
  const chosen = own.find((arg) => !arg.startsWith('-'));
  const known = chosen !== undefined && Object.hasOwn(table, chosen);
  let declared = nothing;
  const lookAtOptions = (argv: Readonly<Record<string, unknown>>, instance?: unknown): void => {
    // yargs hands itself over as the second argument; its types do not tell.
    declared = declaredBy(instance as YargsInside);
    checkValues(own, argv, declared);
  };

  try {
    const commands = await Promise.all(
      commandsToLoad(own, chosen, table).map(async (name) => (await table[name]()).command),
    );
    const parser = yargs([...args])
      .scriptName('lxmert')
      .usage('$0 <command> [options]')
      .locale('en')
      .parserConfiguration({ 'dot-notation': false, 'duplicate-arguments-array': false })
      .option('trace', { type: 'boolean', default: false, describe: 'print the stack of an error, too' })
      .middleware(lookAtOptions, true)
      .strict()
      .help()
      .alias('help', 'h')
      .version(version())
      .epilogue('Exit codes: 0 done, 1 failed, 2 wrong usage. `lxmert <command> --help` tells of its options.')
      .wrap(Math.min(110, process.stdout.columns ?? 110))
      .exitProcess(false)
      .fail((message: string, error: Error | undefined) => {
        if (error && error.name !== 'YError') throw error;
        const unknown = /^Unknown (?:argument|command)s?: (.*)$/s.exec(message)?.[1];
        throw wrong(
          unknown === undefined ? reworded(message, String(commands[0].command)) : explainUnknown(unknown, declared),
        );
      });
    for (const command of commands) parser.command(command);
    await parser.parseAsync();
    return exitCodes.done;
  } catch (error) {
    const usage = `\`lxmert ${known ? `${chosen} ` : ''}--help\` shows how it is used.`;
    process.stderr.write(`${report(error, { trace: own.includes('--trace'), usage })}\n`);
    return isWrongUsage(error) ? exitCodes.wrongUsage : exitCodes.failed;
  }
}
