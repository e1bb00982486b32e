import { randomBytes } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { LxmertError } from '../errors.js';
import { fileError } from '../formats/fileErrors.js';
import { onMessages, send, type Failure, type FromHub, type FromRank, type Stop } from './messages.js';
import { Pulse } from './pulse.js';

export interface HubOptions {
  readonly ranks: number;
  readonly port: number;
  readonly version: string;
  /** Milliseconds after which a silent rank counts as lost. */
  readonly timeout: number;
  /** Milliseconds to wait for all ranks. */
  readonly patience: number;
}

interface Member {
  readonly rank: number;
  readonly host: string;
  readonly socket: Socket;
  address?: { readonly host: string; readonly port: number } | undefined;
  left: boolean;
}

const isLoopback = (address: string): boolean => /^(::ffff:)?127\.|^::1$/.test(address);

/**
 * The server in the process of rank 0 to which all ranks connect. It exchanges small values among the ranks, and
 * detects lost ranks. All ranks receive its messages in the same order.
 */
export class Hub {
  readonly port: number;
  readonly token = randomBytes(8).toString('hex');
  readonly #options: HubOptions;
  readonly #server: Server;
  readonly #members = new Map<number, Member>();
  readonly #strangers = new Set<Socket>();
  readonly #values = new Map<string, Map<number, unknown>>();
  readonly #pulse: Pulse<number>;
  readonly #waiting: NodeJS.Timeout;
  #failed = false;
  #stopped = false;
  #allLeft: () => void = () => undefined;
  readonly #left = new Promise<void>((resolve) => (this.#allLeft = resolve));

  private constructor(server: Server, port: number, options: HubOptions) {
    this.#server = server;
    this.port = port;
    this.#options = options;
    this.#pulse = new Pulse(
      options.timeout,
      () => this.#members.forEach(({ socket }) => send(socket, { type: 'beat' })),
      (rank) => this.#lose(rank, `does not answer for ${options.timeout / 1000} s: it hangs or was cut off`),
    );
    this.#waiting = setTimeout(() => this.#giveUp(), options.patience);
    server.on('connection', (socket) => this.#greet(socket));
  }

