import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { command as compareCommand } from '../../src/cli/compare.js';
import { command as reportCommand } from '../../src/cli/report.js';
import { finetune } from '../../src/finetune/index.js';
import { pretrain, pretrainParts } from '../../src/pretrain/index.js';
import { writeScenes } from '../../src/scenes/index.js';
import { command } from '../finetune/support.js';
import { smallModel } from '../finetune/questionScenes.js';
import { browserPath, openBrowser } from '../support/browser.js';

const table = {
  report: async () => ({ command: reportCommand }),
  compare: async () => ({ command: compareCommand }),
};
/** A name that would be markup if it were not escaped. */
const hostileName = 'run <img src=x onerror=alert(1)>';
let folder: string;
let data: string;
let run: string;
let tuned: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'page-'));
  [data, run, tuned] = ['scenes', hostileName, 'tuned'].map((name) => join(folder, name));
  await writeScenes({ out: data, images: 24, featureDim: 16, pictures: 0 });
  const flags = { ...smallModel, data, threads: '1', 'batch-size': '16', workers: '0', seed: '3' };
  await pretrain(
    { sources: { preset: 'tiny', flags: { ...flags, out: run, 'max-steps': '6', 'valid-every': '3' } } },
    pretrainParts,
  );
  const steps = { 'max-steps': '4', 'valid-every': '2', 'batch-size': '8' };
  await finetune({ sources: { preset: 'tinyScratch', flags: { ...flags, ...steps, task: 'nlvr2', out: tuned } } });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs `lxmert report RUN --html` and returns the page. */
async function reportOf(of: string, ...args: string[]): Promise<{ readonly file: string; readonly text: string }> {
  const file = join(folder, `report-${Math.random().toString(36).slice(2)}.html`);
  const { code, err } = await command(table, 'report', of, '--html', file, '--threads', '1', ...args);
  expect([code, code === 0 ? '' : err]).toEqual([0, '']);
  return { file, text: await readFile(file, 'utf8') };
}

