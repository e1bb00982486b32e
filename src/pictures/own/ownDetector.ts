import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { InferenceSession, OnnxValue } from 'onnxruntime-node';
import { LxmertError } from '../../errors.js';
import { fileError } from '../../formats/fileErrors.js';
import { shown } from '../../formats/shown.js';
import { countsOf } from '../counts.js';
import type { Detector, DetectorDescription, OpenDetectorOptions, PreparedPicture } from '../detection.js';
import { loadOnnxRuntime } from '../optionalPackages.js';
import { messageOf, openSession } from '../session.js';
import { chooseObjects } from './chooseObjects.js';
import type { Found } from './chooseObjects.js';
import { gridObjects } from './grid.js';
import { prepareOwn } from './prepareOwn.js';
import { readOwnSettings } from './settings.js';
import type { OwnSettings } from './settings.js';

/** Reads the YAML of the user's own detector. @throws FILE_MISSING, FILE_ACCESS, BAD_DATA, BAD_ARGUMENT */
export async function describeOwn(path: string, options: OpenDetectorOptions): Promise<DetectorDescription> {
  return description(await readOwnSettings(path), options);
}

async function description(settings: OwnSettings, options: OpenDetectorOptions): Promise<DetectorDescription> {
  const { path, outputs, objects } = settings;
  if (options.grid !== undefined && outputs.map === undefined)
    throw new LxmertError('BAD_ARGUMENT', `${path}: --grid needs the name of a map: outputs.map`);
  if (options.grid === undefined && outputs.boxes === undefined)
    throw new LxmertError('BAD_ARGUMENT', `${path}: it names a map and no boxes: --grid N makes N × N objects of it`);
  const counts = countsOf(objects, Infinity, options);
  const { path: _, ...rest } = settings;
  return {
    identity: JSON.stringify([rest, counts, options.grid, await fileHash(settings.modelPath)]),
    objects: settings.classes,
    attributes: settings.attributes,
    prepare: (picture) => prepareOwn(picture, settings.input),
  };
}

async function fileHash(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(piece as Buffer);
  } catch (error) {
    throw fileError(error, 'read', path);
  }
  return hash.digest('hex');
}

/** Opens the user's own detector. @throws as `describeOwn`; UNSUPPORTED when a package is not installed */
export async function openOwn(path: string, options: OpenDetectorOptions): Promise<Detector> {
  const settings = await readOwnSettings(path);
  const described = await description(settings, options);
  const counts = countsOf(settings.objects, Infinity, options);
  const session = await openSession(settings.modelPath, options.threads);
  const { Tensor } = await loadOnnxRuntime();
  const { input, wanted } = portsOf(session, settings, options.grid !== undefined);
  const detect = async ({ image, width, height, original, scale, path: picture }: PreparedPicture) => {
    const shape = settings.input.layout === 'nchw' ? [1, 3, height, width] : [1, height, width, 3];
    const results = await session
      .run({ [input]: new Tensor('float32', image, shape) }, [...wanted.values()])
      .catch((error: unknown) => {
        throw new LxmertError('BAD_DATA', `${picture}: ${settings.modelPath} fails on it: ${messageOf(error)}`, {
          cause: error,
        });
      });
    const output = (key: OutputKey) => results[wanted.get(key)!] as OnnxValue | undefined;
    if (options.grid !== undefined) {
      const map = output('map')!;
      const [, channels, rows, columns] = map.dims;
      if (map.dims.length !== 4 || map.type !== 'float32')
        throw wrong(settings, 'map', `is ${map.type} [${map.dims.join(', ')}]; expected float32 [1, C, H, W]`);
      const values = map.data as Float32Array;
      const cells = gridObjects({ values, channels, rows, columns, ...original }, options.grid);
      return {
        ...{ ...original, ...cells },
        ...{ objectIds: undefined, objectConf: undefined, attrIds: undefined, attrConf: undefined },
      };
    }
    const floats = (key: OutputKey) => floatsOf(output(key), (problem) => wrong(settings, key, problem));
    const found = {
      boxes: floats('boxes')!,
      features: floats('features')!,
      scores: floats('scores'),
      classes: floats('classes'),
      attributeScores: floats('attributeScores'),
      attributes: floats('attributes'),
    };
    const [x, y] = settings.boxes === 'shares' ? [original.width, original.height] : [scale.x, scale.y];
    return chooseObjects(found, {
      ...{ counts, picture, original, scale: { x, y } },
      wrong: (key, problem) => wrong(settings, key, problem),
    });
  };
  return { ...described, detect, close: () => session.release() };
}

type OutputKey = keyof OwnSettings['outputs'];

const wrong = ({ path, outputs }: OwnSettings, key: string, problem: string): LxmertError =>
  new LxmertError('BAD_DATA', `${path}: outputs.${key}: ${shown(outputs[key as OutputKey] ?? key)} ${problem}`);

/**
 * The names of the graph's input and of the outputs to compute.
 * @throws BAD_DATA for names that the graph does not have
 */
function portsOf(
  { inputNames, outputNames }: InferenceSession,
  settings: OwnSettings,
  grid: boolean,
): { readonly input: string; readonly wanted: ReadonlyMap<OutputKey, string> } {
  const { path, outputs } = settings;
  const has = (names: readonly string[]) => names.map(shown).join(', ');
  const input = settings.input.name ?? inputNames[0];
  if (inputNames.length !== 1 || !inputNames.includes(input))
    throw new LxmertError(
      'BAD_DATA',
      `${path}: input.name: expected the graph's only input; ${settings.modelPath} has ${has(inputNames)}`,
    );
  const wanted = new Map<OutputKey, string>();
  for (const key of Object.keys(outputs) as OutputKey[]) {
    const name = outputs[key];
    if (name === undefined || (key === 'map') !== grid) continue;
    if (!outputNames.includes(name))
      throw wrong(settings, key, `is no output of ${settings.modelPath}, which has ${has(outputNames)}`);
    wanted.set(key, name);
  }
  return { input, wanted };
}

/** The numbers of an output [N, …] or [1, N, …], as rows. */
function floatsOf(value: OnnxValue | undefined, fail: (problem: string) => LxmertError): Found | undefined {
  if (value === undefined) return undefined;
  const { dims, type, data } = value;
  if (!['float32', 'float64', 'int64', 'int32'].includes(type)) throw fail(`is of ${type}; expected numbers`);
  const sizes = dims.length > 2 && dims[0] === 1 ? dims.slice(1) : dims;
  if (sizes.length < 1 || sizes.length > 2)
    throw fail(`has the shape [${dims.join(', ')}]; expected [N, …] or [1, N, …]`);
  const values = data instanceof Float32Array ? data : Float32Array.from(data as ArrayLike<number>, Number);
  return { values, rows: sizes[0], columns: sizes.length === 2 ? sizes[1] : 1 };
}
