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

/** What a reference page is about. */
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
      'Every setting can be given in a YAML file (`--config FILE`) under its name, where a dot is a level, or with its flag of',
      '`lxmert pretrain`. A flag overrides the file. A list is written `a,b` as a flag; `none` is the empty list. A dash means',
      'that there is no default; the description says what holds then. `lxmert config show` prints the settings that a file, a',
      'preset and flags give together, `lxmert config schema` the JSON Schema, for editors.',
      '',
      'A path must not begin with `~`: only a shell replaces it by the home folder, and not within quotation marks.',
    ],
    fields: configFields,
    presets,
  });

/** The same of a fine-tuning run: `docs/finetune-config.md`. */
export const finetuneReference = (): string =>
  pageOf({
    title: 'Settings of a fine-tuning run',
    writtenBy: 'npx lxmert config reference vqa',
    intro: [
      'Every setting of `lxmert finetune TASK`, as a key of a YAML file (`--config FILE`) and as a flag. [config.md](config.md) says how',
      'they are written. `lxmert config show TASK` prints the settings that a file, a preset and flags give together,',
      '`lxmert config schema TASK` the JSON Schema, for editors.',
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

/** Numbers are shown as short as people write them: 1/0.15 has 17 digits. */
function valueText(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '`none`' : code(value.join(','));
  return code(typeof value === 'number' ? String(Number(value.toPrecision(6))) : String(value));
}

const code = (text: string) => `\`${text}\``;

/** A Markdown table with columns in line, as prettier lays them. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const cells = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')));
  const widths = head.map((_, i) => Math.max(3, ...cells.map((row) => row[i].length)));
  const line = (row: readonly string[]) => `| ${row.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`;
  const [first, ...rest] = cells.map(line);
  return [first, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...rest];
}
