import { z } from 'zod';
import { LxmertError } from '../errors.js';

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
  schedule: z.strictObject({
    totalSteps: count.min(1),
    warmup: z.number(),
    peak: z.number(),
    batchSize: count.min(1),
    batchesPerEpoch: count.min(1),
  }),
  /** Validation with the least loss so far. */
  best: z.strictObject({ step: count, loss: z.number() }).optional(),
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
  const result = trainerStateSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new LxmertError('BAD_CHECKPOINT', `${file}: ${issue.path.join('.') || 'contents'}: ${issue.message}`);
}
