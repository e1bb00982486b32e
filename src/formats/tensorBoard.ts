import crc32c from 'crc-32/crc32c.js';
import { open, readdir, readFile, type FileHandle } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import protobuf from 'protobufjs/light.js';
import { writeFully } from './atomicFile.js';
import { fileError } from './fileErrors.js';

/** The part of TensorFlow's event.proto and summary.proto that scalars need. */
const eventType = protobuf.Root.fromJSON({
  nested: {
    Value: {
      // In a oneof, as in TensorFlow's schema, a value of 0 is written, too.
      oneofs: { value: { oneof: ['simpleValue'] } },
      fields: { tag: { type: 'string', id: 1 }, simpleValue: { type: 'float', id: 2 } },
    },
    Summary: { fields: { value: { rule: 'repeated', type: 'Value', id: 1 } } },
    SessionLog: { fields: { status: { type: 'int32', id: 1 } } },
    Event: {
      fields: {
        wallTime: { type: 'double', id: 1 },
        step: { type: 'int64', id: 2 },
        fileVersion: { type: 'string', id: 3 },
        summary: { type: 'Summary', id: 5 },
        sessionLog: { type: 'SessionLog', id: 7 },
      },
    },
  },
}).lookupType('Event');

/** TFRecord's masked CRC-32C. */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c.buf(bytes) >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** One TFRecord: length (64 bit), its checksum, the bytes, their checksum. */
function record(bytes: Uint8Array): Buffer {
  const out = Buffer.alloc(8 + 4 + bytes.length + 4);
  out.writeBigUInt64LE(BigInt(bytes.length), 0);
  out.writeUInt32LE(maskedCrc(out.subarray(0, 8)), 8);
  out.set(bytes, 12);
  out.writeUInt32LE(maskedCrc(bytes), 12 + bytes.length);
  return out;
}

export interface EventFileOptions {
  /** Readers ignore events of earlier files from this step on, because the run continues from here. */
  readonly step?: number;
}

/** A TensorBoard event file: named scalars by step. */
export class EventFile {
  readonly path: string;
  readonly #file: FileHandle;
  #end = 0;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  /** Starts a new file in a folder. TensorBoard reads all event files of the folder as one run. @throws FILE_ACCESS */
  static async create(folder: string, { step = 0 }: EventFileOptions = {}): Promise<EventFile> {
    const now = Date.now();
    const name = `events.out.tfevents.${Math.floor(now / 1000)}.${hostname()}.${process.pid}.${now % 1000}`;
    const path = join(folder, name);
    try {
      const events = new EventFile(path, await open(path, 'wx'));
      await events.#write({ fileVersion: 'brain.Event:2' });
      // Status START: readers drop events of later steps in older files.
      await events.#write({ step, sessionLog: { status: 1 } });
      return events;
    } catch (error) {
      throw fileError(error, 'write', path);
    }
  }

  /** Writes values by tag, such as `loss/maskedLm`. Undefined values are left out. */
  async scalars(step: number, values: Readonly<Record<string, number | undefined>>): Promise<void> {
    const value = Object.entries(values).flatMap(([tag, simpleValue]) =>
      simpleValue === undefined ? [] : [{ tag, simpleValue }],
    );
    await this.#write({ step, summary: { value } });
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #write(event: object): Promise<void> {
    const message = eventType.create({ wallTime: Date.now() / 1000, ...event });
    const bytes = record(eventType.encode(message).finish());
    try {
      await writeFully(this.#file, bytes, this.#end);
    } catch (error) {
      throw fileError(error, 'write', this.path);
    }
    this.#end += bytes.length;
  }
}

/** A value of a scalar at a step. */
export interface ScalarValue {
  readonly step: number;
  readonly value: number;
}

const eventFileName = /^events\.out\.tfevents\./;

/**
 * The values of one scalar in all event files of a folder, by step; if there are several values for a step, the last
 * one counts. In each file, stops before a record that is incomplete or damaged.
 * @throws FILE_MISSING, FILE_ACCESS
 */
export async function readScalars(folder: string, tag: string): Promise<ScalarValue[]> {
  const values = new Map<number, number>();
  try {
    const names = (await readdir(folder)).filter((name) => eventFileName.test(name));
    for (const name of names.sort())
      for (const { step, tag: found, value } of scalarsIn(await readFile(join(folder, name))))
        if (found === tag) values.set(step, value);
  } catch (error) {
    throw fileError(error, 'read', folder);
  }
  return [...values].map(([step, value]) => ({ step, value })).sort((a, b) => a.step - b.step);
}

interface ScalarEvent {
  readonly step?: number | { toNumber(): number };
  readonly summary?: { readonly value?: readonly { readonly tag: string; readonly simpleValue?: number }[] };
}

function* scalarsIn(bytes: Buffer): Generator<ScalarValue & { readonly tag: string }> {
  for (let at = 0; at + 16 <= bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(at));
    const body = bytes.subarray(at + 12, at + 12 + length);
    const end = at + 12 + length + 4;
    if (bytes.readUInt32LE(at + 8) !== maskedCrc(bytes.subarray(at, at + 8)) || end > bytes.length) return;
    if (bytes.readUInt32LE(end - 4) !== maskedCrc(body)) return;
    const { step = 0, summary } = eventType.decode(body) as unknown as ScalarEvent;
    for (const { tag, simpleValue } of summary?.value ?? [])
      if (simpleValue !== undefined) yield { step: Number(step), tag, value: simpleValue };
    at = end;
  }
}
