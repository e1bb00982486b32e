import { configFields, finetuneSettings } from './fields.js';
import type { ConfigField } from './fields.js';
import { finetunePresets } from './finetuneConfig.js';
import { presets } from './presets.js';
import type { ConfigTree } from './presets.js';

const sections: Readonly<Record<string, string>> = {
  '': 'Run',
  model: 'Model',
  data: 'Data',
  tasks: 'Tasks',
  optimizer: 'Optimizer',
};

const kinds: Readonly<Record<ConfigField['kind'], string>> = {
  number: 'number',
  integer: 'whole number',
  text: 'text',
  choice: 'one of',
  list: 'list',
  switch: 'true or false',
};

/** The contents of a reference page. */
interface Page {
  readonly title: string;
  /** The command that writes it. */
  readonly writtenBy: string;
  readonly intro: readonly string[];
  readonly fields: readonly ConfigField[];
  readonly presets: Readonly<Record<string, ConfigTree>>;
}

/** Markdown reference of all settings of a pre-training run, from the schema: `docs/config.md`. */
export const configReference = (): string =>
  pageOf({
    title: 'Settings of a run',
    writtenBy: 'npx lxmert config reference',
    intro: [
      'Every setting can be given in a YAML file (`--config FILE`) or with its flag of `lxmert pretrain`. In the YAML file a dot in',
      'the name means a nested key. A flag overrides the file. As a flag, a list is written `a,b`, and `none` is the empty list. A',
      'dash means that there is no default, and the description says what happens then. `lxmert config show` prints the settings',
      'that result from a file, a preset and flags. `lxmert config schema` prints the JSON Schema for editors.',
      '',
      'A path must not begin with `~`, because only a shell replaces it by the home folder, and not inside quotation marks.',
    ],
    fields: configFields,
    presets,
  });

/** Markdown reference of all settings of a fine-tuning run: `docs/finetune-config.md`. */
export const finetuneReference = (): string =>
  pageOf({
    title: 'Settings of a fine-tuning run',
    writtenBy: 'npx lxmert config reference vqa',
    intro: [
      'This page lists every setting of `lxmert finetune TASK`, as a key of a YAML file (`--config FILE`) and as a flag.',
      '[config.md](config.md) says how to write them. `lxmert config show TASK` prints the settings that result from a file, a',
      'preset and flags. `lxmert config schema TASK` prints the JSON Schema for editors.',
    ],
    fields: finetuneSettings.fields.filter(({ flag }) => flag !== 'task'),
    presets: finetunePresets,
  });

function pageOf({ title, writtenBy, intro, fields, presets: starts }: Page): string {
  const sectionOf = ({ path }: ConfigField) => (path.length > 1 ? path[0] : '');
  const tables = Object.entries(sections).flatMap(([section, heading]) => {
    const own = fields.filter((field) => sectionOf(field) === section);
    if (own.length === 0) return [];
    return [`## ${heading}`, '', ...table(['setting', 'flag', 'type', 'default', 'what it is'], own.map(rowOf)), ''];
  });
  return [
    `# ${title}`,
    '',
    `<!-- Written by \`${writtenBy}\`; change the schema in src/config, not this page. -->`,
    '',
    ...intro,
    '',
    ...tables,
    '## Presets',
    '',
    'The values that a preset sets (`--preset NAME`, or `preset: NAME` in the file). All other settings have their defaults.',
    '',
    ...table(['setting', ...Object.keys(starts)], presetRows(fields, starts)),
    '',
  ].join('\n');
}

function rowOf({ path, flag, kind, choices, default: value, description }: ConfigField): string[] {
  const type = [kinds[kind], ...(choices ? [choices.map(code).join(', ')] : [])].join(kind === 'list' ? ' of ' : ' ');
  return [code(path.join('.')), code(`--${flag}`), type, value === undefined ? '–' : valueText(value), description];
}

function presetRows(fields: readonly ConfigField[], starts: Readonly<Record<string, ConfigTree>>): string[][] {
  const given = (tree: ConfigTree, path: readonly string[]) =>
    path.reduce<unknown>((at, key) => (at as ConfigTree | undefined)?.[key], tree);
  return fields.flatMap(({ path }) => {
    const values = Object.values(starts).map((tree) => given(tree, path));
    return values.every((value) => value === undefined)
      ? []
      : [[code(path.join('.')), ...values.map((value) => (value === undefined ? '' : valueText(value)))]];
  });
}

/** Formats a value. Numbers are rounded to 6 digits, because 1/0.15 has 17 digits. */
function valueText(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '`none`' : code(value.join(','));
  return code(typeof value === 'number' ? String(Number(value.toPrecision(6))) : String(value));
}

const code = (text: string) => `\`${text}\``;

/** A Markdown table with aligned columns, in prettier's format. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const cells = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = head.map((_, i) => Math.max(3, ...cells.map((row) => row[i].length)));
  const line = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`;
  const [first, ...rest] = cells.map(line);
  return [first, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...rest];
}
