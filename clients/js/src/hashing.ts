import type { Task } from './validate.js';

/** One unit being hashed, piece by piece. */
export interface Run {
  /** Nodes hashed so far. */
  readonly done: number;
  /** Hashes the next piece: a few milliseconds at most. */
  step(): void;
  /** The top node and the leaf hashes; to be called when all nodes are done. */
  finish(): Hashes;
}

/** What a {@link Run} yields. */
export interface Hashes {
  /** The top node. */
  top: Uint8Array;
  /** The leaf hashes, one after the other. */
  leaves: Uint8Array;
}

/** An implementation of the hashing. Holds no state between runs. */
export interface Engine {
  /** Which one it is. */
  readonly name: 'wasm' | 'js';
  /** Begins a unit; runs do not disturb each other. */
  begin(task: Task): Promise<Run>;
}
