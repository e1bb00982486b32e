import { join } from 'node:path';
import { isFinetuneTask } from '../config/finetuneConfig.js';
import { loadFinetuneConfig, loadRunConfig } from '../config/loadConfig.js';
import type { DeviceName } from '../config/runConfig.js';
import { LxmertError, isLxmertError } from '../errors.js';
import { counted, whole } from '../figures.js';
import { isThere } from '../formats/fileErrors.js';
import { findPictureFile, type PictureFile } from '../formats/pictureFile.js';
import { openFinetuneData } from '../finetune/openRun.js';
import { openPretrainRun } from '../pretrain/openParts.js';
import { reportOnScenes } from '../report/index.js';
import { pretrainViews } from '../report/pretrainViews.js';
import { questionViews } from '../report/questionViews.js';
import type { SampleView, SampleViews } from '../report/sampleView.js';
import { isSceneFolder } from '../scenes/index.js';
import { chartsOf } from './charts.js';
import { configTable } from './configuration.js';
import { readHistory, type RunHistory } from './history.js';
import { html, type Html } from './html.js';
import { page } from './page.js';
import { picture } from './picture.js';
import {
  configuration,
  curves,
  empty,
  samples,
  sceneResults,
  section,
  tiles,
  validationResults,
  viewResults,
} from './sections.js';

export interface RunPageOptions {
  readonly run: string;
  /** Data folder; default: the data folder of the run. */
  readonly data?: string | undefined;
  /** Default: the run's validation splits. */
  readonly splits?: readonly string[] | undefined;
  /**
   * Folder of pictures, `<image id>.<jpg, png, webp or svg>`; default: `pictures` in the data folder, if there is one.
   */
  readonly pictures?: string | undefined;
  /** Number of samples in the gallery; 0: no sample is shown, and the model is not opened. */
  readonly samples: number;
  /** The largest number of questions on which the model is tested to find mistakes. */
  readonly questions: number;
  readonly device?: DeviceName | undefined;
  readonly threads?: number | undefined;
  readonly onProgress?: (what: string) => void;
}

const mistakesShown = 6;

/**
 * The report of a run as one self-contained page of HTML. If a part cannot be shown, the page gives the reason instead.
 * @throws RUN_FOLDER if there is no run; FILE_MISSING for a folder of pictures that was named
 */
export async function runPage(options: RunPageOptions): Promise<string> {
  const { run, onProgress: tell = () => undefined } = options;
  const history = await readHistory(run);
  const charts = chartsOf([history]);
  const task = taskOf(history);
  const { pictures = await usualPictures(options, history) } = options;
  if (pictures !== undefined && !(await isThere(pictures)))
    throw new LxmertError('FILE_MISSING', `--pictures ${pictures}: there is no such folder`);
  tell('data');
  const data = await orReason(() => dataNotes(options, history));
  tell('results');
  const isScenes = await looksLikeScenes(options, history);
  const results =
    task === undefined && isScenes ? await orReason(async () => sceneResults(await scenes(options))) : undefined;
  tell('samples');
  const views = await orReason(() => viewsOf(options, history));
  const drawn = new Map<SampleView, Html[]>();
  if (!isReason(views))
    for (const view of [...views.gallery, ...views.worst, ...views.mostConfident])
      if (!drawn.has(view)) {
        const files = await Promise.all(view.pictures.map(({ id }) => pictureOf(pictures, id)));
        drawn.set(
          view,
          view.pictures.map((one, i) => picture(one, { file: files[i], scene: isScenes })),
        );
      }
  return page({
    title: `Run ${history.name}`,
    charts,
    sections: [
      html`<p class="quiet">
        ${task === undefined ? 'Pre-training' : `Fine-tuning on ${task}`}, ${history.folder}. ${damaged(history)}
      </p>`,
      tiles(history),
      section('curves', 'Curves', curves(charts)),
      section('results', 'Results', [
        results === undefined || isReason(results) ? html`` : results,
        results !== undefined && isReason(results) ? empty(results.reason) : html``,
        isReason(views) || (results !== undefined && !isReason(results)) ? html`` : viewResults(views),
        validationResults([history]),
      ]),
      ...(isReason(views) ? [section('samples', 'Held-out samples', empty(views.reason))] : samples(views, drawn)),
      section(
        'data',
        'Data',
        isReason(data)
          ? empty(data.reason)
          : html`<ul>
              ${data.map((text) => html`<li>${text}</li>`)}
            </ul>`,
      ),
      section('configuration', 'Configuration', configuration(await configTable(history.config))),
    ],
  });
}

/**
 * The curves and results of several runs in one page. @throws RUN_FOLDER if one of the folders does not contain a run
 */
