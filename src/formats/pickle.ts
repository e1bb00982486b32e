/**
 * A reader of Python pickles that builds only plain values. It never calls or imports Python code. A global on the
 * allow-list is stored as its name, and `PickleHooks` determine the result of a call of this global. Memory is bounded
 * by the length of the input: a length in the input is compared with the number of remaining bytes before it is used.
 */
import { LxmertError } from '../errors.js';
import { shown } from './shown.js';

/** A float of Python. An int of Python is a JavaScript number. */
export class PickleFloat {
  constructor(readonly value: number) {}
}

/** The name of a Python object in a module. */
export class PickleGlobal {
  constructor(
    readonly module: string,
    readonly name: string,
  ) {}

  get fullName(): string {
    return `${this.module}.${this.name}`;
  }
}

/** A tuple of Python. A list of Python is an array. */
export class PickleTuple {
  constructor(readonly items: readonly PickleValue[]) {}
}

/** A dict with all pairs that were set, in order. If a key was set twice, both pairs are in it. */
export class PickleDict {
  readonly pairs: [PickleValue, PickleValue][] = [];
}

/** An object that a hook made. The reader does not use its contents. */
export abstract class PickleObject {
  /** The kind of object, for a message. */
  abstract readonly kind: string;
}

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleFloat
  | PickleGlobal
  | PickleTuple
  | PickleDict
  | PickleObject
  | PickleValue[];

export interface PickleHooks {
  /** Whether a pickle may use this global. Otherwise reading fails with a message that has its name. */
  readonly allows: (module: string, name: string) => boolean;
  /** The result of a call. @throws a PickleFault for invalid arguments */
  readonly call: (global: PickleGlobal, args: readonly PickleValue[]) => PickleValue;
  /** The object with a persistent id. @throws a PickleFault */
  readonly persistent: (id: PickleValue) => PickleValue;
  /** Sets the state of an object that `call` made. If absent, only dicts can have a state. @throws a PickleFault */
  readonly build?: (object: PickleObject, state: PickleValue) => PickleValue;
  /** The end of the message about a refused global: what the file may contain, and what to do. */
  readonly refusal?: string;
}

/** A fault of a pickle. The caller adds the name of the file to the message. */
export class PickleFault extends Error {
  override readonly name = 'PickleFault';
}

/** Thrown if the input ends inside the pickle. */
export class PickleEnd extends PickleFault {}

/** Makes the error for a file with a faulty pickle. Returns other errors unchanged. */
export function pickleError(error: unknown, file: string, what: string): unknown {
  return error instanceof PickleFault
    ? new LxmertError('BAD_DATA', `${file}: ${what}: ${error.message}`, { cause: error })
    : error;
}

/** Largest number of opcodes, so that a small file cannot use much memory or time. */
const maxOpcodes = 4_000_000;

/** Largest number of values on the stack. Python writes the items of a list a thousand at a time. */
const maxStack = 50_000;

/**
 * Largest number of bytes of an integer. Python's integers have no limit, but 64 bits and a sign are enough for every
 * size in a file.
 */
const maxLongBytes = 16;

const mark = Symbol('mark');

