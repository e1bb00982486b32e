import { createRequire } from 'node:module';
import yargs from 'yargs';
import { isLxmertError, LxmertError } from '../errors.js';
import type { Command } from './command.js';
import { nearest } from '../config/nearest.js';

/** Loads the module of a command, which then need not be there for `--version` or for another command. */
export type CommandTable = Readonly<Record<string, () => Promise<{ readonly command: Command }>>>;

export const exitCodes = { done: 0, failed: 1, wrongUsage: 2 } as const;

interface Declared {
  /** Long and short names of the options that the chosen command knows. */
  options: readonly string[];
  /** The command as typed, `scenes`; '' for none. */
  command: string;
}

interface YargsOptions {
  readonly key: Readonly<Record<string, unknown>>;
  readonly string: readonly string[];
}

function version(): string {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
  return version;
}

/** yargs tells the unknown arguments of strict mode in one line; each gets the name that was probably meant. */
function explainUnknown(unknown: string, declared: Declared, commands: readonly string[]): string {
  const names = unknown.split(', ');
  // yargs names `--no-such` a second time as `noSuch`.
  const camelCase = new Set(
    names.filter((n) => n.includes('-')).map((n) => n.replace(/-+(\w)/g, (_, c: string) => c.toUpperCase())),
  );
  return names
    .filter((name) => !camelCase.has(name))
    .map((name) => {
      if (declared.command === '') {
        const meant = nearest(name, commands);
        return `there is no command "${name}"${meant ? `; did you mean ${meant}?` : `: the commands are ${commands.join(', ')}`}`;
      }
      const meant = nearest(name, declared.options);
      return meant ? `unknown argument "${name}"; did you mean --${meant}?` : `unknown argument "${name}"`;
    })
    .join('\n');
}

/** An option that wants text but got none, as in `--out --json`. */
function checkTexts(argv: Readonly<Record<string, unknown>>, { string }: YargsOptions): void {
  for (const key of string) {
    if (argv[key] === '') throw new LxmertError('BAD_ARGUMENT', `--${key} needs a value`);
    if (Array.isArray(argv[key]) && argv[key].includes('')) {
      throw new LxmertError('BAD_ARGUMENT', `--${key} has an empty value`);
    }
  }
}

function isWrongUsage(error: unknown): boolean {
  if (isLxmertError(error)) return error.code === 'BAD_ARGUMENT' || error.code === 'BAD_CONFIG';
  return error instanceof Error && error.name === 'YError';
}

/** What the user reads: the message alone, or with `trace` the stack and its causes. */
function report(error: unknown, { trace, usage }: { trace: boolean; usage: string }): string {
  const message = error instanceof Error || isLxmertError(error) ? error.message : String(error);
  const lines = [`lxmert: ${message}`];
  if (trace) {
    for (let e = error; e instanceof Error; e = e.cause) lines.push(e.stack ?? e.message);
  } else if (!isLxmertError(error) && !isWrongUsage(error)) {
    lines.push('(This was not foreseen. With --trace the command says where it happened.)');
  }
  if (isWrongUsage(error)) lines.push(usage);
  return lines.join('\n');
}

/**
 * Runs one command line.
 *
 * @param args what follows the program's name
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage
 */
export async function runCli(args: readonly string[], table: CommandTable): Promise<number> {
  const names = Object.keys(table);
  const chosen = args.find((arg) => !arg.startsWith('-'));
  const known = chosen !== undefined && Object.hasOwn(table, chosen);
  const wanted = known ? [chosen] : args.includes('--version') ? [] : names;
  const declared: Declared = { options: [], command: known ? chosen : '' };
  const trace = args.includes('--trace');
  // yargs hands itself over as the second argument; its types do not tell.
  const lookAtOptions = (argv: Readonly<Record<string, unknown>>, instance?: unknown): void => {
    const options = (instance as { getOptions(): YargsOptions }).getOptions();
    declared.options = Object.keys(options.key);
    checkTexts(argv, options);
  };

  try {
    const commands = await Promise.all(wanted.map(async (name) => (await table[name]()).command));
    const parser = yargs([...args])
      .scriptName('lxmert')
      .usage('$0 <command> [options]')
      .locale('en')
      .parserConfiguration({ 'dot-notation': false, 'duplicate-arguments-array': false })
      .option('trace', { type: 'boolean', default: false, describe: 'print the stack of an error, too' })
      .middleware(lookAtOptions, true)
      .demandCommand(1, 'which command?')
      .strict()
      .help()
      .alias('help', 'h')
      .version(version())
      .epilogue('Exit codes: 0 done, 1 failed, 2 wrong usage. `lxmert <command> --help` tells of its options.')
      .wrap(Math.min(110, process.stdout.columns ?? 110))
      .exitProcess(false)
      .fail((message: string, error: Error | undefined) => {
        if (error) throw error;
        const unknown = /^Unknown (?:argument|command)s?: (.*)$/s.exec(message)?.[1];
        throw new LxmertError(
          'BAD_ARGUMENT',
          unknown === undefined ? message : explainUnknown(unknown, declared, names),
        );
      });
    for (const command of commands) parser.command(command);
    await parser.parseAsync();
    return exitCodes.done;
  } catch (error) {
    const usage = `\`lxmert ${declared.command === '' ? '' : `${declared.command} `}--help\` shows how it is used.`;
    process.stderr.write(`${report(error, { trace, usage })}\n`);
    return isWrongUsage(error) ? exitCodes.wrongUsage : exitCodes.failed;
  }
}
