import type { InferenceSession } from 'onnxruntime-node';
import { LxmertError } from '../errors.js';
import { RegularFile } from '../formats/regularFile.js';
import { loadOnnxRuntime } from './optionalPackages.js';

/** Opens an ONNX graph. @throws FILE_MISSING, FILE_ACCESS, BAD_DATA; UNSUPPORTED when onnxruntime is not installed */
export async function openSession(path: string, threads = 0): Promise<InferenceSession> {
  // onnxruntime's own error does not tell a file that is missing from one that is no graph.
  await (await RegularFile.open(path)).close();
  const { InferenceSession } = await loadOnnxRuntime();
  return InferenceSession.create(path, {
    intraOpNumThreads: threads,
    // Warnings on the graph concern the one who made it, not the one who runs it.
    logSeverityLevel: 3,
  }).catch((error: unknown) => {
    throw new LxmertError('BAD_DATA', `${path}: onnxruntime does not take it: ${messageOf(error)}`, { cause: error });
  });
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
