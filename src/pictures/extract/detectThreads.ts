import { openThreads } from '../../data/threads.js';
import { openDetector } from '../detector.js';
import type { Detection, OpenDetectorOptions, PreparedPicture } from '../detection.js';

/** The detector that each thread opens when it starts. */
export interface ThreadDetector {
  readonly path: string;
  readonly options: OpenDetectorOptions;
}

export interface ThreadOptions {
  /** The number of threads. Each has its own detector. 0: the calling thread detects. */
  readonly workers: number;
  /** The threads' program; default: `detectWorker.js` beside this module. */
  readonly workerScript: URL | undefined;
}

/** Several detectors that work at the same time. */
export interface Detectors {
  detect(picture: PreparedPicture): Promise<Detection>;
  close(): Promise<void>;
}

/** Opens the detectors. onnxruntime blocks the thread that calls it, so each detector runs on a separate thread. */
export async function openDetectors(
  detector: ThreadDetector,
  { workers, workerScript: script = new URL('./detectWorker.js', import.meta.url) }: ThreadOptions,
): Promise<Detectors> {
  if (workers === 0) {
    return openDetector(detector.path, detector.options);
  }
  const what = 'detects objects';
  const threads = openThreads<PreparedPicture, Detection>({ what, script, start: detector, count: workers });
  return {
    detect: (picture) => threads.run(picture, [picture.image.buffer as ArrayBuffer]),
    close: () => threads.close(),
  };
}
