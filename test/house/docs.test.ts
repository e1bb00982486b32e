import { expect, jest, test } from '@jest/globals';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCli } from '../../src/cli/run.js';
import type { CommandTable } from '../../src/cli/run.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const pages = [
  'docs/explain.md',
  'docs/export.md',
  'docs/finetuning.md',
  'docs/scenes.md',
  'docs/serve.md',
  ...readdirSync(join(root, 'docs/tasks')).map((name) => `docs/tasks/${name}`),
];
const read = (page: string): string => readFileSync(join(root, page), 'utf8');

const table: CommandTable = {
  answers: () => import('../../src/cli/answers.js'),
  evaluate: () => import('../../src/cli/evaluate.js'),
  export: () => import('../../src/cli/export.js'),
  explain: () => import('../../src/cli/explain.js'),
  finetune: () => import('../../src/cli/finetune.js'),
  predict: () => import('../../src/cli/predict.js'),
  pretrain: () => import('../../src/cli/pretrain.js'),
  report: () => import('../../src/cli/report.js'),
  scenes: () => import('../../src/cli/scenes.js'),
  score: () => import('../../src/cli/score.js'),
  serve: () => import('../../src/cli/serve.js'),
};

async function helpOf(command: readonly string[]): Promise<string> {
  let text = '';
  // yargs prints help with console.log.
  const spy = jest.spyOn(console, 'log').mockImplementation((some) => void (text += String(some)));
  try {
    expect([command, await runCli([...command, '--help'], table)]).toEqual([command, 0]);
  } finally {
    spy.mockRestore();
  }
  return text;
}

test.each(pages)('the commands of %s exist, with their flags', async (page) => {
  const lines = [...read(page).matchAll(/^(?:\$ )?npx lxmert (.*)$/gm)].map(([, line]) => line.split(' '));
  for (const [command, ...words] of lines) {
    const help = await helpOf(['answers', 'export'].includes(command) ? [command, words[0]] : [command]);
    const known = new Set(help.match(/--[\w-]+/g));
    const flags = words.filter((word) => word.startsWith('--'));
    expect([command, flags.filter((flag) => !known.has(flag))]).toEqual([command, []]);
  }
});

test.each(pages)('the links of %s lead to files', (page) => {
  const text = read(page).replace(/```.*?```/gs, '');
  const links = [...text.matchAll(/\]\(([^)#]+)[^)]*\)/g)].map(([, link]) => link);
  const files = links.filter((link) => !link.startsWith('http')).map((link) => normalize(join(dirname(page), link)));
  expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});
