import type { Socket } from 'node:net';
import type { ErrorCode } from '../errors.js';

/** The small messages of the ranks: one JSON object a line, between each rank and the hub in rank 0. */

/** Why a run with several ranks fails. */
export interface Failure {
  /** The rank that caused the failure; undefined: all ranks had the same error. */
  readonly rank?: number | undefined;
  readonly code: ErrorCode;
  readonly message: string;
}

/** A request of one rank to end the run, for example because it received a signal. */
export interface Stop {
  readonly rank: number;
  readonly reason: string;
  readonly exitCode: number;
}

/** From a rank to the hub. */
export type FromRank =
  | {
      readonly type: 'hello';
      readonly rank: number;
      readonly ranks: number;
      readonly version: string;
      readonly host: string;
    }
  | { readonly type: 'address'; readonly port: number; readonly outside: readonly string[] }
  | {
      readonly type: 'value';
      readonly key: string;
      readonly value: unknown;
      /** The ranks that receive the values of all ranks; by default all ranks. */
      readonly to?: 'rank 0' | undefined;
    }
  | { readonly type: 'stop'; readonly stop: Stop }
  | { readonly type: 'save' }
  | { readonly type: 'fail'; readonly failure: Failure }
  | { readonly type: 'beat' }
  | { readonly type: 'bye' };

/** From the hub to a rank. All ranks receive the messages, except `beat`, in the same order. */
export type FromHub =
  | { readonly type: 'token'; readonly token: string }
  | {
      readonly type: 'welcome';
      readonly hosts: readonly string[];
      /** By rank. For rank 0, the receiver instead uses the host at which it reached the hub. */
      readonly addresses: readonly { readonly host: string; readonly port: number }[];
    }
  /** The values of all ranks; an empty list for a rank that must not receive them. */
  | { readonly type: 'values'; readonly key: string; readonly values: readonly unknown[] }
  | { readonly type: 'stop'; readonly stop: Stop }
  | { readonly type: 'save' }
  | { readonly type: 'fail'; readonly failure: Failure }
  | { readonly type: 'beat' }
  | { readonly type: 'bye' };

export function send(socket: Socket, message: FromRank | FromHub): void {
  if (socket.writable) socket.write(`${JSON.stringify(message)}\n`);
}

/** Calls `receive` with each message. A line that is not JSON ends the connection. */
export function onMessages(socket: Socket, receive: (message: unknown) => void): void {
  let pieces: string[] = [];
  socket.setEncoding('utf8');
  socket.setNoDelay(true);
  socket.on('data', (text: string) => {
    const [first, ...lines] = text.split('\n');
    pieces.push(first);
    for (const line of lines) {
      const whole = pieces.join('');
      pieces = [line];
      let message: unknown;
      try {
        message = JSON.parse(whole) as unknown;
      } catch {
        socket.destroy();
        return;
      }
      receive(message);
    }
  });
}
