import { configFields } from './fields.js';
import type { ConfigField } from './fields.js';
import { presetNames, presets } from './presets.js';

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

/** Markdown reference of all settings of a run, from the schema: `docs/config.md`. */
export function configReference(): string {
  const sectionOf = ({ path }: ConfigField) => (path.length > 1 ? path[0] : '');
  const tables = Object.entries(sections).flatMap(([section, title]) => [
    `## ${title}`,
    '',
    ...table(
      ['setting', 'flag', 'type', 'default', 'what it is'],
      configFields.filter((field) => sectionOf(field) === section).map(rowOf),
    ),
    '',
  ]);
  return [
    '# Settings of a run',
    '',
    '<!-- Written by `npx lxmert config reference`; change the schema in src/config, not this page. -->',
    '',
    'Every setting can be given in a YAML file (`--config FILE`) under its name, where a dot is a level, or with its flag of',
    '`lxmert pretrain`. A flag overrides the file. A list is written `a,b` as a flag; `none` is the empty list. A dash means',
    'that there is no default; the description says what holds then. `lxmert config show` prints the settings that a file, a',
    'preset and flags give together, `lxmert config schema` the JSON Schema, for editors.',
    '',
    'A path must not begin with `~`: only a shell replaces it by the home folder, and not within quotation marks.',
    '',
    ...tables,
    '## Presets',
    '',
    'The values that a preset sets (`--preset NAME`, or `preset: NAME` in the file). All other settings have their defaults.',
    '',
    ...table(['setting', ...presetNames], presetRows()),
    '',
  ].join('\n');
}

function rowOf({ path, flag, kind, choices, default: value, description }: ConfigField): string[] {
  const type = [kinds[kind], ...(choices ? [choices.map(code).join(', ')] : [])].join(kind === 'list' ? ' of ' : ' ');
  return [code(path.join('.')), code(`--${flag}`), type, value === undefined ? '–' : valueText(value), description];
}

function presetRows(): string[][] {
  const given = (name: (typeof presetNames)[number], path: readonly string[]) =>
    path.reduce<unknown>((at, key) => (at as Readonly<Record<string, unknown>> | undefined)?.[key], presets[name]);
  return configFields.flatMap(({ path }) => {
    const values = presetNames.map((name) => given(name, path));
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
