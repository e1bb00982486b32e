import type { Argv, Options } from 'yargs';
import { finetuneSettings, pretrainSettings } from '../config/fields.js';
import type { ConfigField, RunSettings } from '../config/fields.js';
import { finetunePresets, finetuneTasks } from '../config/finetuneConfig.js';
import type { ConfigSources } from '../config/loadConfig.js';
import { presetNames } from '../config/presets.js';
import { LxmertError } from '../errors.js';

const groups: Readonly<Record<string, string>> = {
  model: 'Model:',
  data: 'Data:',
  tasks: 'Tasks:',
  optimizer: 'Optimizer:',
};

/** A setting of a run as a flag. Its value is not parsed; the configuration parses and checks it. */
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

/** A kind of run: its settings and presets. */
export interface RunFlags {
  readonly settings: RunSettings;
  readonly presets: readonly string[];
  /** Settings that have no flag, because the command line gives them in another way. */
  readonly without?: readonly string[] | undefined;
}

const pretrainFlags: RunFlags = { settings: pretrainSettings, presets: presetNames };

/** Fine-tuning, for commands with the task as a positional argument. */
export const finetuneFlags: RunFlags = {
  settings: finetuneSettings,
  presets: Object.keys(finetunePresets),
  without: ['task'],
};

const flagsOf = ({ settings, without = [] }: RunFlags): readonly ConfigField[] =>
  settings.fields.filter(({ flag }) => !without.includes(flag));

/** The flags of a run's description: `--config`, `--preset` and one for every setting. */
export function withRunFlags<T>(yargs: Argv<T>, kind = pretrainFlags) {
  const sourceOptions = {
    config: { type: 'string', requiresArg: true, describe: 'YAML file that describes the run; flags override it' },
    preset: { type: 'string', requiresArg: true, describe: `preset of settings (${kind.presets.join(', ')})` },
  } as const satisfies Record<string, Options>;
  return yargs
    .options(Object.fromEntries(flagsOf(kind).map((field) => [field.flag, flagOf(field)])))
    .options(sourceOptions)
    .group(Object.keys(sourceOptions), 'Run:');
}

/** The sources of a run's description, from the arguments. */
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

const namesOf = ({ fields }: RunSettings): readonly string[] => fields.map(({ flag }) => flag);
const names = { pretrain: namesOf(pretrainSettings), finetune: namesOf(finetuneSettings) };

/** Flags of fine-tuning that pre-training does not have. */
const onlyFinetune = Object.fromEntries(
  flagsOf(finetuneFlags)
    .filter(({ flag }) => !names.pretrain.includes(flag))
    .map((field) => [field.flag, { ...flagOf(field), group: 'Fine-tuning:' }]),
);

/** The flags of both kinds of run, and the task, which is given only for fine-tuning. */
export const withEitherRunFlags = <T>(yargs: Argv<T>, describe: string) =>
  withRunFlags(yargs).options(onlyFinetune).positional('task', { choices: finetuneTasks, describe });

/**
 * The sources of the description of a run of either kind.
 * @param command the command, for the message
 * @throws BAD_ARGUMENT for a flag of the other kind
 */
export function eitherRunSources(
  args: Readonly<Record<string, unknown>>,
  command: string,
): { readonly isFinetuning: boolean; readonly sources: Omit<ConfigSources, 'saved'> } {
  const isFinetuning = args.task !== undefined;
  const [own, others] = isFinetuning ? [names.finetune, names.pretrain] : [names.pretrain, names.finetune];
  const wrong = others.find((flag) => flag !== 'task' && args[flag] !== undefined && !own.includes(flag));
  if (wrong !== undefined) {
    const run = isFinetuning
      ? 'pre-training, not of fine-tuning'
      : `fine-tuning: give its task, as in \`${command} vqa\``;
    throw new LxmertError('BAD_ARGUMENT', `--${wrong} is a setting of ${run}`);
  }
  return { isFinetuning, sources: runSources(args, isFinetuning ? finetuneFlags : undefined) };
}
