import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { textOf } from './timed.mjs';

/**
 * @typedef {object} Step
 * @property {string} name
 * @property {number} seconds time limit of the step; the remaining time of the stage is a limit, too
 * @property {(string[] | { command: string[], stdout: string })[]} [commands] run one after the other; standard output may go to a file
 * @property {string} [leftOut] why the step is left out without a failure, for example because a tool is not installed
 * @property {string} [missing] why a required step cannot run: the stage is then incomplete
 * @property {() => { problem?: string, figures?: object }} [judge] checks the output of the commands if they succeeded
 */

/** Largest relative difference of losses on the GPU in float32 and on the CPU, which add in different orders. */
const LOSS_TOLERANCE = 1e-4;

/** A tiny run whose matrices are large enough for tensor cores. Dropout is on: CPU and GPU draw the same masks. */
const TINY_RUN = {
  ...{ preset: 'tiny', 'hidden-size': 64, 'num-attention-heads': 2, 'intermediate-size': 64, threads: 1 },
  ...{
    'hidden-dropout-prob': 0.1,
    'attention-probs-dropout-prob': 0.1,
    valid: 'none',
    'max-steps': 8,
    'batch-size': 8,
  },
};

const flags = (settings) => Object.entries(settings).flatMap(([name, value]) => [`--${name}`, `${value}`]);

/** The total loss of each step of a run. */
function lossesOf(run) {
  const lines = textOf(join(run, 'metrics.jsonl')).split('\n').filter(Boolean);
  return lines
    .map((line) => JSON.parse(line))
    .filter(({ split }) => split === undefined)
    .map(({ loss }) => loss);
}

function compareLosses(expected, got) {
  if (expected.length === 0 || expected.length !== got.length)
    return { problem: `the CPU did ${expected.length} steps, the GPU ${got.length}` };
  const apart = Math.max(...expected.map((loss, i) => Math.abs(got[i] - loss) / Math.abs(loss)));
  const figures = { steps: got.length, apart, tolerance: LOSS_TOLERANCE };
  return apart <= LOSS_TOLERANCE
    ? { figures }
    : { figures, problem: `losses are ${apart.toExponential(1)} apart, ${LOSS_TOLERANCE} is allowed` };
}

/** A step that runs a program which checks the device. */
function program({ programs }, name, args, step) {
  const path = join(programs, name);
  return existsSync(path)
    ? { ...step, commands: [[path, ...args]] }
    : { ...step, missing: `${path} is not built: npm run build:cuda -- --programs` };
}

function right(context) {
  const { lxmert, fixtures, scratch } = context;
  const scenes = join(scratch, 'scenes');
  const run = (device) => [
    ...[...lxmert, 'pretrain', '--data', scenes, '--out', join(scratch, device), '--device', device],
    ...flags(TINY_RUN),
  ];
  return [
    program(context, 'kernels', ['--check'], { name: 'kernels', seconds: 120 }),
    program(context, 'step', [], { name: 'step', seconds: 60 }),
    ...['head32', 'tiny'].flatMap((fixture) =>
      ['float32', 'bfloat16'].map((precision) => ({
        name: `parity-${fixture}-${precision}`,
        seconds: 60,
        commands: [[...lxmert, 'parity', join(fixtures, fixture), '--device', 'cuda', '--precision', precision]],
      })),
    ),
    {
      name: 'losses',
      seconds: 90,
      commands: [
        [...lxmert, 'scenes', '--out', scenes, '--images', '12', '--feature-dim', '16', '--pictures', '0'],
        run('cpu'),
        run('cuda'),
      ],
      judge: () => compareLosses(lossesOf(join(scratch, 'cpu')), lossesOf(join(scratch, 'cuda'))),
    },
    program(context, 'instructions', [], { name: 'instructions', seconds: 30 }),
  ];
}

/** The figures of a training step, from the report of `lxmert bench step`. */
function stepFigures(file) {
  const report = JSON.parse(textOf(file));
  const { stepMilliseconds, samplesPerSecond, peer } = report;
  return {
    figures: {
      milliseconds: stepMilliseconds.median,
      samplesPerSecond,
      ...(peer ? { peer: peer.name, peerSamplesPerSecond: peer.samplesPerSecond, ratio: peer.ratio } : {}),
    },
  };
}

function fast(context) {
  const { lxmert, out, tiny, peer, bench } = context;
  const file = (name) => join(out, `${name}.json`);
  const size = tiny
    ? flags({ preset: 'tiny', batch: 2, tokens: '4-4', steps: 1, warmup: 1 })
    : flags({ batch: 256, steps: 10, warmup: 5 });
  const stepOf = (name, more, seconds) => ({
    name,
    seconds,
    commands: [
      {
        command: [
          ...lxmert,
          'bench',
          'step',
          '--device',
          'cuda',
          '--precision',
          'bfloat16',
          '--json',
          ...size,
          ...more,
        ],
        stdout: file(name),
      },
    ],
    judge: () => stepFigures(file(name)),
  });
  const shapes = tiny
    ? flags({ preset: 'tiny', batch: 2, tokens: '4-4', threads: 1, ops: 'geluForward' })
    : flags({ batch: 256, tokens: '12-12' });
  return [
    stepOf('step-beside-pytorch', peer ? ['--peer-python', peer] : [], 150),
    stepOf('step-without-lanes', ['--no-lanes'], 60),
    program(context, 'kernels', tiny ? ['--once', '--only', 'gelu'] : ['--bench', '--json', file('kernels')], {
      name: 'kernels-timed',
      seconds: 90,
    }),
    {
      name: 'products-and-ops',
      seconds: 60,
      commands: [[...lxmert, 'bench', 'kernels', '--device', 'cuda', '--precision', 'bfloat16', ...shapes]],
    },
    {
      name: 'torch-kernels',
      seconds: 150,
      ...(peer && !tiny
        ? { commands: [[peer, join(bench, 'cuda', 'torch_kernels.py'), file('torch')]] }
        : { leftOut: tiny ? 'shapes are tiny' : 'PyTorch with CUDA is not installed (PEER_PYTHON)' }),
    },
  ];
}

