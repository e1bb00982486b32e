import { join } from 'node:path';
import { LxmertError } from '../errors.js';
import { checkpointFiles, hinting, readCheckpointAnswers } from './checkpoint.js';
import { checkpointName } from './checkpointStore.js';
import type { RunPlace } from './runFolder.js';
import type { TrainerState } from './trainerState.js';

/**
 * Compares the answer table of the checkpoint from which a run continues with that of the data.
 * @param flag the flag for initial weights, for the message
 * @throws BAD_CHECKPOINT when a row of the answer head would mean another answer than it was trained for
 */
export async function demandSameAnswers(
  run: Pick<RunPlace, 'checkpoints'>,
  from: TrainerState,
  now: readonly string[] | undefined,
  flag: 'init' | 'from' = 'init',
): Promise<void> {
  const checkpoint = join(run.checkpoints, checkpointName(from.step));
  const saved = await hinting(checkpoint, () => readCheckpointAnswers(checkpoint));
  const answersFile = join(checkpoint, checkpointFiles.answers);
  const advice =
    `Give the data that the run was trained on, or start another run with --${flag} ${checkpoint}, ` +
    'which finds the row of each answer by its text';
  const has = (answers: readonly string[] | undefined): string => (answers ? 'has one' : 'has none');
  if (saved === now) return;
  if (!saved || !now)
    throw new LxmertError(
      'BAD_CHECKPOINT',
      `${checkpoint}: answer table: the checkpoint ${has(saved)} (answers.json), the data folder ${has(now)}. ${advice}` +
        (saved
          ? ''
          : `. If ${answersFile} is lost, move ${checkpoint} away, and --resume continues from the checkpoint before it`),
    );
  const said = (answers: readonly string[], row: number): string => JSON.stringify(answers[row] ?? 'nothing');
  for (let row = 0; row < Math.max(saved.length, now.length); row++)
    if (saved[row] !== now[row])
      throw new LxmertError(
        'BAD_CHECKPOINT',
        `${checkpoint}: its answer table is not that of the data: answer ${row} is ${said(saved, row)} in the checkpoint and ` +
          `${said(now, row)} in the data. ${advice}`,
      );
}
