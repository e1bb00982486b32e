import type { Argv, Options } from 'yargs';
import { pretrainSettings } from '../config/fields.js';
import type { ConfigField, RunSettings } from '../config/fields.js';
import type { ConfigSources } from '../config/loadConfig.js';
import { presetNames } from '../config/presets.js';

const groups: Readonly<Record<string, string>> = {
  model: 'Model:',
  data: 'Data:',
  tasks: 'Tasks:',
  optimizer: 'Optimizer:',
};

/** A setting of a run as a flag. Its value stays text here; the configuration checks it. */
export function flagOf({ kind, choices, description, default: value, path }: ConfigField): Options {
  const shown = Array.isArray(value) ? value.join(',') : (value as string | number | undefined);
  return {
    // yargs would accept any text as the value of a boolean.
    ...(kind === 'switch' ? {} : { type: 'string', requiresArg: true }),
    describe: [
      description,
      ...(choices ? [`(${kind === 'list' ? 'any of ' : ''}${choices.join(', ')})`] : []),
      ...(shown === undefined || shown === '' ? [] : [`[${shown}]`]),
    ].join(' '),
    group: groups[path[0]] ?? 'Run:',
  };
}

/** A kind of run: its settings, and what it can start from. */
export interface RunFlags {
  readonly settings: RunSettings;
  readonly presets: readonly string[];
  /** Settings that are no flags, because the command takes them in another way. */
  readonly without?: readonly string[] | undefined;
}

const pretrainFlags: RunFlags = { settings: pretrainSettings, presets: presetNames };

const flagsOf = ({ settings, without = [] }: RunFlags): readonly ConfigField[] =>
  settings.fields.filter(({ flag }) => !without.includes(flag));

/** The flags of a run's description: `--config`, `--preset` and one for every setting. */
export function withRunFlags<T>(yargs: Argv<T>, kind = pretrainFlags) {
  const sourceOptions = {
    config: { type: 'string', requiresArg: true, describe: 'YAML file that describes the run; flags override it' },
    preset: { type: 'string', requiresArg: true, describe: `start from (${kind.presets.join(', ')})` },
  } as const satisfies Record<string, Options>;
  return yargs
    .options(Object.fromEntries(flagsOf(kind).map((field) => [field.flag, flagOf(field)])))
    .options(sourceOptions)
    .group(Object.keys(sourceOptions), 'Run:');
}

/** Where the description of a run comes from, as the arguments say. */
export function runSources(
  args: Readonly<Record<string, unknown>>,
  { settings }: Pick<RunFlags, 'settings'> = pretrainFlags,
): Omit<ConfigSources, 'saved'> {
  const text = (name: string) => {
    const value = args[name] as string | number | boolean | undefined;
    return value === undefined ? undefined : String(value);
  };
  const [file, preset] = [text('config'), text('preset')];
  return {
    flags: Object.fromEntries(settings.fields.map(({ flag }) => [flag, text(flag)] as const)),
    ...(file === undefined ? {} : { file }),
    ...(preset === undefined ? {} : { preset }),
  };
}
