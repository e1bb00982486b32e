/** Places the tensors of a call in an engine's arenas, with guard zones between them, and reads all memory back. */
import type { Engine, Tensor } from '../../../src/engine/index.js';
import type { OpArgument } from '../../../src/engine/encodeCall.js';
import { floatToHalf, halfToFloat } from '../../../src/formats/dtypes.js';
import { bf16Bits, fromBf16Bits } from './bf16.js';
import { isRows, isTensor, tensorsOf, type CaseArgument, type CaseTensor } from './opCase.js';
import type { Rng } from './rng.js';

const arenas = ['parameters', 'gradients', 'state', 'inputs'] as const;
type FixedArena = (typeof arenas)[number];

/**
 * The values between tensors, and in outputs before a run. As float32 they are NaN, and as bfloat16 each of their
 * halves is NaN, so a test detects that they were read. The float32 numbers are signalling NaNs. An addition turns them
 * into quiet NaNs, so a test also detects that an op has added to them.
 */
const guardWord = 0x7fa07fad;
const poisonWord = 0x7fc07fcb;

const arenaWords = 1 << 21;

export interface Placed {
  readonly arena: FixedArena;
  /** Sizes in words. */
  readonly offset: number;
}

export type Memory = Readonly<Record<FixedArena, Int32Array>>;

export interface Layout {
  readonly places: ReadonlyMap<CaseTensor, Placed>;
  readonly before: Memory;
}

/** Reserves arenas that are large enough for any case of the table. */
export function reserveArenas(engine: Engine): void {
  for (const arena of arenas) engine.reserve(arena, 4 * arenaWords);
}

export function placeTensors(args: readonly CaseArgument[], rng: Rng, alignment: number): Layout {
  const ends = { parameters: 0, gradients: 0, state: 0, inputs: 0 };
  const unit = alignment / 4;
  const places = new Map<CaseTensor, Placed>();
  for (const tensor of tensorsOf(args)) {
    const arena = rng.pick(arenas);
    const offset = Math.ceil((ends[arena] + rng.int(8, 40)) / unit) * unit;
    places.set(tensor, { arena, offset });
    ends[arena] = offset + wordsOf(tensor);
  }
  const memoryOf = (arena: FixedArena): Int32Array => new Int32Array(ends[arena] + 64).fill(guardWord);
  const before = Object.fromEntries(arenas.map((arena) => [arena, memoryOf(arena)])) as Record<FixedArena, Int32Array>;
  for (const [tensor, { arena, offset }] of places) {
    const { role } = tensor;
    if (role === 'output' || role === 'scratch') halvesAt(before[arena], tensor, offset).set(poison(tensor));
    else halvesAt(before[arena], tensor, offset).set(bitsOf(tensor));
  }
  return { places, before };
}

/** The number of half words of an element of a tensor: one or two. */
const halvesPerElement = ({ dtype }: CaseTensor): number => (dtype === 'bf16' || dtype === 'f16' ? 1 : 2);
const wordsOf = (tensor: CaseTensor): number => Math.ceil((halvesPerElement(tensor) * tensor.values.length) / 2);

/** The place of a tensor, in half words. */
function halvesAt(words: Int32Array, tensor: CaseTensor, offset: number): Uint16Array {
  return new Uint16Array(words.buffer, words.byteOffset + 4 * offset, halvesPerElement(tensor) * tensor.values.length);
}

function bitsOf({ values, dtype }: CaseTensor): Uint16Array {
  if (dtype === 'bf16') return Uint16Array.from(values, bf16Bits);
  if (dtype === 'f16') return Uint16Array.from(values, floatToHalf);
  return new Uint16Array(values.buffer, values.byteOffset, 2 * values.length);
}

function poison(tensor: CaseTensor): Uint16Array {
  return new Uint16Array(new Int32Array(wordsOf(tensor)).fill(poisonWord).buffer).subarray(
    0,
    halvesPerElement(tensor) * tensor.values.length,
  );
}

/** The arguments of the call for the engine. */
export function callArguments(engine: Engine, args: readonly CaseArgument[], { places }: Layout): OpArgument[] {
  const tensor = (t: CaseTensor | null): Tensor | null => {
    if (!t) return null;
    const { arena, offset } = places.get(t)!;
    return engine.tensor(arena, 4 * offset, t.shape, t.dtype);
  };
  return args.map((arg) => {
    if (typeof arg !== 'object' || arg === null) return arg;
    if (isTensor(arg)) return tensor(arg);
    if (isRows(arg)) return { set: arg.set, capacity: arg.capacity, split: arg.split, record: tensor(arg.record) };
    return { p: arg.p, instance: arg.instance, rowIds: tensor(arg.rowIds) };
  });
}

const whole = (engine: Engine, arena: FixedArena, words: number): Tensor => engine.tensor(arena, 0, [words], 'i32');

export async function upload(engine: Engine, memory: Memory): Promise<void> {
  await Promise.all(arenas.map((arena) => engine.upload(whole(engine, arena, memory[arena].length), memory[arena])));
}

/** Reads as much of each arena as `like` has. */
export async function download(engine: Engine, like: Memory): Promise<Memory> {
  const read = async (arena: FixedArena) =>
    [arena, await engine.read(whole(engine, arena, like[arena].length))] as const;
  return Object.fromEntries(await Promise.all(arenas.map(read))) as unknown as Memory;
}

/** The values of a tensor in a copy of memory. */
export function valuesOf(memory: Memory, tensor: CaseTensor, { arena, offset }: Placed): Float32Array | Int32Array {
  if (tensor.dtype === 'bf16') return Float32Array.from(halvesAt(memory[arena], tensor, offset), fromBf16Bits);
  if (tensor.dtype === 'f16') return Float32Array.from(halvesAt(memory[arena], tensor, offset), halfToFloat);
  const view = tensor.dtype === 'f32' ? Float32Array : Int32Array;
  return new view(memory[arena].buffer as ArrayBuffer, memory[arena].byteOffset + 4 * offset, tensor.values.length);
}

/** Finds forbidden writes: in guard zones and inputs. */
export function strayWrites({ places, before }: Layout, after: Memory): string[] {
  const problems: string[] = [];
  for (const arena of arenas) {
    const owners = [...places].filter(([, place]) => place.arena === arena);
    const halves = (words: Int32Array): Uint16Array =>
      new Uint16Array(words.buffer, words.byteOffset, 2 * words.length);
    const [was, is] = [halves(before[arena]), halves(after[arena])];
    const writable = new Uint8Array(was.length);
    for (const [tensor, { offset }] of owners)
      if (tensor.role !== 'input')
        writable.fill(1, 2 * offset, 2 * offset + halvesPerElement(tensor) * tensor.values.length);
    const strays: number[] = [];
    for (let i = 0; i < writable.length; i++) if (writable[i] === 0 && was[i] !== is[i]) strays.push(i);
    if (strays.length === 0) continue;
    const near = owners.map(([tensor, { offset }]) => `${tensor.name} ${offset}-${offset + wordsOf(tensor)}`);
    problems.push(
      `wrote to half word ${strays[0]} and ${strays.length - 1} more of ${arena}, whose words hold ${near.join(', ')}`,
    );
  }
  return problems;
}
