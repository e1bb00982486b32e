import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Chart } from './charts.js';
import { html, jsonScript, trusted, type Html } from './html.js';

export interface PageParts {
  readonly title: string;
  readonly charts: readonly Chart[];
  readonly sections: readonly Html[];
}

const own = (name: string): string => fileURLToPath(new URL(`../../assets/${name}`, import.meta.url));
const uPlot = (name: string): string => createRequire(import.meta.url).resolve(`uplot/dist/${name}`);

/** The text of a script or style, so that it can be put into the page. */
const asset = async (path: string): Promise<Html> =>
  trusted((await readFile(path, 'utf8')).replace(/<\/(?=script|style)/gi, '<\\/'));

/** One self-contained page. It contains its styles, scripts and data, and loads nothing from the network. */
export async function page({ title, charts, sections }: PageParts): Promise<string> {
  const [script, plot, common, styles, plotStyles] = await Promise.all([
    asset(own('report/report.js')),
    asset(uPlot('uPlot.iife.min.js')),
    asset(own('shared/page.css')),
    asset(own('report/report.css')),
    asset(uPlot('uPlot.min.css')),
  ]);
  const drawn = charts.length > 0;
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
        />
        <link rel="icon" href="data:," />
        <title>${title}</title>
        <style>
          ${plotStyles}
          ${common}
          ${styles}
        </style>
      </head>
      <body>
        <main>
          <h1>${title}</h1>
          ${sections}
        </main>
        ${
          drawn && [
            jsonScript('report-data', { charts }),
            html`<script>
              ${plot};
            </script>`,
            html`<script type="module">
              ${script};
            </script>`,
          ]
        }
      </body>
    </html> `.markup;
}