export async function comparisonPage(runs: readonly string[]): Promise<string> {
  const histories = await Promise.all(runs.map(readHistory));
  const named = distinctNames(histories);
  const charts = chartsOf(named);
  return page({
    title: `Runs ${named.map(({ name }) => name).join(', ')}`,
    charts,
    sections: [
      ...named.map(
        (history) =>
          html`<h3>${history.name}</h3>
            <p class="quiet">${history.folder}. ${damaged(history)}</p>
            ${tiles(history)}`,
      ),
      section('curves', 'Curves', curves(charts)),
      section('results', 'Results', validationResults(named)),
      section(
        'configuration',
        'Configuration',
        await Promise.all(
          named.map(
            async ({ name, config }) =>
              html`<h3>${name}</h3>
                ${configuration(await configTable(config))}`,
          ),
        ),
      ),
    ],
  });
}

/** If the folders of two runs have the same last part, each of these runs gets the path of its folder as its name. */
function distinctNames(histories: readonly RunHistory[]): RunHistory[] {
  const seen = histories.map(({ name }) => name);
  return histories.map((history) =>
    seen.filter((name) => name === history.name).length > 1 ? { ...history, name: history.folder } : history,
  );
}

const taskOf = ({ config }: RunHistory) => (isFinetuneTask(config.task) ? config.task : undefined);

function damaged({ damagedLines }: RunHistory): string {
  if (damagedLines.length === 0) return '';
  const first = damagedLines.slice(0, 5).map(whole).join(', ');
  return `${counted(damagedLines.length, 'line')} of metrics.jsonl ${damagedLines.length === 1 ? 'is' : 'are'} damaged and left out (line ${first}${damagedLines.length > 5 ? ' …' : ''}).`;
}

/** Pictures with longer data URLs are left out, so that the page does not become too large. */
const mostPictureBytes = 3_000_000;

async function pictureOf(folder: string | undefined, id: string): Promise<PictureFile | undefined> {
  const file = folder === undefined ? undefined : await findPictureFile(folder, id);
  return file && file.url.length <= mostPictureBytes ? file : undefined;
}

interface Reason {
  readonly reason: string;
}

const isReason = (value: unknown): value is Reason => typeof value === 'object' && value !== null && 'reason' in value;

/**
 * The result of `make`, or the reason why there is none. It passes on every error that is not an LxmertError, because
 * such an error is a bug.
 */
async function orReason<T>(make: () => Promise<T>): Promise<T | Reason> {
  try {
    return await make();
  } catch (error) {
    if (!isLxmertError(error)) throw error;
    return { reason: error.message };
  }
}

function scenes({ run, data, splits, device, threads }: RunPageOptions) {
  return reportOnScenes({ run, data, splits, device, threads });
}

async function viewsOf(options: RunPageOptions, history: RunHistory): Promise<SampleViews> {
  const { run, data, splits, device, threads } = options;
  if (options.samples === 0) throw new LxmertError('BAD_ARGUMENT', 'Samples were not asked for (--samples 0).');
  const counts = { samples: options.samples, questions: options.questions, mistakes: mistakesShown };
  if (taskOf(history) === undefined) return pretrainViews({ ...counts, run, data, splits, device, threads });
  const config = await loadFinetuneConfig({ saved: history.config });
  return questionViews({ ...counts, run, config, data, splits, engine: { device, threads: threads || undefined } });
}

/** The notes on the data that the run printed at its start. */
async function dataNotes(options: RunPageOptions, history: RunHistory): Promise<readonly string[]> {
  const notes: string[] = [];
  const controls = { observer: { note: (text: string) => void notes.push(text) } };
  const config =
    taskOf(history) === undefined
      ? await loadRunConfig({ saved: history.config })
      : await loadFinetuneConfig({ saved: history.config });
  const folder = options.data ?? config.data.folder;
  if (folder === undefined) throw new LxmertError('BAD_ARGUMENT', `${options.run} names no data folder; give --data`);
  const opened =
    'task' in config
      ? await openFinetuneData({ ...config, data: { ...config.data, folder, residentFeatures: false } }, controls)
      : await openPretrainRun({ ...config, data: { ...config.data, folder, residentFeatures: false } }, controls);
  await opened.close();
  return notes;
}

async function usualPictures({ data }: RunPageOptions, history: RunHistory): Promise<string | undefined> {
  const folder = data ?? dataFolder(history);
  const usual = folder && join(folder, 'pictures');
  return usual !== undefined && (await isThere(usual)) ? usual : undefined;
}

const dataFolder = ({ config }: RunHistory): string | undefined => {
  const { data } = config as { readonly data?: { readonly folder?: unknown } };
  return typeof data?.folder === 'string' ? data.folder : undefined;
};

async function looksLikeScenes({ data }: RunPageOptions, history: RunHistory): Promise<boolean> {
  const folder = data ?? dataFolder(history);
  return folder !== undefined && (await isSceneFolder(folder));
}
