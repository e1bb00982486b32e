import { LxmertError } from '../../errors.js';
import { shown } from '../../formats/shown.js';
import { isFolderThere, openTensors, readFloat32 } from '../../weights/index.js';
import type { RecipeName } from '../recipe.js';
import { readCaffeWeights } from './caffeWeights.js';
import type { DetectorWeights, NamedWeight } from './weight.js';

/**
 * Opens a detector's weights. `caffe` takes a `.caffemodel`; the other recipes take transformers' folder, a file of
 * tensors, or detectron2's pickle.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA for a file that is damaged or belongs to another recipe
 */
export async function openDetectorWeights(path: string, recipe: RecipeName): Promise<DetectorWeights> {
  if (recipe === 'caffe') {
    const known = await readCaffeWeights(path);
    return weightsOf(path, known, { foreign: undefined, close: () => Promise.resolve() });
  }
  if (path.toLowerCase().endsWith('.caffemodel') && !(await isFolderThere(path)))
    throw new LxmertError(
      'BAD_DATA',
      `${path}: the recipe ${recipe} takes weights of transformers or detectron2; a .caffemodel belongs to the recipe caffe`,
    );
  const file = await openTensors(path);
  const known = new Map<string, NamedWeight>(
    file.tensors.map((tensor) => [
      tensor.fileName,
      { shape: tensor.shape, nameInFile: tensor.fileName, read: () => readFloat32(tensor, path) },
    ]),
  );
  const foreign = [...known.keys()].some((name) => /^(backbone\.stem|roi_heads)\./.test(name))
    ? undefined
    : [...known.keys()].slice(0, 3).map(shown).join(', ');
  return weightsOf(path, known, { foreign, close: file.close });
}

interface WeightsOptions {
  /** Names of the file's first tensors, if the file has none of the names that a detector has. */
  readonly foreign: string | undefined;
  readonly close: () => Promise<void>;
}

function weightsOf(
  path: string,
  known: ReadonlyMap<string, NamedWeight>,
  { foreign, close }: WeightsOptions,
): DetectorWeights {
  const bad = (reason: string) => new LxmertError('BAD_DATA', `${path}: ${reason}`);
  return {
    path,
    close,
    has: (name) => known.has(name),
    nameInFile: (name) => known.get(name)?.nameInFile ?? name,
    get: async (name, shape) => {
      const tensor = known.get(name);
      if (!tensor) {
        const hint = foreign === undefined ? '' : `; the file has ${foreign}. Are these the weights of another recipe?`;
        throw bad(`the tensor ${shown(name)} is missing${hint}`);
      }
      const found = fitted(tensor.shape, shape);
      if (!found)
        throw bad(`${shown(tensor.nameInFile)} has the shape ${sizes(tensor.shape)}; expected ${sizes(shape)}`);
      const values = await tensor.read();
      const at = values.findIndex((value) => !Number.isFinite(value));
      if (at >= 0) throw bad(`${shown(tensor.nameInFile)} holds ${values[at]} at ${at}; expected finite numbers`);
      return { shape: found, values };
    },
  };
}

/**
 * The shape `found`, if it is as expected; otherwise undefined. Older Caffe files have extra leading dimensions of size
 * 1, which are removed.
 */
function fitted(found: readonly number[], expected: readonly number[]): readonly number[] | undefined {
  const extra = found.length - expected.length;
  if (extra < 0 || found.slice(0, extra).some((size) => size !== 1)) return undefined;
  const shape = found.slice(extra);
  const fits = shape.every((size, axis) => size > 0 && (expected[axis] === -1 || expected[axis] === size));
  return fits ? shape : undefined;
}

const sizes = (shape: readonly number[]): string => `[${shape.map((size) => (size === -1 ? '?' : size)).join(', ')}]`;
