/** @jest-environment ./test/support/onnxEnvironment.mjs */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { serve, type Served } from '../../src/serve/index.js';
import { browserPath, openBrowser } from '../support/browser.js';
import { servedScenes, type ServedScenes } from './support.js';

const inBrowser = browserPath === undefined ? describe.skip : describe;

inBrowser('the page of lxmert serve', () => {
  const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
  let scenes: ServedScenes;
  let server: Served;
  let browser: Browser;
  beforeAll(async () => {
    scenes = await servedScenes();
    const { run, data, detector } = scenes;
    server = await serve(run, { data, detector, device: 'cpu', threads: 1, port: 0 });
    browser = await openBrowser();
  }, 120_000);
  afterAll(async () => {
    await browser.close();
    await server.close();
    scenes.remove();
  });

  interface Opened {
    readonly page: Page;
    /** Errors of the page and requests to other servers, which must stay empty. */
    readonly faults: string[];
  }

  async function open(width = 1280, colorScheme: 'light' | 'dark' = 'light'): Promise<Opened> {
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
    const faults: string[] = [];
    page.on('console', (message) => void faults.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => void faults.push(error.message));
    page.on('dialog', (dialog) => void (faults.push(dialog.message()), dialog.dismiss()));
    page.on('request', (request) => {
      if (!request.url().startsWith(server.url) && !/^(data|blob):/.test(request.url())) faults.push(request.url());
    });
    await page.goto(server.url);
    await page.locator('#thumbs button').first().waitFor();
    return { page, faults };
  }

  const question = 'what color is the circle?';
  const answers = (page: Page) => page.locator('#answers li');
  async function askAbout(page: Page, id: string, text = question): Promise<void> {
    await page.getByRole('searchbox', { name: 'Pictures of the server' }).fill(id);
    await page.getByRole('button', { name: id }).click();
    await page.getByRole('textbox', { name: 'What do you want to know?' }).fill(text);
    await page.getByRole('button', { name: 'Ask' }).click();
    await answers(page).first().waitFor();
  }
  async function done({ page, faults }: Opened): Promise<void> {
    await page.close();
    expect(faults).toEqual([]);
  }

  test('answers a question about a scene as the API does, with bars, shaded words and boxes', async () => {
    const opened = await open();
    const { page } = opened;
    await askAbout(page, 'scene_valid_00000003');
    const response = await fetch(new URL('/answer', server.url), {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
      body: JSON.stringify({ picture: { id: 'scene_valid_00000003' }, question }),
    });
    const { results } = (await response.json()) as {
      results: { answers: { answer: string; probability: number }[] }[];
    };
    const expected = results[0].answers.map(
      ({ answer, probability }) => `${answer}${(100 * probability).toFixed(1)} %`,
    );
    expect(await answers(page).allTextContents()).toEqual(expected);
    expect(Number(await page.locator('#answers meter').first().getAttribute('value'))).toBeCloseTo(
      results[0].answers[0].probability,
      5,
    );
    expect(await page.locator('#words button').allTextContents()).toEqual([
      '[CLS]',
      'what',
      'color',
      'is',
      'the',
      'circle',
      '?',
      '[SEP]',
    ]);
    const shares = (part: string): Promise<number[]> =>
      page
        .locator(part)
        .evaluateAll((all) =>
          all.map((one) => Number((one as unknown as { dataset: { share: string } }).dataset.share)),
        );
    expect(Math.max(...(await shares('#words button')))).toBe(1);
    expect(await page.locator('#boxes rect').count()).toBeGreaterThan(0);
    // Another answer has its own explanation.
    const second = page.locator('#answers button').nth(1);
    await second.click();
    await page.locator('#meaning', { hasText: `“${results[0].answers[1].answer}”` }).waitFor();
    expect(await second.getAttribute('aria-pressed')).toBe('true');
    await done(opened);
  });

  test('answers a question about an uploaded picture, chosen or dropped; says when a file is no picture', async () => {
    const opened = await open();
    const { page } = opened;
    await page.getByLabel('Drop a picture here, or choose a file').setInputFiles(scenes.picture);
    await page.getByRole('textbox', { name: 'What do you want to know?' }).fill(question);
    await page.getByRole('button', { name: 'Ask' }).click();
    await answers(page).first().waitFor();
    const chosen = await answers(page).allTextContents();
    expect(chosen).toHaveLength(5);
    // The objects of the stored scene are those of the same file.
    expect(await page.locator('#caption').textContent()).toBe('scene_valid_00000000.png');
    const bytes = (await readFile(scenes.picture)).toString('base64');
    await page.evaluate(`(() => {
      const bytes = Uint8Array.from(atob(${JSON.stringify(bytes)}), (one) => one.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], 'dropped.png', { type: 'image/png' }));
      document.getElementById('upload').dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
    })()`);
    expect(await page.locator('#caption').textContent()).toBe('dropped.png');
    expect(await page.locator('#result').isVisible()).toBe(false);
    await page.getByRole('button', { name: 'Ask' }).click();
    await answers(page).first().waitFor();
    expect(await answers(page).allTextContents()).toEqual(chosen);
    await page.getByRole('button', { name: 'Does this sentence belong' }).click();
    await page.locator('#status', { hasText: /^Belongs to this picture: [\d.]+ %$/ }).waitFor();
    const bad = join(scenes.folder, 'bad.png');
    writeFileSync(bad, 'no picture');
    await page.getByLabel('Drop a picture here, or choose a file').setInputFiles(bad);
    await page.getByRole('button', { name: 'Ask' }).click();
    await page.locator('#problem', { hasText: 'cannot be decoded as a picture' }).waitFor();
    await page.close();
    // Chromium itself reports the answer with status 422.
    expect(opened.faults.filter((fault) => !fault.includes('status of 422'))).toEqual([]);
  });

  test('shows where a word looks, in each direction, layer and head', async () => {
    const opened = await open();
    const { page } = opened;
    await askAbout(page, 'scene_valid_00000001');
    const meaning = page.locator('#meaning');
    const word = page.locator('#words button', { hasText: 'circle' });
    const looks = (): Promise<string | null> => meaning.textContent();
    await word.hover();
    const mean = await looks();
    expect(mean).toMatch(/^Where “circle” looks: most at box \d \([\d.]+ %\)\.$/);
    await page.getByLabel('Head').selectOption('2');
    await page.mouse.move(0, 0);
    await word.hover();
    const head = await looks();
    expect(head).not.toBe(mean);
    await page.getByLabel('Layer').selectOption('1');
    await page.locator('#status:empty').waitFor({ state: 'attached' });
    await page.mouse.move(0, 0);
    await word.hover();
    expect(await looks()).not.toBe(head);
    await page.getByLabel('Attention').selectOption('boxes look at words');
    await page.locator('#status:empty').waitFor({ state: 'attached' });
    await page.locator('#boxes rect').first().hover();
    expect(await looks()).toMatch(/^Where box \d looks: most at “.*” \(/);
    await word.hover();
    expect(await looks()).toMatch(/^Which boxes look at “circle”: most box \d/);
    await page.mouse.move(0, 0);
    expect(await looks()).toMatch(/^Darker words and boxes count more for/);
    await done(opened);
  });

  test('works by keyboard alone', async () => {
    const opened = await open();
    const { page } = opened;
    const focused = (): Promise<string> =>
      page.evaluate('document.activeElement.id || document.activeElement.title || document.activeElement.textContent');
    const tabTo = async (name: string): Promise<void> => {
      for (let i = 0; i < 40 && (await focused()) !== name; i++) await page.keyboard.press('Tab');
      expect(await focused()).toBe(name);
    };
    await tabTo('find');
    await page.keyboard.type('valid_00000002');
    await page.locator('#thumbs button[title=scene_valid_00000002]').waitFor();
    await tabTo('scene_valid_00000002');
    await page.keyboard.press('Enter');
    await tabTo('question');
    await page.keyboard.type('is there a star?');
    await page.keyboard.press('Enter');
    await answers(page).first().waitFor();
    await tabTo('[CLS]');
    await page.keyboard.press('ArrowRight');
    expect(await focused()).toBe('is');
    expect(await page.locator('#meaning').textContent()).toMatch(/^Where “is” looks/);
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('direction');
    await page.keyboard.press('Shift+Tab');
    expect(await focused()).toBe('is');
    await done(opened);
  });

  test('questions, names and ids never become markup', async () => {
    const opened = await open();
    const { page } = opened;
    const hostile = '<img src=x onerror=alert(1)>';
    await askAbout(page, 'scene_valid_00000004', hostile);
    const file = join(scenes.folder, '<img src=x onerror=alert(2)>.png');
    copyFileSync(scenes.picture, file);
    await page.getByLabel('Drop a picture here, or choose a file').setInputFiles(file);
    await page.getByRole('searchbox').fill(hostile);
    await page.getByText('No picture has such an id.').waitFor();
    expect(await page.locator('#caption').textContent()).toBe('<img src=x onerror=alert(2)>.png');
    expect(await page.locator('img[src=x]').count()).toBe(0);
    await done(opened);
  });

  test.each([
    ['desktop', 1280, 'light'],
    ['desktop', 1280, 'dark'],
    ['phone', 390, 'light'],
    ['phone', 390, 'dark'],
  ] as const)('%s, %i pixels, %s: all is in view and readable', async (_, width, scheme) => {
    const opened = await open(width, scheme);
    const { page } = opened;
    await askAbout(page, 'scene_valid_00000005');
    await page.locator('#words button', { hasText: 'circle' }).hover();
    const overflow = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
    expect(overflow).toBe(0);
    const screenshots = process.env.LXMERT_SCREENSHOTS;
    if (screenshots) await page.screenshot({ path: join(screenshots, `serve-${width}-${scheme}.png`), fullPage: true });
    await page.evaluate(await readFile(axe, 'utf8'));
    const { violations } = await page.evaluate<{
      violations: { id: string; impact: string; nodes: { html: string }[] }[];
    }>('axe.run()');
    const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
    expect(serious.map(({ id, nodes }) => [id, nodes[0].html])).toEqual([]);
    await done(opened);
  });
});
