import { counted, duration, figure, percent } from '../figures.js';
import type { ImportProgress } from '../imports/index.js';
import { note } from './command.js';

/** Seconds between two lines of progress. */
const EVERY = 5;

/** Prints the progress of an import every few seconds, and the remaining time if it can be estimated. */
export function importProgress(): { show: (progress: ImportProgress) => void; end: () => void } {
  const started = performance.now();
  let last = started;
  let begin: ImportProgress | undefined;
  return {
    show: (progress) => {
      begin ??= progress;
      const now = performance.now();
      if (now - last < EVERY * 1000) return;
      last = now;
      const seconds = (now - started) / 1000;
      const { images, bytes, allBytes, allImages } = progress;
      const share =
        allBytes !== undefined ? bytes / allBytes : allImages !== undefined ? images / allImages : undefined;
      const done = images - begin.images + 1;
      const left =
        share === undefined || share === 0
          ? ''
          : `, ${percent(share)}, ${duration((seconds / share) * (1 - share))} left`;
      note(`${counted(images, 'image')}, ${figure(done / seconds)} a second${left}`);
    },
    end: () => undefined,
  };
}