/** Reads one pickle from the beginning of `bytes`. @returns its value and its length in bytes */
export function readPickle(bytes: Uint8Array, hooks: PickleHooks): { value: PickleValue; length: number } {
  return new Machine(bytes, hooks).run();
}

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #hooks: PickleHooks;
  readonly #stack: (PickleValue | typeof mark)[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #at = 0;

  constructor(bytes: Uint8Array, hooks: PickleHooks) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#hooks = hooks;
  }

  run(): { value: PickleValue; length: number } {
    for (let count = 0; count < maxOpcodes; count++) {
      const at = this.#at;
      const opcode = this.#uint(1);
      if (opcode === 0x2e /* STOP */) return { value: this.#pop(), length: this.#at };
      const step = steps.get(opcode);
      if (!step)
        throw new PickleFault(
          `opcode 0x${opcode.toString(16).padStart(2, '0')}${refused.get(opcode) ?? ''} at byte ${at} is not read here`,
        );
      step(this);
    }
    throw new PickleFault(`it has more than ${maxOpcodes} opcodes`);
  }

  // The functions below implement the opcodes.

  push(value: PickleValue | typeof mark): void {
    if (this.#stack.length >= maxStack)
      throw new PickleFault(`it stacks more than ${maxStack} values: it is nested too deep`);
    this.#stack.push(value);
  }

  pushMark(): void {
    this.push(mark);
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === undefined || value === mark) throw new PickleFault(`its stack is empty at byte ${this.#at}`);
    return value;
  }

  pop(): PickleValue {
    return this.#pop();
  }

  /** The value on top of the stack, which is not removed. */
  top(): PickleValue {
    const value = this.#stack.at(-1);
    if (value === undefined || value === mark) throw new PickleFault(`its stack is empty at byte ${this.#at}`);
    return value;
  }

  popToMark(): PickleValue[] {
    const at = this.#stack.lastIndexOf(mark);
    if (at < 0) throw new PickleFault(`its stack has no mark at byte ${this.#at}`);
    const items = this.#stack.splice(at);
    return items.slice(1) as PickleValue[];
  }

  popMany(count: number): PickleValue[] {
    const items: PickleValue[] = [];
    for (let i = 0; i < count; i++) items.unshift(this.#pop());
    return items;
  }

  remember(index: number): void {
    this.#memo.set(index, this.top());
  }

  rememberNext(): void {
    this.#memo.set(this.#memo.size, this.top());
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw new PickleFault(`it uses the memo number ${index} before it is set`);
    this.push(value);
  }

  take(length: number): Uint8Array {
    const at = this.#advance(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** Skips bytes. @returns the position of the first of them */
  #advance(length: number): number {
    const at = this.#at;
    if (length > this.#bytes.byteLength - at)
      throw new PickleEnd(`it ends at byte ${this.#bytes.byteLength}, where ${length} bytes from ${at} on are needed`);
    this.#at += length;
    return at;
  }

  /** Reads a little-endian unsigned number of 1, 2 or 4 bytes. */
  #uint(bytes: 1 | 2 | 4): number {
    const at = this.#advance(bytes);
    return bytes === 1
      ? this.#bytes[at]
      : bytes === 2
        ? this.#view.getUint16(at, true)
        : this.#view.getUint32(at, true);
  }

  uint(bytes: 1 | 2 | 4): number {
    return this.#uint(bytes);
  }

  int32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  /** Reads a length of 8 bytes. A length beyond the end of the input is refused. */
  length64(): number {
    const length = this.#view.getBigUint64(this.#advance(8), true);
    if (length > BigInt(this.#bytes.byteLength)) throw new PickleEnd(`it claims a value of ${length} bytes`);
    return Number(length);
  }

  float64(): number {
    return this.#view.getFloat64(this.#advance(8), false);
  }

  long(length: number): number | bigint {
    if (length > maxLongBytes)
      throw new PickleFault(`it has an integer of ${length} bytes; at most ${maxLongBytes} are read`);
    const bytes = this.take(length);
    if (length === 0) return 0;
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
    value = BigInt.asIntN(8 * length, value);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  text(length: number): string {
    const bytes = this.take(length);
    try {
      return utf8.decode(bytes);
    } catch (error) {
      throw new PickleFault(`its text at byte ${this.#at - length} is not UTF-8`, { cause: error });
    }
  }

  /** Reads text up to the end of the line, without the line end. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0) throw new PickleEnd('it ends inside of a line');
    const text = this.text(end - this.#at);
    this.#at = end + 1;
    return text;
  }

  global(module: string, name: string): void {
    if (!this.#hooks.allows(module, name))
      throw new PickleFault(
        `it needs ${shown(`${module}.${name}`)}, which is not on the list of what ` +
          (this.#hooks.refusal ??
            'a file of weights may name. It was not loaded and no code was run. Save the weights alone, as torch.save(model.state_dict(), …)'),
      );
    this.push(new PickleGlobal(module, name));
  }

  reduce(): void {
    const [callee, args] = this.popMany(2);
    if (!(callee instanceof PickleGlobal)) throw new PickleFault('it calls something that is no function');
    if (!(args instanceof PickleTuple))
      throw new PickleFault(`it calls ${callee.fullName} without a tuple of arguments`);
    this.push(this.#hooks.call(callee, args.items));
  }

  persistent(): void {
    this.push(this.#hooks.persistent(this.pop()));
  }

  append(items: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw new PickleFault('it appends to something that is no list');
    for (const item of items) list.push(item);
  }

  setItems(items: readonly PickleValue[]): void {
    const dict = this.top();
    if (!(dict instanceof PickleDict)) throw new PickleFault('it sets an item of something that is no dict');
    if (items.length % 2 !== 0) throw new PickleFault('it sets a key without a value');
    for (let i = 0; i < items.length; i += 2) dict.pairs.push([items[i], items[i + 1]]);
  }

  /**
   * Sets attributes of an object. Attributes of a dict (for example `_metadata`, which torch writes) are not needed for
   * weights.
   */
  build(): void {
    const [object, state] = this.popMany(2);
    if (object instanceof PickleObject && this.#hooks.build) {
      this.push(this.#hooks.build(object, state));
      return;
    }
    if (!(object instanceof PickleDict)) throw new PickleFault('it sets the state of something that is no dict');
    this.push(object);
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const asBytes = (bytes: Uint8Array) => Uint8Array.from(bytes);

/** The opcodes of protocols 2 to 5, and those of Python 2, with the names in Python's `pickletools`. */
const steps = new Map<number, (machine: Machine) => void>([
  [0x80 /* PROTO */, (m) => checkProtocol(m.uint(1))],
  [0x95 /* FRAME */, (m) => void m.length64()],
  [0x28 /* MARK */, (m) => m.pushMark()],
  [0x30 /* POP */, (m) => void m.pop()],
  [0x4e /* NONE */, (m) => m.push(null)],
  [0x88 /* NEWTRUE */, (m) => m.push(true)],
  [0x89 /* NEWFALSE */, (m) => m.push(false)],
  [0x4a /* BININT */, (m) => m.push(m.int32())],
  [0x4b /* BININT1 */, (m) => m.push(m.uint(1))],
  [0x4d /* BININT2 */, (m) => m.push(m.uint(2))],
  [0x8a /* LONG1 */, (m) => m.push(m.long(m.uint(1)))],
  [0x8b /* LONG4 */, (m) => m.push(m.long(m.uint(4)))],
  [0x47 /* BINFLOAT */, (m) => m.push(new PickleFloat(m.float64()))],
  [0x58 /* BINUNICODE */, (m) => m.push(m.text(m.uint(4)))],
  [0x8c /* SHORT_BINUNICODE */, (m) => m.push(m.text(m.uint(1)))],
  [0x8d /* BINUNICODE8 */, (m) => m.push(m.text(m.length64()))],
  // A str of Python 2. Old versions of torch wrote names in this form.
  [0x55 /* SHORT_BINSTRING */, (m) => m.push(m.text(m.uint(1)))],
  [0x54 /* BINSTRING */, (m) => m.push(m.text(m.uint(4)))],
  [0x43 /* SHORT_BINBYTES */, (m) => m.push(asBytes(m.take(m.uint(1))))],
  [0x42 /* BINBYTES */, (m) => m.push(asBytes(m.take(m.uint(4))))],
  [0x96 /* BYTEARRAY8 */, (m) => m.push(asBytes(m.take(m.length64())))],
  [0x8e /* BINBYTES8 */, (m) => m.push(asBytes(m.take(m.length64())))],
  [0x5d /* EMPTY_LIST */, (m) => m.push([])],
  [0x61 /* APPEND */, (m) => m.append(m.popMany(1))],
  [0x65 /* APPENDS */, (m) => m.append(m.popToMark())],
  [0x6c /* LIST */, (m) => m.push(m.popToMark())],
  [0x29 /* EMPTY_TUPLE */, (m) => m.push(new PickleTuple([]))],
  [0x85 /* TUPLE1 */, (m) => m.push(new PickleTuple(m.popMany(1)))],
  [0x86 /* TUPLE2 */, (m) => m.push(new PickleTuple(m.popMany(2)))],
  [0x87 /* TUPLE3 */, (m) => m.push(new PickleTuple(m.popMany(3)))],
  [0x74 /* TUPLE */, (m) => m.push(new PickleTuple(m.popToMark()))],
  [0x7d /* EMPTY_DICT */, (m) => m.push(new PickleDict())],
  [0x73 /* SETITEM */, (m) => m.setItems(m.popMany(2))],
  [0x75 /* SETITEMS */, (m) => m.setItems(m.popToMark())],
  [0x71 /* BINPUT */, (m) => m.remember(m.uint(1))],
  [0x72 /* LONG_BINPUT */, (m) => m.remember(m.uint(4))],
  [0x94 /* MEMOIZE */, (m) => m.rememberNext()],
  [0x68 /* BINGET */, (m) => m.recall(m.uint(1))],
  [0x6a /* LONG_BINGET */, (m) => m.recall(m.uint(4))],
  [0x63 /* GLOBAL */, (m) => m.global(m.line(), m.line())],
  [0x93 /* STACK_GLOBAL */, stackGlobal],
  [0x52 /* REDUCE */, (m) => m.reduce()],
  [0x62 /* BUILD */, (m) => m.build()],
  [0x51 /* BINPERSID */, (m) => m.persistent()],
]);

/** Names of unsupported opcodes that a user's file may have. */
const refused = new Map([
  [0x69, ' (INST)'],
  [0x6f, ' (OBJ)'],
  [0x81, ' (NEWOBJ)'],
  [0x92, ' (NEWOBJ_EX)'],
  [0x82, ' (EXT1)'],
  [0x83, ' (EXT2)'],
  [0x84, ' (EXT4)'],
  [0x50, ' (PERSID)'],
]);

function checkProtocol(protocol: number): void {
  if (protocol < 2 || protocol > 5) throw new PickleFault(`it has the pickle protocol ${protocol}; 2 to 5 are read`);
}

function stackGlobal(machine: Machine): void {
  const [module, name] = machine.popMany(2);
  if (typeof module !== 'string' || typeof name !== 'string') throw new PickleFault('it names a global without text');
  machine.global(module, name);
}
