/** A thread that detects the objects of pictures. */
import { memoryOf, threadProgram } from '../../data/threads.js';
import { openDetector } from '../detector.js';
import type { Detection, PreparedPicture } from '../detection.js';
import type { ThreadDetector } from './detectThreads.js';

export default threadProgram<{ start: ThreadDetector; request: PreparedPicture; result: Detection }>(
  async ({ path, options }) => {
    const detector = await openDetector(path, options);
    return async (picture) => {
      const content = await detector.detect(picture);
      const { boxes, features } = content;
      return { content, memory: memoryOf([boxes, features]) };
    };
  },
);
