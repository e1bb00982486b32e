import { isRecord } from '../records.js';
import type { RunHistory } from './history.js';

/** One line of a chart. */
export interface Series {
  readonly label: string;
  /** Number of the run, from 0. If a chart shows several runs, it gives the colour of the line. */
  readonly run: number;
  /**
   * Whether the line has a value for each training step. Such values are noisy, so the page can smooth the line. Values
   * of validations are shown as points.
   */
  readonly kind: 'steps' | 'validations';
  /** Steps, ascending. */
  readonly x: readonly number[];
  /** null: the value is not a finite number. */
  readonly y: readonly (number | null)[];
}

export interface Chart {
  readonly id: string;
  readonly title: string;
  /** The unit of the values, such as `samples/s`. */
  readonly unit: string;
  /** Whether the axis of the values is logarithmic. */
  readonly log?: boolean;
  readonly series: readonly Series[];
}

/** The largest number of points of a line. In longer lines, neighbouring steps are averaged. */
const mostPoints = 2000;

/** Averages neighbouring points, so that at most `mostPoints` are left. If none of them is finite, the mean is null. */
export function thinned(x: readonly number[], y: readonly (number | null)[]): Pick<Series, 'x' | 'y'> {
  const width = Math.ceil(x.length / mostPoints);
  if (width <= 1) return { x, y };
  const xs: number[] = [];
  const ys: (number | null)[] = [];
  for (let start = 0; start < x.length; start += width) {
    const some = y.slice(start, start + width).filter((value) => value !== null);
    xs.push(x[Math.min(start + width, x.length) - 1]);
    ys.push(some.length === 0 ? null : some.reduce((sum, value) => sum + value, 0) / some.length);
  }
  return { x: xs, y: ys };
}

const finite = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) ? value : null);

/** The charts of some runs. Each chart shows the lines of all runs. Charts without a value are left out. */
export function chartsOf(runs: readonly RunHistory[]): Chart[] {
  const labelled = (label: string, run: number): string => (runs.length > 1 ? `${runs[run].name}: ${label}` : label);
  const stepsOf = (label: string, value: (step: RunHistory['steps'][number]) => unknown): Series[] =>
    runs.map(({ steps }, run) => ({
      ...{ label: labelled(label, run), run, kind: 'steps' as const },
      ...thinned(
        steps.map(({ step }) => step),
        steps.map((step) => finite(value(step))),
      ),
    }));
  const validationsOf = (label: string, value: (one: RunHistory['validations'][number]) => unknown): Series[] =>
    runs.map(({ validations }, run) => ({
      ...{ label: labelled(label, run), run, kind: 'validations' as const },
      x: validations.map(({ step }) => step),
      y: validations.map((one) => finite(value(one))),
    }));
  const losses = namesIn(runs.flatMap(({ steps, validations }) => [...steps, ...validations].map((one) => one.losses)));
  const accuracies = namesIn(runs.flatMap(({ validations }) => validations.map((one) => one.accuracy)));
  const charts: Chart[] = [
    {
      ...{ id: 'loss', title: 'Loss', unit: 'weighted sum' },
      series: [...stepsOf('training', ({ loss }) => loss), ...validationsOf('validation', ({ loss }) => loss)],
    },
    ...(losses.length > 1 ? losses : []).map((name) => ({
      ...{ id: `loss-${name}`, title: `Loss of ${name}`, unit: 'mean' },
      series: [
        ...stepsOf('training', (one) => valueOf(one.losses, name)),
        ...validationsOf('validation', (one) => valueOf(one.losses, name)),
      ],
    })),
    {
      ...{ id: 'accuracy', title: 'Accuracy of validations', unit: 'share' },
      series: accuracies.flatMap((name) => validationsOf(name, (one) => valueOf(one.accuracy, name))),
    },
    { id: 'lr', title: 'Learning rate', unit: 'rate', series: stepsOf('learning rate', ({ lr }) => lr) },
    {
      ...{ id: 'grad-norm', title: 'Gradient norm before clipping', unit: 'norm', log: true },
      series: stepsOf('gradient norm', ({ gradNorm }) => gradNorm),
    },
    {
      ...{ id: 'rate', title: 'Speed', unit: 'samples/s' },
      series: stepsOf('samples/s', ({ samplesPerSecond }) => samplesPerSecond),
    },
    {
      ...{ id: 'memory', title: 'Memory of the process', unit: 'MB' },
      series: runs.map(({ memory }, run) => ({
        ...{ label: labelled('resident memory', run), run, kind: 'steps' as const },
        ...thinned(
          memory.map(({ step }) => step),
          memory.map(({ value }) => value / 1e6),
        ),
      })),
    },
    ...taskMix(runs, losses, labelled),
  ];
  return charts.filter(({ series }) => series.some(({ y }) => y.some((value) => value !== null)));
}

/**
 * The weight of each loss at each step; it is 0 while the task of the loss is off. Only for runs with several losses.
 */
function taskMix(
  runs: readonly RunHistory[],
  losses: readonly string[],
  labelled: (label: string, run: number) => string,
): Chart[] {
  if (losses.length < 2) return [];
  const series = runs.flatMap(({ config, steps }, run) => {
    const weights = isRecord(config.tasks) && isRecord(config.tasks.weights) ? config.tasks.weights : {};
    return losses.map((name) => ({
      ...{ label: labelled(name, run), run, kind: 'steps' as const },
      ...thinned(
        steps.map(({ step }) => step),
        steps.map((one) => (valueOf(one.losses, name) === undefined ? 0 : finite(weights[name] ?? 1))),
      ),
    }));
  });
  return [{ id: 'task-mix', title: 'Task mix', unit: 'weight of the loss; 0 while the task is off', series }];
}

/** The keys of all records, each key once, in the order in which they first occur. */
const namesIn = (records: readonly unknown[]): string[] => [
  ...new Set(records.filter(isRecord).flatMap((record) => Object.keys(record))),
];

const valueOf = (record: unknown, name: string): unknown => (isRecord(record) ? record[name] : undefined);