describe('the text of the page', () => {
  test('names are escaped, and data of scripts cannot end their element', async () => {
    const { text } = await reportOf(run, '--samples', '2', '--questions', '20');
    expect(text).not.toContain('<img src=x');
    expect(text).toContain('run &lt;img src=x onerror=alert(1)&gt;');
    const json = /<script type="application\/json" id="report-data">(.*?)<\/script>/s.exec(text)?.[1] ?? '';
    const { charts } = JSON.parse(json) as { charts: { id: string; series: { x: number[]; y: number[] }[] }[] };
    expect(charts.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['loss', 'loss-maskedLm', 'accuracy', 'task-mix', 'memory']),
    );
    const metrics = (await readFile(join(run, 'metrics.jsonl'), 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const losses = metrics.filter((one) => !('split' in one)).map((one) => one.loss);
    expect(charts.find(({ id }) => id === 'loss')?.series[0].y).toEqual(losses);
  });

  test('a run with damaged lines, without its data, and without a checkpoint is shown as far as it goes', async () => {
    const broken = join(folder, 'broken');
    await mkdir(broken);
    await writeFile(join(broken, 'config.json'), await readFile(join(run, 'config.json')));
    const lines = (await readFile(join(run, 'metrics.jsonl'), 'utf8')).trim().split('\n');
    await writeFile(
      join(broken, 'metrics.jsonl'),
      [lines[0], '{"step":', 'no JSON', lines[1], lines[2].slice(0, 30)].join('\n'),
    );
    const { text } = await reportOf(broken, '--data', join(folder, 'nowhere'));
    expect(text).toContain('2 lines of metrics.jsonl are damaged and left out (line 2, 3)');
    expect(text).toContain('has no checkpoint yet');
    expect(text).toContain(join(folder, 'nowhere'));
    expect(text).toContain('There was no validation');
  });

  test('a run that has no step yet has no curves', async () => {
    const young = join(folder, 'young');
    await mkdir(young);
    await writeFile(join(young, 'config.json'), await readFile(join(run, 'config.json')));
    const { text } = await reportOf(young, '--samples', '0');
    expect(text).toContain('The run has no step yet');
    expect(text).toContain('Samples were not asked for');
  });

  test('what is no run is refused, and so are wrong options', async () => {
    const to = ['--html', join(folder, 'x.html')];
    const { code, err } = await command(table, 'report', data, ...to);
    expect([code, err]).toEqual([1, expect.stringContaining('is not a run: it has no config.json')]);
    expect(await command(table, 'report', run, ...to, '--samples', '-1')).toMatchObject({
      ...{ code: 2, err: expect.stringContaining('--samples must be a whole number from 0, not -1') },
    });
    expect(await command(table, 'report', run, ...to, '--pictures', join(folder, 'none'))).toMatchObject({
      ...{ code: 1, err: expect.stringContaining(join(folder, 'none')) },
    });
    expect(await command(table, 'compare', run)).toMatchObject({
      code: 2,
      err: expect.stringContaining('two or more'),
    });
    expect(await command(table, 'report', run, '--html', join(folder, 'no', 'x.html'), '--samples', '0')).toMatchObject(
      {
        ...{ code: 1, err: expect.stringContaining(join(folder, 'no', 'x.html')) },
      },
    );
  });
});

const inBrowser = browserPath === undefined ? describe.skip : describe;

inBrowser('in a browser', () => {
  let browser: Browser;
  let file: string;
  const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
  beforeAll(async () => {
    // A picture for one of the samples; the others are drawn.
    const pictures = join(folder, 'pictures');
    await mkdir(pictures);
    await writeFile(
      join(pictures, 'scene_valid_00000000.svg'),
      '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="100"><rect width="200" height="100" fill="#123456"/></svg>',
    );
    file = (await reportOf(run, '--samples', '4', '--questions', '40', '--pictures', pictures)).file;
    browser = await openBrowser();
  });
  afterAll(() => browser.close());

  interface Opened {
    readonly page: Page;
    /** The errors of the page, and the addresses that it has requested. Both lists must stay empty. */
    readonly faults: string[];
  }

  async function open(of: string, width: number, colorScheme: 'light' | 'dark'): Promise<Opened> {
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
    const faults: string[] = [];
    page.on('console', (message) => void faults.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => void faults.push(error.message));
    const own = pathToFileURL(of).href;
    page.on('request', (request) => {
      if (request.url() !== own && !request.url().startsWith('data:')) faults.push(request.url());
    });
    await page.goto(own);
    return { page, faults };
  }

  test.each([
    ['desktop', 1280, 'light'],
    ['desktop', 1280, 'dark'],
    ['phone', 390, 'light'],
    ['phone', 390, 'dark'],
  ] as const)('%s, %i pixels, %s: all is in view, readable, and comes from the file', async (_, width, scheme) => {
    const { page, faults } = await open(file, width, scheme);
    expect(await page.locator('figure canvas').count()).toBeGreaterThan(8);
    const overflow = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
    expect(overflow).toBe(0);
    await page.evaluate(await readFile(axe, 'utf8'));
    const { violations } = await page.evaluate<{
      violations: { id: string; impact: string; nodes: { html: string }[] }[];
    }>('axe.run()');
    const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
    expect(serious.map(({ id, nodes }) => [id, nodes[0].html])).toEqual([]);
    await page.close();
    expect(faults).toEqual([]);
  });

  test('the curves are drawn, follow the smoothing, and can be zoomed', async () => {
    const { page, faults } = await open(file, 1280, 'light');
    const chart = page.locator('#chart-loss');
    const pixels = (): Promise<string> => page.evaluate('document.querySelector("#chart-loss canvas").toDataURL()');
    const range = (): Promise<string | null> => page.locator('#range-loss').textContent();
    const smooth = await pixels();
    await page.locator('#smoothing').fill('0');
    expect(await pixels()).not.toBe(smooth);
    expect(await range()).toBe('Steps 1 to 6.');
    const area = (await chart.locator('.u-over').boundingBox())!;
    const y = area.y + area.height / 2;
    await page.mouse.move(area.x + 0.45 * area.width, y);
    await page.mouse.down();
    await page.mouse.move(area.x + 0.95 * area.width, y, { steps: 4 });
    await page.mouse.up();
    await expect(range()).resolves.toMatch(/^Steps [34] to 5\.$/);
    await page.getByRole('button', { name: 'Reset zoom' }).click();
    expect(await range()).toBe('Steps 1 to 6.');
    await page.close();
    expect(faults).toEqual([]);
  });

  test('the gallery shows a file where there is one, else the shapes; with words, matching and answers', async () => {
    const { page, faults } = await open(file, 1280, 'light');
    const samples = page.locator('#samples .sample');
    expect(await samples.count()).toBe(4);
    const first = samples.first();
    expect(await first.locator('svg image').getAttribute('href')).toMatch(/^data:image\/svg\+xml;base64,/);
    expect(await first.locator('svg rect').count()).toBeGreaterThan(1);
    expect(await samples.nth(2).locator('svg [fill^="#"]').count()).toBeGreaterThan(1);
    expect(await first.locator('mark').count()).toBe(1);
    expect(await first.locator('.answers li').count()).toBeGreaterThanOrEqual(5);
    expect(await first.textContent()).toMatch(/Belongs to this picture: [\d.]+ %/);
    expect(await page.locator('#worst .sample').count()).toBe(6);
    const texts = await page.locator('#results').textContent();
    expect(texts).toContain('questions');
    await page.close();
    expect(faults).toEqual([]);
  });

  test('a fine-tuned run shows both pictures of a question; several runs share their charts', async () => {
    const tunedFile = (await reportOf(tuned, '--samples', '3', '--questions', '16')).file;
    const one = await open(tunedFile, 1280, 'light');
    expect(await one.page.locator('#samples .sample').first().locator('svg').count()).toBe(2);
    await one.page.close();
    const both = join(folder, 'both.html');
    expect(await command(table, 'compare', run, tuned, '--html', both)).toMatchObject({ code: 0 });
    const two = await open(both, 1280, 'light');
    const legend = await two.page.locator('#chart-loss .u-legend').textContent();
    expect(legend).toContain(`${hostileName}: training`);
    expect(legend).toContain('tuned: training');
    await two.page.close();
    expect([...one.faults, ...two.faults]).toEqual([]);
  });

  test('a run that goes on can be shown again', async () => {
    const going = join(folder, 'going');
    await mkdir(going);
    for (const name of ['config.json', 'metrics.jsonl'])
      await writeFile(join(going, name), await readFile(join(run, name)));
    await appendFile(join(going, 'metrics.jsonl'), '{"step":7,"epoch":0,"lr":0.001,"los');
    const { text } = await reportOf(going, '--samples', '0');
    expect(text).not.toContain('damaged');
  });
});
