import { hostname, networkInterfaces } from 'node:os';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { Communicator, mpiLibrary } from '../engine/index.js';
import { isLxmertError, LxmertError, type ErrorCode } from '../errors.js';
import type { SaveRequest, TrainRanks } from '../train/index.js';
import { Hub, lost } from './hub.js';
import { onMessages, send, type Failure, type FromHub, type FromRank, type Stop } from './messages.js';
import type { Placement } from './placement.js';
import { Pulse } from './pulse.js';

export interface JoinOptions {
  readonly version: string;
  /** Seconds after which a silent rank counts as lost. */
  readonly timeout: number;
  /** Seconds to wait until all ranks are connected; default 300. */
  readonly patience?: number | undefined;
  readonly bucketBytes?: number | undefined;
  readonly shardOptimizer?: boolean | undefined;
  /** Called on rank 0 with the port at which it waits for the other ranks. */
  readonly listening?: ((port: number) => void) | undefined;
  /** Called when a signal requests that all ranks end. */
  readonly stopping?: ((reason: string) => void) | undefined;
  readonly saving?: (() => void) | undefined;
}

interface Waiting {
  readonly resolve: (values: readonly unknown[]) => void;
  readonly reject: (error: unknown) => void;
}

/** This process as one of the ranks of a run. */
export class Ranks implements TrainRanks {
  readonly rank: number;
  readonly ranks: number;
  readonly hosts: readonly string[];
  readonly communicator: Communicator;
  readonly bucketBytes: number | undefined;
  readonly shardOptimizer: boolean | undefined;
  readonly saveRequest: SaveRequest = { wanted: false };
  /** Resolves when the run has failed on any rank. */
  readonly failed: Promise<LxmertError>;
  readonly #channel: Channel;
  readonly #common = new WeakSet<object>();
  readonly #controller = new AbortController();
  #training = false;
  #stop: Stop | undefined;
  #saveWanted = false;
  readonly #counts = new Map<string, number>();

  constructor(channel: Channel, communicator: Communicator, options: JoinOptions) {
    const { bucketBytes, shardOptimizer, stopping, saving } = options;
    this.#channel = channel;
    this.rank = channel.rank;
    this.ranks = channel.hosts.length;
    this.hosts = channel.hosts;
    this.communicator = communicator;
    this.bucketBytes = bucketBytes;
    this.shardOptimizer = shardOptimizer;
    this.failed = channel.failed;
    void channel.failed.then(() => communicator.abort());
    channel.onStop = (stop) => {
      this.#stop = stop;
      stopping?.(`${stop.reason}${stop.rank === 0 ? '' : ` to ${this.nameOf(stop.rank)}`}`);
      if (this.#training) return;
      this.#controller.abort();
      channel.giveUp(this.#controller.signal.reason);
    };
    channel.onSave = () => {
      this.#saveWanted = true;
      saving?.();
    };
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The exit code of a run that a signal ended. */
  get stopCode(): number | undefined {
    return this.#stop?.exitCode;
  }

  /** The number of this rank among those of its host. */
  get localRank(): number {
    return this.hosts.slice(0, this.rank).filter((host) => host === this.hosts[this.rank]).length;
  }

  nameOf(rank: number): string {
    return `rank ${rank} (${this.hosts[rank]})`;
  }

  async exchange<T>(name: string, value: T): Promise<readonly T[]> {
    const values = await this.#send(name, value, () => undefined);
    return values as readonly T[];
  }

  /** Gives rank 0 the values of all ranks, in their order. The other ranks receive an empty list. */
  async gather<T>(name: string, value: T): Promise<readonly T[]> {
    const values = await this.#send(name, value, () => undefined, 'rank 0');
    return values as readonly T[];
  }

  async agree(): Promise<void> {
    // All ranks receive signals and answers in the same order. So all ranks have the same state when the answer
    // arrives.
    let [stop, save] = [false, false];
    await this.#send('agree', null, () => {
      stop = this.#stop !== undefined;
      save = this.#saveWanted;
      this.#saveWanted = false;
    });
    if (save) this.saveRequest.wanted = true;
    if (stop && !this.signal.aborted) this.#controller.abort();
  }

  async begin(): Promise<void> {
    await this.#send('begin', null, () => (this.#training = true));
  }

  common(error: LxmertError): LxmertError {
    this.#common.add(error);
    return error;
  }

  /** Asks all ranks to end, because this rank has received a signal. */
  requestStop(reason: string, exitCode: number): void {
    this.#channel.tell({ type: 'stop', stop: { rank: this.rank, reason, exitCode } });
  }

  requestSave(): void {
    this.#channel.tell({ type: 'save' });
  }

  /**
   * Ends the run on all ranks because of an error on this rank, unless the run has already failed.
   * @returns the error by which the run ends, which is the same on all ranks, and whether this rank must print it
   */
  async conclude(error: unknown): Promise<{ readonly error: unknown; readonly prints: boolean }> {
    const own = isLxmertError(error) ? error : undefined;
    const message = error instanceof Error ? error.message : String(error);
    // The error of a broken connection does not give the cause. The hub usually sends the cause soon after.
    if (own?.code === 'RANK_LOST') await Promise.race([this.failed, pause(2000, undefined, { ref: false })]);
    const isCommon = own !== undefined && this.#common.has(own);
    this.#channel.tell({
      type: 'fail',
      failure: { rank: isCommon ? undefined : this.rank, code: own?.code ?? 'INTERNAL', message },
    });
    const verdict = await Promise.race([this.failed, pause(3000, undefined, { ref: false })]);
    this.communicator.abort();
    this.#channel.end();
    // Rank 0 prints. If rank 0 is lost, the first other rank of each host prints.
    const prints = this.#channel.hubIsLost ? this.#isFirstOfHost() : this.rank === 0;
    return { error: isCommon ? error : (verdict ?? error), prints: verdict === undefined || prints };
  }

  /** Whether this rank is the first rank of its host, without rank 0. */
  #isFirstOfHost(): boolean {
    return this.hosts.findIndex((host, rank) => rank > 0 && host === this.hosts[this.rank]) === this.rank;
  }

  /** Waits until all ranks have finished the run, and ends the connections. @throws the error of a rank that failed */
  async close(): Promise<void> {
    await this.#channel.leave();
    if (this.#channel.failure) throw this.#channel.failure;
    await this.communicator.close().catch(() => undefined);
  }

  async #send(name: string, value: unknown, settled: () => void, to?: 'rank 0'): Promise<readonly unknown[]> {
    // If the run is being stopped before `begin`, other ranks may not make this call any more, and it would wait
    // forever.
    if (!this.#training) this.signal.throwIfAborted();
    const count = this.#counts.get(name) ?? 0;
    this.#counts.set(name, count + 1);
    return this.#channel.exchange({ key: `${name} ${count}`, value: value ?? null, to }, settled);
  }
}