  /** Opens the port and waits for connections. @throws FILE_ACCESS if the port cannot be opened */
  static async listen(options: HubOptions): Promise<Hub> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.port, resolve);
    }).catch((error: unknown) => {
      throw fileError(error, 'listen for the other ranks on', `port ${options.port}`);
    });
    const address = server.address();
    return new Hub(server, typeof address === 'object' && address ? address.port : options.port, options);
  }

  /** Waits until all ranks have sent `bye` or the run has failed, and then ends all connections. */
  async close(): Promise<void> {
    await this.#left;
    this.end();
  }

  /** Ends all connections at once. */
  end(): void {
    clearTimeout(this.#waiting);
    this.#pulse.end();
    this.#server.close();
    // The sockets are destroyed, because a rank that hangs would never close its side of the connection.
    for (const { socket } of this.#members.values()) socket.destroySoon();
    for (const socket of this.#strangers) socket.destroy();
  }

  #greet(socket: Socket): void {
    let rank: number | undefined;
    this.#strangers.add(socket);
    socket.on('error', () => undefined); // 'close' follows
    socket.on('close', () => {
      this.#strangers.delete(socket);
      if (rank !== undefined && this.#members.get(rank)?.left === false)
        this.#lose(
          rank,
          'is gone: its process ended without an error message (was it killed, or out of memory?), or its host is down',
        );
    });
    send(socket, { type: 'token', token: this.token });
    onMessages(socket, (received) => {
      const message = received as FromRank;
      if (rank === undefined) {
        if (message.type !== 'hello') return void socket.destroy();
        rank = this.#admit(socket, message);
      } else this.#take(rank, message);
    });
  }

  #admit(socket: Socket, { rank, ranks, version, host }: FromRank & { type: 'hello' }): number | undefined {
    const { ranks: expected, version: ours } = this.#options;
    const refuse = (message: string): void => {
      send(socket, { type: 'fail', failure: { rank, code: 'BAD_CONFIG', message } });
      this.#fail({ rank, code: 'BAD_CONFIG', message: `${host}: ${message}` });
    };
    if (ranks !== expected)
      refuse(
        `was started as one of ${ranks} ranks, and rank 0 as one of ${expected}; start all ranks with the same number`,
      );
    else if (version !== ours) refuse(`is lxmert ${version}, rank 0 is ${ours}; all ranks must be the same version`);
    else if (this.#members.has(rank)) refuse(`there are two ranks ${rank}`);
    else {
      this.#strangers.delete(socket);
      this.#members.set(rank, { rank, host, socket, left: false });
      this.#pulse.heard(rank);
      return rank;
    }
    return undefined;
  }

  #take(rank: number, message: FromRank): void {
    const member = this.#members.get(rank);
    if (!member) return;
    this.#pulse.heard(rank);
    switch (message.type) {
      case 'address':
        return this.#located(member, message);
      case 'value':
        return this.#value(rank, message);
      case 'stop':
        return this.#stop(message.stop);
      case 'save':
        return this.#tell({ type: 'save' });
      case 'fail':
        return this.#fail(message.failure);
      case 'hello':
      case 'beat':
        return;
      case 'bye':
        member.left = true;
        this.#pulse.forget(rank);
        if (this.#members.size === this.#options.ranks && [...this.#members.values()].every(({ left }) => left)) {
          this.#tell({ type: 'bye' });
          this.#allLeft();
        }
    }
  }

  #located(member: Member, { port, outside }: FromRank & { type: 'address' }): void {
    const seen = member.socket.remoteAddress ?? '';
    member.address = { host: isLoopback(seen) && outside.length > 0 ? `${seen} ${outside[0]}` : seen, port };
    const all = [...this.#members.values()].sort((a, b) => a.rank - b.rank);
    if (all.length < this.#options.ranks || all.some(({ address }) => !address)) return;
    clearTimeout(this.#waiting);
    // If all ranks are on this host, they use its loopback address. Otherwise they use an address that other hosts can
    // reach.
    const inside = all.every(({ socket }) => isLoopback(socket.remoteAddress ?? ''));
    const addresses = all.map(({ address }) => {
      const [local, reachable = local] = (address?.host ?? '').split(' ');
      return { host: inside ? local : reachable, port: address?.port ?? 0 };
    });
    this.#tell({ type: 'welcome', hosts: all.map(({ host }) => host), addresses });
  }

  #value(rank: number, { key, value, to }: FromRank & { type: 'value' }): void {
    const values = this.#values.get(key) ?? new Map<number, unknown>();
    this.#values.set(key, values.set(rank, value));
    if (values.size < this.#options.ranks) return;
    this.#values.delete(key);
    const all = Array.from({ length: values.size }, (_, i) => values.get(i));
    for (const { rank: reader, socket } of this.#members.values())
      send(socket, { type: 'values', key, values: to === undefined || reader === 0 ? all : [] });
  }

  #stop(stop: Stop): void {
    if (!this.#stopped) this.#tell({ type: 'stop', stop });
    this.#stopped = true;
  }

  #lose(rank: number, message: string): void {
    this.#fail({ rank, code: 'RANK_LOST', message });
  }

  #fail(failure: Failure): void {
    if (this.#failed) return;
    this.#failed = true;
    clearTimeout(this.#waiting);
    this.#tell({ type: 'fail', failure });
    this.#pulse.end();
    this.#allLeft();
  }

  #giveUp(): void {
    const missing = Array.from({ length: this.#options.ranks }, (_, i) => i).filter((i) => !this.#members.has(i));
    this.#fail({
      code: 'RANK_LOST',
      message: `ranks ${missing.join(', ')} did not connect to rank 0 within ${this.#options.patience / 1000} s; were all ranks started, and can they reach this host?`,
    });
  }

  #tell(message: FromHub): void {
    for (const { socket } of this.#members.values()) send(socket, message);
  }
}

/** @throws RANK_LOST */
export const lost = (message: string): LxmertError => new LxmertError('RANK_LOST', message);
