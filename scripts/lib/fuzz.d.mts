export interface FuzzOptions<T extends { readonly sha256: string }> {
  readonly files: readonly string[];
  readonly work: string;
  readonly cases: number;
  readonly seed: number;
  readonly list: (path: string) => Promise<readonly T[]>;
  readonly slowestAllowed?: number;
  readonly onProgress?: (done: number) => void;
}

export interface FuzzResult {
  readonly cases: number;
  readonly read: number;
  readonly refused: number;
  readonly slowest: number;
  readonly failures: readonly string[];
}

export function randomOf(seed: number): () => number;

export function fuzz<T extends { readonly sha256: string }>(options: FuzzOptions<T>): Promise<FuzzResult>;
