import type * as ort from 'onnxruntime-node';
import type sharp from 'sharp';
import { LxmertError } from '../errors.js';
import { systemCode } from '../formats/fileErrors.js';

/** Packages that only pictures need, and the command that installs each. npm does not install them with lxmert. */
const installs = {
  // If the variable is not set, its install script downloads CUDA's libraries, and fails if the download is not
  // possible.
  'onnxruntime-node': 'ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node@1',
  sharp: 'npm install sharp@0.35',
} as const;

type PackageName = keyof typeof installs;

/**
 * Loads a package that may not be installed.
 * @throws UNSUPPORTED with the line that installs it
 */
async function load(name: PackageName): Promise<unknown> {
  try {
    return await import(name);
  } catch (error) {
    const missing = ['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND'].includes(systemCode(error) ?? '');
    const reason = missing
      ? 'is not installed'
      : `does not load: ${error instanceof Error ? error.message : String(error)}`;
    throw new LxmertError(
      'UNSUPPORTED',
      `pictures need the package ${name}, which ${reason}. Install it: ${installs[name]}`,
      {
        cause: error,
      },
    );
  }
}

/** onnxruntime. @throws UNSUPPORTED with the line that installs it */
export async function loadOnnxRuntime(): Promise<typeof ort> {
  const loaded = (await load('onnxruntime-node')) as typeof ort & { readonly default?: typeof ort };
  return loaded.InferenceSession ? loaded : loaded.default;
}

/** sharp. @throws UNSUPPORTED with the line that installs it */
export async function loadSharp(): Promise<typeof sharp> {
  return ((await load('sharp')) as { readonly default: typeof sharp }).default;
}
