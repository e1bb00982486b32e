import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium, type Browser } from 'playwright-core';

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'] as const;

/** A Chromium of this machine, or that of LXMERT_CHROMIUM; undefined if there is none, and its tests are left out. */
export const browserPath: string | undefined =
  process.env.LXMERT_CHROMIUM ??
  (process.env.PATH ?? '')
    .split(delimiter)
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find((path) => existsSync(path));

/** Chromium without a window. Close it at the end of the test. A sandbox is not possible for root in a container. */
export const openBrowser = (): Promise<Browser> =>
  chromium.launch({ executablePath: browserPath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
