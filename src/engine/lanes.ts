import { LxmertError } from '../errors.js';
import { Ranges } from './ranges.js';
import { bytesOf, type ArenaName, type Tensor } from './tensor.js';
import type { Workspace } from './workspace.js';

/** Lanes may read the same of these: no work that is done in lanes writes them. */
const readOnly: readonly ArenaName[] = ['parameters', 'inputs', 'features'];

/** What a lane has used, by arena. */
type Uses = Map<ArenaName, Ranges>;

/**
 * Work that is done side by side, in two lanes. They have no order, so what one has used of memory that is written, the other
 * must not use: then a step gives the same bits however they run. That is checked here, call by call.
 */
export class Lanes {
  /** Of each lane; empty outside of `beside`. */
  private uses: Uses[] = [];
  private lane = 0;

  /** `enter`: ops go to lane 1 or 2 from here on, or with 0 behind both. */
  constructor(
    private readonly workspace: Workspace,
    private readonly enter: (lane: number) => void,
  ) {}

  /** @throws LxmertError INTERNAL inside of a lane */
  beside(first: () => void, second: () => void): void {
    if (this.uses.length > 0) throw new LxmertError('INTERNAL', 'lanes inside of a lane');
    this.uses = [new Map<ArenaName, Ranges>(), new Map<ArenaName, Ranges>()];
    this.workspace.fork(this.uses.length);
    try {
      for (const [lane, work] of [first, second].entries()) {
        this.lane = lane;
        this.workspace.enter(lane);
        this.enter(lane + 1);
        work();
      }
    } finally {
      this.uses = [];
      this.workspace.join();
      this.enter(0);
    }
  }

  /** An op uses a tensor. @throws LxmertError INTERNAL when the other lane has used some of its memory */
  use(op: string, tensor: Tensor): void {
    const { arena, offset, shape } = tensor;
    const own = this.uses[this.lane];
    if (!own || readOnly.includes(arena)) return;
    const end = offset + bytesOf(tensor);
    if (this.uses[1 - this.lane].get(arena)?.overlaps(offset, end))
      throw new LxmertError(
        'INTERNAL',
        `${op}: a tensor [${shape.join(', ')}] at byte ${offset} of the ${arena} arena shares memory with what is used beside it, ` +
          'in another lane',
      );
    const ranges = own.get(arena) ?? new Ranges();
    own.set(arena, ranges);
    ranges.add(offset, end);
  }
}
