// @ts-check
// Draws the curves of a report with uPlot, whose script is before this one in the page.

const { uPlot } = /** @type {{ uPlot: typeof import('uplot') }} */ (/** @type {unknown} */ (window));

/**
 * @typedef {{ label: string, run: number, kind: 'steps' | 'validations', x: number[], y: (number | null)[] }} Series
 * @typedef {{ id: string, title: string, unit: string, log?: boolean, series: Series[] }} Chart
 */

const style = (/** @type {string} */ name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const data = /** @type {{ charts: Chart[] }} */ (
  JSON.parse(/** @type {HTMLElement} */ (document.getElementById('report-data')).textContent ?? '')
);
const colors = ['--line-0', '--line-1', '--line-2', '--line-3', '--line-4', '--line-5', '--line-6', '--line-7'];
const smoothing = /** @type {HTMLInputElement} */ (document.getElementById('smoothing'));
const smoothingValue = /** @type {HTMLOutputElement} */ (document.getElementById('smoothing-value'));

/**
 * Exponential moving average, corrected for its start, as in TensorBoard. Missing values stay missing.
 * @param {(number | null | undefined)[]} values
 * @param {number} factor from 0 (no smoothing) to below 1
 */
function smoothed(values, factor) {
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    if (value === null || value === undefined) return value;
    sum = factor * sum + (1 - factor) * value;
    weight = factor * weight + (1 - factor);
    return sum / weight;
  });
}

/** @param {number} value */
const shown = (value) =>
  value === 0 || (Math.abs(value) >= 0.01 && Math.abs(value) < 1e6)
    ? String(Number(value.toPrecision(4)))
    : value.toExponential(2);

/** The values of a chart in the form for uPlot: all steps, then the values of each line. @param {Chart} chart */
function columnsOf(chart) {
  const factor = Number(smoothing.value);
  const tables = chart.series.map(({ kind, x, y }) => [x, kind === 'steps' && factor > 0 ? smoothed(y, factor) : y]);
  return uPlot.join(/** @type {any} */ (tables));
}

/** @param {Chart} chart @param {HTMLElement} element */
function draw(chart, element) {
  const text = style('--text');
  const grid = { stroke: style('--grid'), width: 1 };
  return new uPlot(
    {
      width: element.clientWidth,
      height: 240,
      scales: { x: { time: false }, y: { distr: chart.log ? 3 : 1 } },
      cursor: { drag: { x: true, y: false } },
      hooks: {
        setScale: [
          (plot, key) => {
            const { min, max } = plot.scales.x;
            const range = document.getElementById(`range-${chart.id}`);
            if (key === 'x' && range && min !== undefined && max !== undefined)
              range.textContent = `Steps ${Math.ceil(min)} to ${Math.floor(max)}.`;
          },
        ],
      },
      axes: [
        { stroke: text, grid, ticks: grid },
        {
          ...{ stroke: text, grid, ticks: grid, size: 70 },
          values: (_, ticks) => ticks.map((value) => (value === null ? '' : shown(value))),
        },
      ],
      series: [
        { label: 'step' },
        ...chart.series.map(({ label, kind }, i) => ({
          ...{ label, spanGaps: true, width: kind === 'steps' ? 1.5 : 2 },
          stroke: style(colors[i % colors.length]),
          dash: kind === 'validations' ? [6, 3] : undefined,
          points: { show: kind === 'validations' || undefined, size: 6 },
          value: (/** @type {unknown} */ _, /** @type {number | null} */ value) =>
            value === null ? '–' : shown(value),
        })),
      ],
    },
    columnsOf(chart),
    element,
  );
}

/** @type {{ chart: Chart, element: HTMLElement, plot: any }[]} */
let plots = [];

function drawAll() {
  for (const { plot } of plots) plot.destroy();
  plots = data.charts.flatMap((chart) => {
    const element = document.getElementById(`chart-${chart.id}`);
    return element ? [{ chart, element, plot: draw(chart, element) }] : [];
  });
}

function resetZoom() {
  for (const { plot } of plots) plot.setData(plot.data, true);
}

smoothing.addEventListener('input', () => {
  smoothingValue.value = smoothing.value;
  for (const { plot, chart } of plots) {
    const { min, max } = plot.scales.x;
    plot.batch(() => {
      plot.setData(columnsOf(chart));
      plot.setScale('x', { min, max });
    });
  }
});
document.getElementById('reset-zoom')?.addEventListener('click', resetZoom);
window.addEventListener('resize', () => {
  for (const { plot, element } of plots) plot.setSize({ width: element.clientWidth, height: 240 });
});
window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
drawAll();
