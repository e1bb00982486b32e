import { LxmertError } from '../errors.js';
import { Ranges } from './ranges.js';
import { bytesOf, type ArenaName, type Tensor } from './tensor.js';
import type { Workspace } from './workspace.js';

/** Both lanes may read these arenas: no work in lanes writes to them. */
const readOnly: readonly ArenaName[] = ['parameters', 'inputs', 'features'];

/** The op number of a change of lanes in a recording; its argument is the lane (native/engine/engine.h). */
export const laneChange = -1;

/** The ranges of memory that a lane has used, by arena. */
type Uses = Map<ArenaName, Ranges>;

/**
 * Two lanes of work, which run at the same time, in no fixed order. If one lane has used a place in writable memory,
 * the other lane must not use this place. Under this rule a step gives the same bits in every order. Each op call is
 * checked for this.
 */
export class Lanes {
  /** The used memory of each lane; empty outside of `beside`. */
  #uses: Uses[] = [];
  #lane = 0;
  readonly #workspace: Workspace;
  readonly #enter: (lane: number) => void;

  /** `enter` sends the ops that follow to lane 1 or 2; 0 ends both lanes. */
  constructor(workspace: Workspace, enter: (lane: number) => void) {
    this.#workspace = workspace;
    this.#enter = enter;
  }

  get isInLane(): boolean {
    return this.#uses.length > 0;
  }

  /** @throws LxmertError INTERNAL inside of a lane */
  beside(first: () => void, second: () => void): void {
    if (this.#uses.length > 0) throw new LxmertError('INTERNAL', 'lanes inside of a lane');
    this.#uses = [new Map<ArenaName, Ranges>(), new Map<ArenaName, Ranges>()];
    this.#workspace.fork(this.#uses.length);
    try {
      for (const [lane, work] of [first, second].entries()) {
        this.#lane = lane;
        this.#workspace.enter(lane);
        this.#enter(lane + 1);
        work();
      }
    } finally {
      this.#uses = [];
      this.#workspace.join();
      this.#enter(0);
    }
  }

  /** Notes that an op uses a tensor. @throws LxmertError INTERNAL when the other lane has used some of its memory */
  use(op: string, tensor: Tensor): void {
    const { arena, offset, shape } = tensor;
    const own = this.#uses[this.#lane];
    if (!own || readOnly.includes(arena)) return;
    const end = offset + bytesOf(tensor);
    if (this.#uses[1 - this.#lane].get(arena)?.overlaps(offset, end))
      throw new LxmertError(
        'INTERNAL',
        `${op}: a tensor [${shape.join(', ')}] at byte ${offset} of the ${arena} arena shares memory with a tensor of ` +
          'the other lane',
      );
    const ranges = own.get(arena) ?? new Ranges();
    own.set(arena, ranges);
    ranges.add(offset, end);
  }
}
