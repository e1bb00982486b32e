import { z } from 'zod';
import { expectation } from '../config/issues.js';
import type { BatchPosition } from '../data/batches/batching.js';
import { LxmertError } from '../errors.js';
import { totalSteps } from './schedule.js';
import type { TrainSettings } from './trainable.js';

const count = z.number().int().min(0);

/** What continues a run besides weights and moments: `trainer_state.json`. */
export const trainerStateSchema = z.strictObject({
  format: z.literal(1),
  /** Optimizer steps done. */
  step: count,
  /** The global batch that comes next. */
  position: z.strictObject({ epoch: count, batch: count }),
  /** Every random number is drawn from the seed and a position, so there is no generator state to keep. */
  seeds: z.strictObject({ run: count }),
  /** Checksum of the training samples; absent where nobody could tell. */
  samples: z.string().optional(),
  /** What the run was planned with, to be compared when it goes on; `peak` is the setting `optimizer.lr`. */
  schedule: z.strictObject({
    totalSteps: count.min(1),
    warmup: z.number(),
    peak: z.number(),
    batchSize: count.min(1),
    batchesPerEpoch: count.min(1),
  }),
  /** The best validation so far: the highest score where there are scores, else the least loss. */
  best: z.strictObject({ step: count, loss: z.number(), score: z.number().optional() }).optional(),
  /** Validations since then, each no better; `earlyStop` ends the run by it. */
  validationsSinceBest: count.default(0),
  /** The run was stopped after this step, before the validation that belongs to it. */
  validationDue: z.boolean(),
});

export type TrainerState = z.infer<typeof trainerStateSchema>;

/** Whether so many validations in a row were no better; never when `earlyStop` is not given. */
export const stopsEarly = ({ validationsSinceBest }: TrainerState, earlyStop: number | undefined): boolean =>
  earlyStop !== undefined && validationsSinceBest >= earlyStop;

/** Whether nothing is left to do. */
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
      `${file}: it has format ${format}, of a newer lxmert; this one reads format 1. Take the version that wrote it`,
    );
  const result = trainerStateSchema.safeParse(value, { error: expectation });
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new LxmertError('BAD_CHECKPOINT', `${file}: ${issue.path.join('.') || 'contents'}: ${issue.message}`);
}

/** The state of a run that has done nothing yet. */
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

/** @throws BAD_CONFIG when the run would not go on as it began */
export function demandSameStart(saved: TrainerState, now: TrainerState): void {
  const facts = ({ seeds, schedule, samples }: TrainerState) =>
    Object.entries({
      ...schedule,
      seed: seeds.run,
      ...(samples === undefined ? {} : { 'checksum of the samples': samples }),
    });
  const current = new Map(facts(now));
  const changes = facts(saved).flatMap(([name, value]) =>
    current.get(name) === value ? [] : [`${name}: was ${value}, is ${current.get(name)}`],
  );
  if (changes.length > 0)
    throw new LxmertError('BAD_CONFIG', `the run cannot go on as it began (other data?): ${changes.join('; ')}`);
}

/** The global batch after one, and the one before. */
export const after = ({ epoch, batch }: BatchPosition, perEpoch: number): BatchPosition =>
  batch + 1 === perEpoch ? { epoch: epoch + 1, batch: 0 } : { epoch, batch: batch + 1 };

export const before = ({ epoch, batch }: BatchPosition, perEpoch: number): BatchPosition =>
  batch === 0 ? { epoch: epoch - 1, batch: perEpoch - 1 } : { epoch, batch: batch - 1 };