/** The connection of a rank to the hub. */
class Channel {
  readonly rank: number;
  hosts: readonly string[] = [];
  onStop: (stop: Stop) => void = () => undefined;
  onSave: () => void = () => undefined;
  /** Whether rank 0 has ended or does not respond. */
  hubIsLost = false;
  readonly failed: Promise<LxmertError>;
  readonly token: Promise<string>;
  readonly welcome: Promise<FromHub & { type: 'welcome' }>;
  readonly #socket: Socket;
  readonly #hub: Hub | undefined;
  readonly #waiting = new Map<string, Waiting & { readonly settled: () => void }>();
  readonly #pulse: Pulse<'hub'>;
  #fail: (error: LxmertError) => void = () => undefined;
  #error: LxmertError | undefined;
  #gotToken: (token: string) => void = () => undefined;
  #gotWelcome: (welcome: FromHub & { type: 'welcome' }) => void = () => undefined;
  #left = false;
  #allLeft: () => void = () => undefined;

  constructor(rank: number, socket: Socket, hub: Hub | undefined, timeout: number) {
    this.rank = rank;
    this.#socket = socket;
    this.#hub = hub;
    this.failed = new Promise((resolve) => (this.#fail = resolve));
    this.token = new Promise((resolve) => (this.#gotToken = resolve));
    this.welcome = new Promise((resolve) => (this.#gotWelcome = resolve));
    const silent = `does not answer for ${timeout / 1000} s: it hangs or was cut off`;
    this.#pulse = new Pulse(
      timeout,
      () => this.tell({ type: 'beat' }),
      () => this.#loseHub(silent),
    );
    socket.on('error', () => undefined);
    socket.on('close', () => {
      if (!this.#left) this.#loseHub('is gone: its process ended, or its host is down');
      this.#allLeft();
    });
    onMessages(socket, (message) => this.#take(message as FromHub));
  }

  get failure(): LxmertError | undefined {
    return this.#error;
  }

  tell(message: Parameters<typeof send>[1]): void {
    send(this.#socket, message);
  }

  exchange(message: Omit<FromRank & { type: 'value' }, 'type'>, settled: () => void): Promise<readonly unknown[]> {
    if (this.#error) return Promise.reject(this.#error);
    const result = new Promise<readonly unknown[]>((resolve, reject) =>
      this.#waiting.set(message.key, { resolve, reject, settled }),
    );
    this.tell({ type: 'value', ...message });
    return result;
  }

  /** Rejects all exchanges that have no answer yet. */
  giveUp(reason: unknown): void {
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
  }

  async leave(): Promise<void> {
    const all = new Promise<void>((resolve) => (this.#allLeft = resolve));
    this.#pulse.end();
    this.tell({ type: 'bye' });
    await Promise.race([all, this.failed]);
    this.end();
    await this.#hub?.close();
  }

  end(): void {
    this.#left = true;
    this.#pulse.end();
    this.#socket.destroySoon();
    this.#socket.unref();
    this.#hub?.end();
  }

  #take(message: FromHub): void {
    this.#pulse.heard('hub');
    switch (message.type) {
      case 'token':
        return this.#gotToken(message.token);
      case 'welcome':
        this.hosts = message.hosts;
        return this.#gotWelcome(message);
      case 'values': {
        const waiting = this.#waiting.get(message.key);
        this.#waiting.delete(message.key);
        waiting?.settled();
        return waiting?.resolve(message.values);
      }
      case 'stop':
        return this.onStop(message.stop);
      case 'save':
        return this.onSave();
      case 'fail':
        return this.#failure(message.failure);
      case 'bye':
        this.#left = true;
        return this.#allLeft();
      case 'beat':
    }
  }

  #loseHub(message: string): void {
    if (!this.#error && !this.#left) this.hubIsLost = true;
    this.#failure({ rank: 0, code: 'RANK_LOST', message });
  }

  #failure({ rank, code, message }: Failure): void {
    if (this.#error || this.#left) return;
    const host = rank === undefined ? undefined : this.hosts[rank];
    const name = rank === undefined ? '' : `rank ${rank}${host === undefined ? '' : ` (${host})`}`;
    const joint = code === 'RANK_LOST' ? ' ' : ': ';
    this.#error = new LxmertError(code, rank === undefined ? message : `${name}${joint}${message}`);
    this.giveUp(this.#error);
    this.#fail(this.#error);
  }
}

/**
 * Connects to the other ranks of a run.
 * @throws RANK_LOST if not all ranks connect; BAD_CONFIG if the ranks differ in version or number; NO_DEVICE if MPI
 *   does not load
 */
export async function joinRanks(placement: Placement, options: JoinOptions): Promise<Ranks> {
  const { version, timeout, patience = 300, listening } = options;
  const mpi = placement.transport === 'mpi' ? await overMpi() : undefined;
  const { rank, ranks } = mpi ?? placement;
  const hub =
    rank === 0
      ? await Hub.listen({
          ...{ ranks, version, timeout: timeout * 1000, patience: patience * 1000 },
          port: mpi ? 0 : (placement.meeting?.port ?? 0),
        })
      : undefined;
  if (hub) listening?.(hub.port);
  const places = mpi
    ? (JSON.parse(await mpi.shareText(JSON.stringify(hub ? placesOf(hub.port) : []))) as Place[])
    : [{ host: placement.meeting?.host ?? '', port: placement.meeting?.port ?? 0 }];
  const socket = await reach(hub ? [{ host: '127.0.0.1', port: hub.port }] : orderedPlaces(places), patience);
  const channel = new Channel(rank, socket, hub, timeout * 1000);
  const orFailed = async <T>(work: Promise<T>): Promise<T> =>
    Promise.race([work, channel.failed.then((error) => Promise.reject(error))]);
  try {
    const token = await orFailed(channel.token);
    channel.tell({ type: 'hello', rank, ranks, version, host: hostname() });
    const listener = mpi ? undefined : Communicator.listen(rank, ranks, token);
    channel.tell({ type: 'address', port: listener?.port ?? 0, outside: outsideAddresses() });
    const { addresses } = await orFailed(channel.welcome);
    const meeting = socket.remoteAddress ?? '';
    const reachable = addresses.map((address, i) => (i === 0 && rank !== 0 ? { ...address, host: meeting } : address));
    const communicator = mpi ?? (await orFailed(listener!.connect(reachable)));
    return new Ranks(channel, communicator, options);
  } catch (error) {
    if (isLxmertError(error))
      channel.tell({ type: 'fail', failure: { rank, code: error.code, message: error.message } });
    channel.end();
    throw error;
  }
}

async function overMpi(): Promise<Communicator> {
  const library = mpiLibrary();
  if (library === undefined) throw new LxmertError('NO_DEVICE' satisfies ErrorCode, 'lxmert_mpi.so is not built');
  return Communicator.overMpi(library);
}

interface Place {
  readonly host: string;
  readonly port: number;
  /** The name of a host. Only ranks on this host may use the address. */
  readonly only?: string;
}

const placesOf = (port: number): Place[] => [
  { host: '127.0.0.1', port, only: hostname() },
  ...outsideAddresses().map((host) => ({ host, port })),
];

const orderedPlaces = (places: readonly Place[]): Place[] =>
  places.filter(({ only }) => only === undefined || only === hostname());

/** Addresses of this machine that other machines may be able to reach. */
function outsideAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith('fe80'))
    .sort((a, b) => a.family.localeCompare(b.family))
    .map(({ address }) => address);
}

/**
 * Connects to the first address that accepts a connection. Tries all of them again until `patience` seconds have
 * passed.
 */
async function reach(places: readonly Place[], patience: number): Promise<Socket> {
  const end = performance.now() + patience * 1000;
  let why = 'there is no address to try';
  for (;;) {
    for (const { host, port } of places) {
      const socket = connect({ host, port });
      const error = await new Promise<Error | undefined>((resolve) => {
        socket.once('connect', () => resolve(undefined));
        socket.once('error', resolve);
      });
      if (!error) return socket;
      socket.destroy();
      why = error.message;
    }
    if (performance.now() > end)
      throw lost(`rank 0 cannot be reached at ${places.map(({ host, port }) => `${host}:${port}`).join(', ')}: ${why}`);
    await pause(200);
  }
}
