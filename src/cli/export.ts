import { byteSize, counted, whole } from '../figures.js';
import { exportHub, exportOnnx, exportTasks } from '../export/index.js';
import type { ExportedOnnx } from '../export/index.js';
import { defineCommand, integerOption, jsonOption, note, print, printJson } from './command.js';
import { listenToSignals } from './runSignals.js';

/** Options that both kinds of exports have. */
const modelOption = {
  type: 'string',
  demandOption: true,
  describe: 'a run, a checkpoint, a folder of transformers, or a .pth of the original',
} as const;
const answersOption = {
  type: 'string',
  requiresArg: true,
  describe: 'file or folder with the answers of the head [the list beside the weights]',
} as const;
const headsOption = integerOption('heads', {
  min: 1,
  max: 4096,
  describe: 'number of attention heads, used if there is no config.json [width / 64]',
});
const vocabularyOption = {
  type: 'string',
  requiresArg: true,
  describe: 'BERT vocab.txt [that of the model, or of bert-base-uncased]',
} as const;

const onnx = defineCommand({
  command: 'onnx <model>',
  describe: 'write a model as an ONNX graph, which runs without lxmert',
  builder: (yargs) =>
    yargs
      .positional('model', modelOption)
      .option('out', { type: 'string', demandOption: true, requiresArg: true, describe: '.onnx file to write' })
      .option('task', {
        choices: exportTasks,
        describe:
          'what the graph computes: answers to questions of this form, all heads of pre-training, or hidden states [what the model was trained for]',
      })
      .option('precision', {
        choices: ['float32', 'float16'] as const,
        default: 'float32' as const,
        describe: 'type of the weights and of the arithmetic; inputs and outputs are float32 in both',
      })
      .option('external-data', {
        type: 'boolean',
        describe: 'write the weights to a second file, FILE.onnx.data [only if one file is larger than 2 GiB]',
      })
      .option('overwrite', {
        type: 'boolean',
        default: false,
        describe: 'replace FILE.onnx and FILE.onnx.data if they exist',
      })
      .option('answers', answersOption)
      .option('heads', headsOption)
      .option('vocabulary', vocabularyOption)
      .option('json', jsonOption),
  handler: async ({ model, out, task, precision, externalData, overwrite, answers, heads, vocabulary, json }) => {
    const made = await untilSignal((signal) =>
      exportOnnx(model, {
        ...{ out, task, precision, externalData, overwrite, answers, vocabulary, signal },
        attentionHeads: heads,
      }),
    );
    made.notes.forEach(note);
    if (json) printJson(made);
    else tell(made).forEach(print);
  },
});

function tell({ out, task, precision, opset, parameters, inputs, outputs, bytes, data }: ExportedOnnx): string[] {
  const ports = (all: ExportedOnnx['inputs']): string[] =>
    all.map(({ name, type, dims }) => `  ${name.padEnd(24)}${type.padEnd(9)}[${dims.join(', ')}]`);
  return [
    `${out}: task ${task}, ${counted(parameters, 'parameter')} in ${precision}, opset ${whole(opset)}; ${byteSize(bytes)}` +
      (data ? `, and ${byteSize(data.bytes)} in ${data.path}` : ''),
    'inputs',
    ...ports(inputs),
    'outputs',
    ...ports(outputs),
  ];
}

/** Runs `work` until its end or until a signal, which ends the process after `work` has removed its unfinished files. */
async function untilSignal<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const signals = listenToSignals({
    ignoreHangup: false,
    ending: (reason) => note(`${reason}: stops, and removes the unfinished files`),
    saving: () => undefined,
    ignored: () => undefined,
  });
  try {
    return await work(signals.signal);
  } catch (error) {
    if (signals.exitCode !== undefined) process.exit(signals.exitCode);
    throw error;
  } finally {
    signals.release();
  }
}

const hub = defineCommand({
  command: 'hub <model>',
  describe: 'write a model as a folder for model hubs: weights, configuration, tokenizer, answers and a model card',
  builder: (yargs) =>
    yargs
      .positional('model', modelOption)
      .option('out', { type: 'string', demandOption: true, requiresArg: true, describe: 'new folder to write' })
      .option('name', {
        type: 'string',
        requiresArg: true,
        describe: 'name of the model in its card [name of the folder]',
      })
      .option('answers', answersOption)
      .option('heads', headsOption)
      .option('vocabulary', vocabularyOption)
      .option('json', jsonOption),
  handler: async ({ model, out, name, answers, heads, vocabulary, json }) => {
    const made = await untilSignal((signal) =>
      exportHub(model, { ...{ out, name, answers, vocabulary, signal }, attentionHeads: heads }),
    );
    made.notes.forEach(note);
    if (json) printJson(made);
    else print(`${out}: ${made.files.join(', ')}`);
  },
});

export const command = defineCommand({
  command: 'export',
  describe: 'write a model for other programs',
  builder: (yargs) => yargs.command(onnx).command(hub).demandCommand(1, 'export needs a command: onnx or hub'),
  handler: () => undefined,
});
