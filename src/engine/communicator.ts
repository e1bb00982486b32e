import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { loadAddon, packageRoot } from './load.js';
import { settled, translated, type CommunicationTimes, type NativeAddon, type NativeCommunicator } from './native.js';

/** Where a rank listens for the other ranks: a numeric address, and a port. */
export interface RankAddress {
  readonly host: string;
  readonly port: number;
}

/** The connection of this rank to the others. It sums gradients on a separate thread (native/comm/communicator.h). */
export class Communicator {
  readonly rank: number;
  readonly ranks: number;
  readonly native: NativeCommunicator;
  readonly #addon: NativeAddon;

  private constructor(addon: NativeAddon, native: NativeCommunicator, rank: number, ranks: number) {
    this.#addon = addon;
    this.native = native;
    this.rank = rank;
    this.ranks = ranks;
  }

  /**
   * Listens on a free port; `connect` connects to all other ranks by sockets.
   * @param token 16 hexadecimal digits, the same on all ranks; a program without this token cannot connect
   */
  static listen(
    rank: number,
    ranks: number,
    token: string,
  ): { readonly port: number; readonly connect: (addresses: readonly RankAddress[]) => Promise<Communicator> } {
    const addon = loadAddon();
    const { communicator, port } = translated(() => addon.listenToRanks(rank, ranks, token));
    const connect = async (addresses: readonly RankAddress[]): Promise<Communicator> => {
      const [hosts, ports] = [addresses.map(({ host }) => host), addresses.map((address) => address.port)];
      await settled(translated(() => addon.connectRanks(communicator, rank, ranks, hosts, ports)));
      return new Communicator(addon, communicator, rank, ranks);
    };
    return { port, connect };
  }

  /** Connects by MPI, which gives the number of this rank. @throws NO_DEVICE if the library does not load; RANK_LOST */
  static async overMpi(library: string): Promise<Communicator> {
    const addon = loadAddon();
    const { communicator, rank, ranks } = await settled(translated(() => addon.openMpi(library)));
    return new Communicator(addon, communicator, rank, ranks);
  }

  /** Returns the text of rank 0 on all ranks. Only over MPI. */
  shareText(text: string): Promise<string> {
    return settled(translated(() => this.#addon.shareText(this.native, text)));
  }

  /** Sets the number of parts of a global batch (at least the number of ranks). Must be called before the first sum. */
  setParts(parts: number): void {
    translated(() => this.#addon.setParts(this.native, parts));
  }

  get times(): CommunicationTimes {
    return translated(() => this.#addon.rankTimes(this.native));
  }

  /** Aborts all running sums and messages. Calls that wait for them get an error. */
  abort(): void {
    translated(() => this.#addon.abortRanks(this.native));
  }

  /** Tells the other ranks that this rank has finished, at the end of a run. */
  close(): Promise<void> {
    return settled(translated(() => this.#addon.closeRanks(this.native)));
  }
}

/**
 * The path of the library for MPI. If LXMERT_MPI_LIBRARY names a file, it is this file; otherwise the file that `npm
 * run build:mpi` makes. undefined if the file does not exist.
 */
export function mpiLibrary(named = process.env['LXMERT_MPI_LIBRARY']): string | undefined {
  const file = named ? resolve(named) : join(packageRoot, 'build', 'Release', 'lxmert_mpi.so');
  return existsSync(file) ? file : undefined;
}
