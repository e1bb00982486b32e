import { z } from 'zod';
import { expectation } from '../config/issues.js';
import type { BatchPosition } from '../data/batches/batching.js';
import { LxmertError } from '../errors.js';
import { entriesOf } from '../records.js';
import { totalSteps } from './schedule.js';
import type { TrainSettings } from './trainable.js';

const count = z.number().int().min(0);

/** `trainer_state.json`. A run needs this file, the weights and the moments in order to continue. */
export const trainerStateSchema = z.strictObject({
  format: z.literal(1),
  /** Optimizer steps done. */
  step: count,
  /** The next global batch. */
  position: z.strictObject({ epoch: count, batch: count }),
  /** Every random number is computed from the seed and a position, so there is no state of a generator to keep. */
  seeds: z.strictObject({ run: count }),
  /** Checksum of the training samples; absent if the data source gives none. */
  samples: z.string().optional(),
  /** The plan of the run, compared when it is resumed; `peak` is the setting `optimizer.lr`. */
  schedule: z.strictObject({
    totalSteps: count.min(1),
    warmup: z.number(),
    peak: z.number(),
    batchSize: count.min(1),
    batchesPerEpoch: count.min(1),
  }),
  /** The best validation so far: the one with the highest score, or with the smallest loss if there are no scores. */
  best: z.strictObject({ step: count, loss: z.number(), score: z.number().optional() }).optional(),
  /** Number of validations since the best one; `earlyStop` limits this number. */
  validationsSinceBest: count.default(0),
  /** Whether the validation after this step must still be done. */
  validationDue: z.boolean(),
});

export type TrainerState = z.infer<typeof trainerStateSchema>;

/** Whether `earlyStop` validations in a row were not better; false if `earlyStop` is not given. */
export const stopsEarly = ({ validationsSinceBest }: TrainerState, earlyStop: number | undefined): boolean =>
  earlyStop !== undefined && validationsSinceBest >= earlyStop;

/** Whether all steps and validations of the run are done. */
export const isFinished = (state: TrainerState, earlyStop: number | undefined): boolean =>
  !state.validationDue && (state.step >= state.schedule.totalSteps || stopsEarly(state, earlyStop));

/** The text of `trainer_state.json`; equal states have equal texts. */
export function formatTrainerState(state: TrainerState): string {
  // Parsing puts the keys into the schema's order.
  return `${JSON.stringify(trainerStateSchema.parse(state), null, 2)}\n`;
}

/** @throws BAD_CHECKPOINT naming the file and the field */
export function parseTrainerState(text: string, file: string): TrainerState {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new LxmertError('BAD_CHECKPOINT', `${file}: it is not JSON: ${(error as Error).message}`, { cause: error });
  }
  const { format } = (value ?? {}) as { format?: unknown };
  if (typeof format === 'number' && format > 1)
    throw new LxmertError(
      'BAD_CHECKPOINT',
      `${file}: it has format ${format}, of a newer lxmert; this one reads format 1. Use the version that wrote it`,
    );
  const result = trainerStateSchema.safeParse(value, { error: expectation });
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new LxmertError('BAD_CHECKPOINT', `${file}: ${issue.path.join('.') || 'contents'}: ${issue.message}`);
}

/** The state of a run before its first step. */
export function startOf(settings: TrainSettings, batchesPerEpoch: number, samples?: string): TrainerState {
  const { seed, optimizer, batchSize } = settings;
  return {
    format: 1,
    step: 0,
    position: { epoch: 0, batch: 0 },
    seeds: { run: seed },
    samples,
    schedule: {
      totalSteps: totalSteps(settings, batchesPerEpoch),
      warmup: optimizer.warmup,
      peak: optimizer.lr,
      batchSize,
      batchesPerEpoch,
    },
    validationsSinceBest: 0,
    validationDue: false,
  };
}

/**
 * The state from which a resumed run continues: the saved state, but with the planned end of the resumed run.
 * @param now the state before the first step, by the settings and data of the resumed run
 * @throws BAD_CONFIG if the run would not continue with the settings with which it began, or would become shorter
 */
export function continued(
  saved: TrainerState,
  now: TrainerState,
  samplesDifference: (saved: string) => string | undefined = (was) =>
    was === now.samples ? undefined : `the checksum of the samples: was ${was}, is ${now.samples ?? 'unknown'}`,
): TrainerState {
  const facts = ({ seeds, schedule: { totalSteps: _, ...schedule } }: TrainerState) =>
    entriesOf<string | number>({ ...schedule, seed: seeds.run });
  const current = new Map(facts(now));
  const changes = facts(saved).flatMap(([name, value]) =>
    current.get(name) === value ? [] : [`${name}: was ${value}, is ${current.get(name)}`],
  );
  const otherSamples = saved.samples === undefined ? undefined : samplesDifference(saved.samples);
  if (otherSamples !== undefined) changes.push(otherSamples);
  if (changes.length > 0)
    throw new LxmertError(
      'BAD_CONFIG',
      `the run cannot continue, because its data have changed: ${changes.join('; ')}`,
    );
  return withEnd(saved, now.schedule.totalSteps);
}

/** The state with another planned end. @throws BAD_CONFIG when the run would become shorter */
export function withEnd(saved: TrainerState, totalSteps: number): TrainerState {
  const planned = saved.schedule.totalSteps;
  if (totalSteps < planned)
    throw new LxmertError(
      'BAD_CONFIG',
      `the run was planned for ${planned} steps; --resume can make it longer, but not shorter (${totalSteps} steps, ` +
        'by --max-steps or --epochs). A signal ends a run earlier, and so does --early-stop',
    );
  return { ...saved, schedule: { ...saved.schedule, totalSteps } };
}

/** The global batch after a position, and the one before it. */
export const after = ({ epoch, batch }: BatchPosition, perEpoch: number): BatchPosition =>
  batch + 1 === perEpoch ? { epoch: epoch + 1, batch: 0 } : { epoch, batch: batch + 1 };

export const before = ({ epoch, batch }: BatchPosition, perEpoch: number): BatchPosition =>
  batch === 0 ? { epoch: epoch - 1, batch: perEpoch - 1 } : { epoch, batch: batch - 1 };