/** Several GPUs: the same losses on one and on all of them, and the speed of all. */
function ranks(context) {
  const { lxmert, out, scratch, tiny, gpus } = context;
  if (gpus < 2) return [{ name: 'ranks-losses', seconds: 1, leftOut: 'the machine has no second GPU' }];
  const scenes = join(scratch, 'rank-scenes');
  const parts = 2 ** Math.ceil(Math.log2(gpus));
  const settings = { ...TINY_RUN, 'batch-size': 2 * parts, 'gradient-parts': parts, device: 'cuda', data: scenes };
  const run = (count) => [
    ...[...lxmert, 'pretrain', '--ranks', `${count}`, '--out', join(scratch, `on-${count}`)],
    ...flags(settings),
  ];
  const size = tiny
    ? flags({ preset: 'tiny', batch: 2 * gpus, 'alone-batch': 2, tokens: '4-4', steps: 1, warmup: 1 })
    : flags({ batch: 256 * gpus, 'alone-batch': 256, steps: 10, warmup: 5 });
  const timed = (name, more) => {
    const file = join(out, `${name}.json`);
    const command = [...lxmert, 'bench', 'step', '--ranks', `${gpus}`, '--device', 'cuda', '--precision', 'bfloat16'];
    return {
      name,
      seconds: 90,
      commands: [{ command: [...command, '--json', ...size, ...more], stdout: file }],
      judge: () => {
        const { samplesPerSecond } = JSON.parse(textOf(file)).shared;
        const { efficiency, communication } = JSON.parse(textOf(file));
        return { figures: { gpus, samplesPerSecond, efficiency, notHidden: communication.notHidden } };
      },
    };
  };
  return [
    {
      name: 'ranks-losses',
      seconds: 120,
      commands: [
        [...lxmert, 'scenes', '--out', scenes, '--images', '12', '--feature-dim', '16', '--pictures', '0'],
        run(1),
        run(gpus),
      ],
      judge: () => {
        const [one, all] = [1, gpus].map((count) => lossesOf(join(scratch, `on-${count}`)));
        const same = one.length > 0 && JSON.stringify(one) === JSON.stringify(all);
        return { figures: { gpus, steps: all.length }, ...(same ? {} : { problem: 'the bits of the losses differ' }) };
      },
    },
    timed('ranks-step', []),
    timed('ranks-step-sharded', ['--shard-optimizer']),
    timed('ranks-step-free-multiprocessors', ['--free-multiprocessors', '20']),
  ];
}

function sanitize(context) {
  const tool = 'compute-sanitizer';
  return ['memcheck', 'racecheck'].map((kind) => {
    const step = program(context, 'kernels', ['--check'], { name: kind, seconds: 150 });
    if (step.missing) return step;
    if (!context.onPath(tool)) return { ...step, commands: undefined, leftOut: `${tool} is not installed` };
    return { ...step, commands: [[tool, '--tool', kind, '--error-exitcode', '1', ...step.commands[0]]] };
  });
}

/** Steps that only a clone can run: the build, and the op table of the tests. */
const inClone = (context, steps) =>
  context.clone
    ? steps
    : steps.map((step) => ({ ...step, commands: undefined, leftOut: 'this is a bundle, not a clone' }));

const build = (context) =>
  inClone(context, [
    { name: 'setup', seconds: 600, commands: [[process.execPath, join(context.clone ?? '', 'scripts', 'setup.mjs')]] },
    {
      name: 'build-cuda',
      seconds: 900,
      commands: [[process.execPath, join(context.clone ?? '', 'scripts', 'build-cuda.mjs'), '--programs']],
    },
  ]);

const ops = (context) =>
  inClone(context, [
    {
      name: 'op-table',
      seconds: 240,
      commands: [
        [
          process.execPath,
          join(context.clone ?? '', 'scripts', 'test.mjs'),
          'test/engine/ops/opTable.test.ts',
          '-t',
          'cuda ',
        ],
      ],
    },
  ]);

/** For each stage by name: its description, its time limit in seconds, and its steps, the most important first. */
export const stages = {
  build: { says: 'builds, in a clone with nvcc, for the GPU at hand', seconds: 1500, steps: build },
  right: {
    says: 'every kernel, graphs, lanes and uploads, both parity fixtures, the losses of a tiny run',
    seconds: 240,
    steps: right,
  },
  fast: {
    says: 'times of a whole step, compared with PyTorch if it is installed, and of every kernel',
    seconds: 240,
    steps: fast,
  },
  ranks: { says: 'several GPUs: the same bits on one and on all, and their speed', seconds: 420, steps: ranks },
  sanitize: { says: 'memory errors and races, by compute-sanitizer', seconds: 300, steps: sanitize },
  ops: { says: 'the op table of the tests, in a clone', seconds: 240, steps: ops },
};
