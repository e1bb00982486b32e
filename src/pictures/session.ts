import type { InferenceSession } from 'onnxruntime-node';
import { LxmertError } from '../errors.js';
import { RegularFile } from '../formats/regularFile.js';
import { loadOnnxRuntime } from './optionalPackages.js';

/** Opens an ONNX graph. @throws FILE_MISSING, FILE_ACCESS, BAD_DATA; UNSUPPORTED when onnxruntime is not installed */
export async function openSession(path: string, threads = 0): Promise<InferenceSession> {
  // onnxruntime gives the same error for a missing file and for a file that is not a graph, so the file is opened here
  // first.
  await (await RegularFile.open(path)).close();
  const { InferenceSession } = await loadOnnxRuntime();
  return InferenceSession.create(path, {
    intraOpNumThreads: threads,
    // Only errors are logged. Warnings about the graph are for its author and not for the user.
    logSeverityLevel: 3,
  }).catch((error: unknown) => {
    throw new LxmertError('BAD_DATA', `${path}: onnxruntime does not take it: ${messageOf(error)}`, { cause: error });
  });
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
