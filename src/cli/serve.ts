import { precisionNames } from '../config/runConfig.js';
import { limitDefaults, serve } from '../serve/index.js';
import { defineCommand, integerOption, note, numberOption, print, threadsOption } from './command.js';
import { listenToSignals } from './runSignals.js';
import { modelOptions } from './modelOptions.js';

const defaults = limitDefaults;

export const command = defineCommand({
  command: 'serve <model>',
  describe: 'serve a model by HTTP, with a page to ask it about pictures',
  builder: (yargs) =>
    yargs
      .positional('model', {
        type: 'string',
        demandOption: true,
        describe: 'a run, a checkpoint, or weights of any form that --init takes',
      })
      .option('host', {
        type: 'string',
        requiresArg: true,
        default: '127.0.0.1',
        describe: 'address to listen on; the default can be reached only from this machine',
      })
      .option(
        'port',
        integerOption('port', { min: 0, max: 65535, default: 8000, describe: 'port to listen on; 0: any free port' }),
      )
      .option('data', {
        type: 'string',
        requiresArg: true,
        describe: 'data folder, such as one of `lxmert scenes`; its pictures can be chosen',
      })
      .option('store', {
        type: 'string',
        requiresArg: true,
        describe: 'feature store or feature TSV; its pictures can be chosen',
      })
      .option('pictures', {
        type: 'string',
        requiresArg: true,
        describe: 'folder with picture files, named by their ids; "pictures" in --data unless given',
      })
      .option('detector', {
        type: 'string',
        requiresArg: true,
        describe: 'for uploaded pictures: .onnx of `lxmert detector import`, or the YAML of an own detector',
      })
      .options(modelOptions)
      .option('precision', {
        choices: precisionNames,
        default: 'float32' as const,
        describe: 'precision of matrix products',
      })
      .option('threads', threadsOption)
      .option(
        'max-batch',
        integerOption('max-batch', {
          ...{ min: 1, max: 4096, default: defaults.maxBatch },
          describe: 'most questions that the device computes at once',
        }),
      )
      .option(
        'max-queue',
        integerOption('max-queue', {
          ...{ min: 1, max: 65536, default: defaults.maxQueue },
          describe: 'most requests at the same time; more get status 429',
        }),
      )
      .option(
        'max-body',
        integerOption('max-body', {
          ...{ min: 1, max: 2 ** 30, default: defaults.maxBody },
          describe: 'most bytes of a request',
        }),
      )
      .option(
        'max-pixels',
        integerOption('max-pixels', {
          ...{ min: 1, max: 2 ** 28 - 1, default: defaults.maxPixels },
          describe: 'most pixels of a picture',
        }),
      )
      .option(
        'request-timeout',
        numberOption('request-timeout', {
          ...{ min: 0.1, max: 86400, default: defaults.requestTimeout },
          describe: 'seconds until a request that is not answered yet is given up',
        }),
      ),
  handler: async (args) => {
    let stop = (): void => undefined;
    const stopped = new Promise<void>((resolve) => (stop = resolve));
    const signals = listenToSignals({
      ignoreHangup: false,
      ending: (reason) => {
        note(`${reason}: answers the requests that have arrived, then ends; a second signal ends it at once`);
        stop();
      },
      saving: () => undefined,
      ignored: () => undefined,
    });
    try {
      const { model, trace: _, ...options } = args;
      const server = await serve(model, { ...options, onNote: note });
      print(`lxmert serves ${model} at ${server.url}`);
      await stopped;
      await server.close();
      if (signals.exitCode !== undefined) process.exitCode = signals.exitCode;
    } finally {
      signals.release();
    }
  },
});
